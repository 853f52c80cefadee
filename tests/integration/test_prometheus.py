"""Let a real Prometheus server scrape a tiny run, and ask it every query of the dashboard and of the alerts."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.metrics.exported import query_name
from driver.monitoring.alerts import ALERTS
from driver.monitoring.files import SCRAPE_S, monitoring_files, write_files
from driver.monitoring.panels import ROWS, Panel
from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import TARGETS
from tests.commands import run_project
from tests.integration.conftest import STEPS, TinyModels, free_ports, prepare_tiny

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus is on PATH (Debian package prometheus)")

PANELS = [panel for row in ROWS for panel in row.panels if not panel.needs_gpu]
QUICK = {"RAY_metrics_report_interval_ms": "1000"}
"""Ray's report interval: with its own of 10 s a run of a minute would be seen a few times only."""


@dataclass(frozen=True, kw_only=True)
class Scraped:
    """Hold a server that has scraped a whole run, and the run's folder."""

    address: str
    started: float  # seconds since the epoch
    folder: Path

    def ask(self, path: str, **words: object) -> dict:
        """Return the data of an answer."""
        query = urllib.parse.urlencode(words)
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{query}", timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def values(self, expression: str) -> list[tuple[dict[str, str], list[float]]]:
        """Return labels and values of each series of an expression, over the time of the run."""
        expression = expression.replace("$run", self.folder.name)
        found = self.ask("query_range", query=expression, start=self.started, end=time.time(), step=1)
        return [(line["metric"], [float(value) for _, value in line["values"]]) for line in found["result"]]


@contextmanager
def serving(folder: Path, runs: Path) -> Iterator[str]:
    """Run a server with the config that the project writes, but asking every second; yield its address."""
    files = monitoring_files(folder, runs=runs, prometheus="http://127.0.0.1:9090")
    config = folder / "prometheus" / "prometheus.yml"
    files[config] = files[config].replace(f"{SCRAPE_S}s", "1s")
    write_files(files)
    (port,) = free_ports(1)
    options = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}")
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [str(PROMETHEUS), *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not is_ready(address):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "prometheus.log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture(scope="module")
def scraped(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    prepared = prepare_tiny(tiny_models, folder=folder)
    with serving(folder / "monitoring", folder / "runs") as address:
        started = time.time()
        # One gate that random texts pass: with all of them off there is no metric of a gate.
        words = (str(prepared.path), "run.name=watched", "fleet.heartbeat_s=0.5", "reward.gates.copying=true")
        done = run_project("train", *words, cwd=folder, environment=environment | QUICK)
        assert done.code == 0, done.stderr
        yield Scraped(address=address, started=started, folder=folder / "runs" / "watched")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_query_of_every_panel_returns_data(panel: Panel, scraped: Scraped) -> None:
    for query in panel.queries:
        found = scraped.values(query.expression)
        assert found and all(values for _, values in found), query.expression


def test_the_last_value_of_a_metric_is_that_of_the_runs_record(scraped: Scraped) -> None:
    steps = read_metrics(scraped.folder / "metrics.jsonl")
    for declared, name in (("run/step", ""), ("reward/mean", "reward/mean"), ("policy/loss", "policy/loss")):
        ((labels, values),) = scraped.values(query_name(declared))
        assert labels["run"] == "watched"
        assert values[-1] == (steps[-1].metrics[name] if name else STEPS)


def test_languages_and_actors_are_labels(scraped: Scraped) -> None:
    languages = {labels["language"] for labels, _ in scraped.values(query_name("lang/<language>/reward_mean"))}
    actors = {labels["actor"] for labels, _ in scraped.values(query_name("actor/<actor>/busy_share"))}
    assert languages == {"all", "de", "fr"}
    assert {"policy-0", "pivot-0", "scorer-0", "learner-0", "learner-1"} >= actors >= {"policy-0", "learner-0"}


def test_the_server_has_loaded_all_alerts_and_can_evaluate_them(scraped: Scraped) -> None:
    (group,) = scraped.ask("rules")["groups"]
    assert {rule["name"]: rule["health"] for rule in group["rules"]} == {alert.name: "ok" for alert in ALERTS}


def test_a_run_that_has_ended_names_no_address_any_more(scraped: Scraped) -> None:
    assert list((scraped.folder.parent / TARGETS).iterdir()) == []
