"""Keep metrics over the steps, and thin them out so that a page draws any number of steps at once."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

Point = tuple[int, float]
"""A step and a value."""


class StepSeries:
    """Hold the metrics of all steps, by name. A step that is added again replaces itself and all steps after it."""

    def __init__(self, *, keeps: Callable[[str], bool]) -> None:
        """`keeps` says for the name of a metric whether it is kept."""
        self._keeps = keeps
        self._series: dict[str, tuple[list[int], list[float]]] = {}
        self._unwanted: set[str] = set()  # for which `keeps` said no
        self._last: Mapping[str, float | None] = {}
        self.last_step = 0

    def clear(self) -> None:
        """Forget everything."""
        self._series, self.last_step, self._last = {}, 0, {}

    def add(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Add a step; a metric without a number is left out."""
        if step <= self.last_step:
            self._cut(step)
        for name, value in metrics.items():  # a million times for a long run
            if value is None or name in self._unwanted:
                continue
            series = self._series.get(name)
            if series is None:
                if not self._keeps(name):
                    self._unwanted.add(name)
                    continue
                series = self._series[name] = ([], [])
            series[0].append(step)
            series[1].append(value)
        self.last_step, self._last = step, metrics

    @property
    def last(self) -> dict[str, float]:
        """Return all metrics of the last step, also those that are not kept."""
        return {name: value for name, value in self._last.items() if value is not None}

    def names(self) -> list[str]:
        """Return the names of all metrics that have a value, in alphabetical order."""
        return sorted(self._series)

    def has(self, name: str) -> bool:
        """Return whether a metric has a value in any step."""
        return name in self._series

    def at_end(self, name: str, num: int) -> list[Point]:
        """Return the last `num` values of a metric with their steps."""
        steps, values = self._series.get(name, ([], []))
        return list(zip(steps[-num:], values[-num:], strict=True))

    def thinned(self, name: str, *, most: int) -> list[Point]:
        """Return at most `most` points of a metric: each is the mean of neighbours, at the last one's step."""
        return thinned(*self._series.get(name, ([], [])), most=most)

    def _cut(self, step: int) -> None:
        """Remove a step and all steps after it."""
        for steps, values in self._series.values():
            place = bisect_left(steps, step)
            del steps[place:], values[place:]
        self._series = {name: series for name, series in self._series.items() if series[0]}


def thinned(steps: Sequence[int], values: Sequence[float], *, most: int) -> list[Point]:
    """Return at most `most` points: each is the mean of equally many neighbours, at the last one's step.

    The last one may have fewer neighbours. steps and values are [N].
    """
    size = max(1, -(-len(steps) // most))
    starts = range(0, len(steps), size)
    ends = [min(start + size, len(steps)) for start in starts]
    return [(steps[end - 1], sum(values[start:end]) / (end - start)) for start, end in zip(starts, ends, strict=True)]
