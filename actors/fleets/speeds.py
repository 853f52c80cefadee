"""Find the worker that answers heartbeats but hardly moves, by comparing it with the others of its role.

Speeds are over busy time, so an idle worker, one that loads and one that takes weights are never slow. There are two: a
worker with few requests has a small batch, and so does little work a second but many turns; one with many requests has
large batches. Only a worker that is slow in both is slow.
"""

from collections import deque
from collections.abc import Iterable
from statistics import median

from actors.fleets.worker import Worker
from actors.remote.process import RemoteActor
from actors.remote.progress import Progress
from contracts.config.workers import FleetConfig

LEAST_SHARE = 0.1
"""Share of fleet.slow_after_s that another worker must have been busy for, to be compared with."""


class Speeds:
    """Keep the latest progress of the workers of one role."""

    def __init__(self, rules: FleetConfig) -> None:
        self._rules = rules
        self._histories: dict[str, tuple[RemoteActor, deque[Progress]]] = {}  # by worker: its process, oldest first

    def note(self, worker: Worker, progress: Progress) -> None:
        """Take in what the worker's process has done until now."""
        handle, history = self._histories.get(worker.name, (None, deque[Progress]()))
        if handle is not worker.handle:
            history = deque[Progress]()
            self._histories[worker.name] = worker.handle, history
        history.append(progress)
        while len(history) > 2 and progress.busy_s - history[1].busy_s >= self._rules.slow_after_s:
            history.popleft()

    def why_slow(self, worker: Worker, others: Iterable[Worker]) -> str:
        """Return why the worker counts as slow beside the others; empty if it does not, or if that can't be said."""
        factor, least_s = self._rules.slow_factor, self._rules.slow_after_s
        own = self._speed(worker, least_s=least_s)
        known = [self._speed(other, least_s=least_s * LEAST_SHARE) for other in others]
        compared = [speed for speed in known if speed is not None]
        if factor == "off" or own is None or not compared:
            return ""
        medians = tuple(median(values) for values in zip(*compared, strict=True))
        if any(value * factor >= middle for value, middle in zip(own, medians, strict=True)):
            return ""
        return (
            f"slow: {own[0]:.3g} tokens or texts in a busy second, and {medians[0]:.3g} is the median of the others "
            f"(fleet.slow_factor {factor:g})"
        )

    def _speed(self, worker: Worker, *, least_s: float) -> tuple[float, float] | None:
        """Return work and turns a busy second; None if its process was not busy for `least_s` yet."""
        handle, history = self._histories.get(worker.name, (None, deque[Progress]()))
        if handle is not worker.handle or len(history) < 2:
            return None
        first, last = history[0], history[-1]
        busy_s = last.busy_s - first.busy_s
        if busy_s <= 0 or busy_s < least_s:
            return None
        return (last.work - first.work) / busy_s, (last.turns - first.turns) / busy_s
