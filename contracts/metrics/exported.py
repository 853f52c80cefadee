"""Derive the name and the labels under which Prometheus gets a metric from the metric's declaration.

Slashes become underscores, and the words in <...> become labels: `lang/<language>/accuracy` is
`ray_pb_rlsvr_lang_accuracy{language="sw"}`. Ray itself puts `ray_` before the name that it is given.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from contracts.metrics.metric import Metric
from contracts.metrics.registry import METRICS, metric_named

PREFIX = "pb_rlsvr_"
RAY_PREFIX = "ray_"
RUN_LABEL = "run"
"""The label that every series has: the name of the run's folder."""


@dataclass(frozen=True, slots=True)
class Series:
    """Hold one series of Prometheus: the name that Ray is given, and its labels without that of the run."""

    name: str
    labels: Mapping[str, str]


@cache
def exported_name(metric: Metric) -> str:
    """Return the name that Ray is given for a declaration. Two declarations never have the same one."""
    name = _plain_name(metric)
    is_taken = any(other is not metric and _plain_name(other) == name for other in METRICS)
    return f"{name}_by_{'_'.join(metric.words)}" if metric.is_pattern and is_taken else name


def series_of(name: str) -> Series:
    """Return the series of the metric called `name`, such as "lang/sw/accuracy".

    Raises:
        UnknownMetric: no declaration has this name.
    """
    metric = metric_named(name)
    return Series(exported_name(metric), metric.labels(name))


def query_name(declared: str) -> str:
    """Return the name in Prometheus of a declaration, such as "lang/<language>/accuracy".

    Raises:
        KeyError: nothing is declared under this name.
    """
    return f"{RAY_PREFIX}{exported_name(_DECLARED[declared])}"


_DECLARED = {metric.name: metric for metric in METRICS}


def _plain_name(metric: Metric) -> str:
    """Return the fixed parts of the name, joined by underscores."""
    fixed = re.sub(r"<\w+>", "", metric.name)
    return PREFIX + re.sub(r"[/_]+", "_", fixed).strip("_")
