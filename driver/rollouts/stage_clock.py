"""How long each stage of the pipeline had work to do.

Owns that measure alone. Stages overlap, and above algorithm.max_staleness 0 so do steps: a stage's seconds are those in
which it had at least one thing under way, however many.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class StageClock:
    """Busy seconds of each stage since they were last taken."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._under_way: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._busy: dict[str, float] = {}

    async def during(self, stage: str, work: Awaitable[T]) -> T:
        """The work's result; the stage is busy until then."""
        with self.busy(stage):
            return await work

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """The stage is busy for as long as the body runs."""
        if not self._under_way.get(stage):
            self._since[stage] = self._now()
        self._under_way[stage] = self._under_way.get(stage, 0) + 1
        try:
            yield
        finally:
            self._under_way[stage] -= 1
            if not self._under_way[stage]:
                self._count(stage)

    def take(self) -> dict[str, float]:
        """Seconds by stage; what is under way counts up to now."""
        for stage, number in self._under_way.items():
            if number:
                self._count(stage)
        taken, self._busy = self._busy, {}
        return taken

    def _count(self, stage: str) -> None:
        now = self._now()
        self._busy[stage] = self._busy.get(stage, 0.0) + now - self._since[stage]
        self._since[stage] = now
