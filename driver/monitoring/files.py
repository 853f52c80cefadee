"""Write what Prometheus and Grafana are started with: where to find runs, alert rules, the dashboard.

prometheus/prometheus.yml                     whom to ask, and how often
prometheus/alerts.yml                         alert rules
grafana/dashboards/pb-rlsvr.json              the dashboard
grafana/provisioning/dashboards/pb-rlsvr.yml  tells Grafana of the dashboard
grafana/provisioning/datasources/pb-rlsvr.yml tells Grafana of Prometheus
"""

import json
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import BadInput
from contracts.files import write_whole
from driver.monitoring.alerts import rule_file
from driver.monitoring.dashboard import dashboard
from driver.tracking.run_folder import TARGETS

SCRAPE_S = 10
"""Seconds between two questions: Ray's own report interval. More often shows nothing more."""


def monitoring_files(folder: Path, *, runs: Path, prometheus: str) -> dict[Path, str]:
    """Return the files and their contents.

    Args:
        folder: absolute, where they will lie.
        runs: absolute, the folder of the run folders.
        prometheus: the address at which Grafana finds Prometheus.
    """
    grafana = folder / "grafana"
    return {
        folder / "prometheus" / "prometheus.yml": _prometheus(runs),
        folder / "prometheus" / "alerts.yml": rule_file(),
        grafana / "dashboards" / "pb-rlsvr.json": f"{json.dumps(dashboard(), indent=1)}\n",
        grafana / "provisioning" / "dashboards" / "pb-rlsvr.yml": _provider(grafana / "dashboards"),
        grafana / "provisioning" / "datasources" / "pb-rlsvr.yml": _datasource(prometheus),
    }


def write_files(files: Mapping[Path, str]) -> None:
    """Write the files. One that exists with another content is the user's, and stays.

    Raises:
        BadInput: there is such a file, and nothing was written; or a folder can't be made.
    """
    for path, text in files.items():
        if path.exists() and (not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text):
            raise BadInput(
                f"{path} exists and holds something else; move it away, or choose another folder", key="folder"
            )
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise BadInput(f"{path.parent} can't be made: {failure.strerror}", key="folder") from failure
        write_whole(path, text)


def _prometheus(runs: Path) -> str:
    """Return Prometheus' config: runs that go on name the nodes to ask."""
    return f"""\
global:
  scrape_interval: {SCRAPE_S}s
  evaluation_interval: {SCRAPE_S}s
rule_files:
- alerts.yml
scrape_configs:
- job_name: pb-rlsvr
  file_sd_configs:
  - files:
    - {json.dumps(str(runs / TARGETS / "*.json"))}
    refresh_interval: {SCRAPE_S}s
"""


def _provider(dashboards: Path) -> str:
    return f"""\
apiVersion: 1
providers:
- name: pb-rlsvr
  type: file
  options:
    path: {json.dumps(str(dashboards))}
"""


def _datasource(prometheus: str) -> str:
    return f"""\
apiVersion: 1
datasources:
- name: Prometheus
  type: prometheus
  access: proxy
  isDefault: true
  url: {json.dumps(prometheus)}
"""
