"""Give metrics to Ray, whose agent on each node offers them to Prometheus, and say where the agents are."""

import math
from collections.abc import Mapping

import ray
from ray.util.metrics import Gauge

from contracts.metrics.exported import RUN_LABEL, series_of
from contracts.metrics.registry import metric_named


class RayGauges:
    """Set the series of one run, under the names that contracts/metrics/exported.py derives."""

    def __init__(self, run: str) -> None:
        """Take the name of the run, which is a label of every series. Ray must be connected."""
        self._run = run
        self._gauges: dict[str, Gauge] = {}  # by the series' name
        self._series: dict[str, tuple[Gauge, dict[str, str]]] = {}  # by the metric's name, with all its labels

    def show(self, metrics: Mapping[str, float]) -> None:
        """Set the series of these metrics; numbers that are not finite are left out.

        Raises:
            UnknownMetric: a metric is not declared.
        """
        for name, value in metrics.items():
            if not math.isfinite(value):
                continue
            if name not in self._series:
                self._series[name] = self._opened(name)
            gauge, labels = self._series[name]
            gauge.set(float(value), tags=labels)

    def _opened(self, name: str) -> tuple[Gauge, dict[str, str]]:
        """Return the gauge of a metric and its labels."""
        series = series_of(name)
        labels = {label: ascii_only(text) for label, text in {RUN_LABEL: self._run, **series.labels}.items()}
        if series.name not in self._gauges:
            meaning = ascii_only(metric_named(name).meaning)
            self._gauges[series.name] = Gauge(series.name, description=meaning, tag_keys=tuple(labels))
        return self._gauges[series.name], labels


def ascii_only(text: str) -> str:
    """Return a text with other characters as escapes: Ray takes no others in what describes a metric."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def metric_addresses() -> list[str]:
    """Return where the agent of each node of the cluster offers its metrics, as host:port. Blocks for a moment."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["MetricsExportPort"]]
    return sorted(_address(node["NodeManagerAddress"], node["MetricsExportPort"]) for node in nodes)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
