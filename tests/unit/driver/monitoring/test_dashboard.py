"""Check the dashboard and the files around it."""

import json
from pathlib import Path

import pytest

from contracts.errors import BadInput
from contracts.metrics.exported import exported_name
from contracts.metrics.registry import METRICS
from driver.monitoring.alerts import ALERTS
from driver.monitoring.dashboard import dashboard
from driver.monitoring.files import monitoring_files, write_files
from driver.monitoring.panels import ROWS, series

PANELS = [panel for row in ROWS for panel in row.panels]


def files(folder: Path) -> dict[Path, str]:
    return monitoring_files(folder, runs=folder / "runs", prometheus="http://127.0.0.1:9090")


def test_every_panel_has_its_place_and_none_lies_on_another() -> None:
    shown = json.loads(json.dumps(dashboard()))["panels"]
    assert len(shown) == len(PANELS) + len(ROWS)
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        place = panel["gridPos"]
        x, y, width, height = (place[name] for name in "xywh")
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert x + width <= 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in shown}) == len(shown)


def test_every_panel_has_a_title_of_its_own_and_every_query_a_legend() -> None:
    titles = [panel.title for panel in PANELS]
    assert len(titles) == len(set(titles))
    assert all(query.legend and query.expression for panel in PANELS for query in panel.queries)


def test_the_kinds_of_metrics_that_every_actor_has_are_shown() -> None:
    expressions = " ".join(query.expression for panel in PANELS for query in panel.queries)
    wanted = [exported_name(metric) for metric in METRICS if metric.name.startswith("actor/")]
    assert len(wanted) == 9
    assert [name for name in wanted if name not in expressions] == []


def test_a_query_of_an_undeclared_metric_can_not_be_written() -> None:
    with pytest.raises(KeyError):
        series("lang/<language>/speed")


def test_the_files_are_written_again_but_never_over_another_content(tmp_path: Path) -> None:
    written = files(tmp_path)
    write_files(written)
    write_files(written)
    (tmp_path / "prometheus" / "alerts.yml").write_text("groups: []\n", encoding="utf-8")
    (tmp_path / "prometheus" / "prometheus.yml").unlink()
    with pytest.raises(BadInput) as refused:
        write_files(written)
    assert refused.value.key == "folder"
    assert (tmp_path / "prometheus" / "alerts.yml").read_text(encoding="utf-8") == "groups: []\n"
    assert not (tmp_path / "prometheus" / "prometheus.yml").exists()


def test_the_dashboard_is_json_and_names_no_other_data_source(tmp_path: Path) -> None:
    text = files(tmp_path)[tmp_path / "grafana" / "dashboards" / "pb-rlsvr.json"]
    found = json.loads(text)
    assert found["schemaVersion"] == 36
    sources = {panel["datasource"]["uid"] for panel in found["panels"] if "datasource" in panel}
    assert sources == {"${datasource}"}


def test_alerts_have_names_of_their_own() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS) == 6
