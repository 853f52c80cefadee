"""Find the declaration of a metric by its name: the one list of all metrics that a run may write.

Actors reduce metrics as well as the driver does, so the registry belongs to the contracts between them.
"""

from collections.abc import Iterable
from functools import cache

from contracts.metrics import actors, learning, running
from contracts.metrics.metric import Metric, MetricSection

SECTIONS: tuple[MetricSection, ...] = (*running.SECTIONS, *actors.SECTIONS, *learning.SECTIONS)

METRICS: tuple[Metric, ...] = tuple(metric for section in SECTIONS for metric in section.metrics)

_EXACT = {metric.name: metric for metric in METRICS if not metric.is_pattern}
_PATTERNS = tuple(metric for metric in METRICS if metric.is_pattern)


class UnknownMetric(KeyError):
    """Report a name that no declaration has: a mistake of ours, to be mended by declaring the metric."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"metric {self.name!r} is not declared; declare it among the metrics of contracts/"


@cache
def metric_named(name: str) -> Metric:
    """Return the declaration of the metric called `name`.

    Raises:
        UnknownMetric: no declaration has this name or a pattern that it follows.
    """
    if (exact := _EXACT.get(name)) is not None:
        return exact
    for pattern in _PATTERNS:
        if pattern.matches(name):
            return pattern
    raise UnknownMetric(name)


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise UnknownMetric for the first name that is not declared."""
    for name in names:
        metric_named(name)
