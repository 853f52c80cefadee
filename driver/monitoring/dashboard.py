"""Write the panels as a dashboard in Grafana's classic model, which every Grafana from 9 on imports.

https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Iterator

from contracts.metrics.exported import RUN_LABEL, query_name
from driver.monitoring.panels import ROWS, Panel, Row

SCHEMA_VERSION = 36
UID = "pb-rlsvr"
COLUMNS = 3
_GRID_WIDTH, _HEIGHT = 24, 8
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def dashboard() -> dict[str, Json]:
    """Return the dashboard, ready for `json.dumps`."""
    run_step = query_name("run/step")
    return {
        "uid": UID,
        "title": "PB-RLSVR",
        "tags": ["pb-rlsvr"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "run",
                    "label": "Run",
                    "type": "query",
                    "datasource": dict(_DATASOURCE),
                    "query": {"query": f"label_values({run_step}, {RUN_LABEL})", "refId": "runs"},
                    "refresh": 2,  # whenever the time range changes
                    "sort": 2,
                    "multi": True,
                    "includeAll": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[Json]:
    """Yield all panels with their places, each row under its heading."""
    top, number = 0, 1
    for row in ROWS:
        yield _heading(row, number, top)
        number, top = number + 1, top + 1
        for index, panel in enumerate(row.panels):
            yield _graph(panel, number, column=index % COLUMNS, top=top + index // COLUMNS * _HEIGHT)
            number += 1
        top += -(-len(row.panels) // COLUMNS) * _HEIGHT


def _heading(row: Row, number: int, top: int) -> dict[str, Json]:
    place: dict[str, Json] = {"x": 0, "y": top, "w": _GRID_WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}


def _graph(panel: Panel, number: int, *, column: int, top: int) -> dict[str, Json]:
    width = _GRID_WIDTH // COLUMNS
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": dict(_DATASOURCE),
        "gridPos": {"x": column * width, "y": top, "w": width, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": {"lineWidth": 2, "fillOpacity": 0, "spanNulls": 60_000}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": dict(_DATASOURCE),
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }
