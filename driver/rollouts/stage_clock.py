"""Measure for how long each stage of the pipeline had work to do.

Stages overlap, and above algorithm.max_staleness 0 steps overlap too: the seconds of a stage are those in which at
least one call of it was running, no matter how many.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

OnCall = Callable[[str, str, float], None]
"""Take a stage's call that has ended: the stage, the group that it was made for or "", and when it began."""


class StageClock:
    """Count the busy seconds of each stage since they were last taken."""

    def __init__(self, now: Callable[[], float] = time.monotonic, *, on_call: OnCall | None = None) -> None:
        self._now = now
        self._on_call = on_call
        self._num_running: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._busy: dict[str, float] = {}

    async def during(self, stage: str, work: Awaitable[T], *, of: str = "") -> T:
        """Await `work` and return its result; the stage is busy until then. `of` is the group that it is done for."""
        with self.busy(stage, of=of):
            return await work

    @contextmanager
    def busy(self, stage: str, *, of: str = "") -> Iterator[None]:
        """Count the stage as busy while the body runs."""
        started = self._now()
        if not self._num_running.get(stage):
            self._since[stage] = started
        self._num_running[stage] = self._num_running.get(stage, 0) + 1
        try:
            yield
        finally:
            self._num_running[stage] -= 1
            if not self._num_running[stage]:
                self._count(stage)
            if self._on_call is not None:
                self._on_call(stage, of, started)

    def take(self) -> dict[str, float]:
        """Return the seconds by stage and start again at 0. Running calls count up to now."""
        for stage, number in self._num_running.items():
            if number:
                self._count(stage)
        taken, self._busy = self._busy, {}
        return taken

    def _count(self, stage: str) -> None:
        now = self._now()
        self._busy[stage] = self._busy.get(stage, 0.0) + now - self._since[stage]
        self._since[stage] = now
