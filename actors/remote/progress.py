"""Say how far a worker has come since it started, so that workers of one role can be compared."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Count what a worker has done. Time in which it had nothing to do, loaded or took weights is not busy.

    What counts as work, and what as a turn, depends on the worker:

    - an engine: tokens (drawn ones, and the prompts of what is finished), in steps;
    - a scorer: responses, in batches;
    - a learner rank: tokens of the rows that it learned from or measured, in calls; a weight push is a turn without
      work.
    """

    work: float
    turns: float
    busy_s: float  # seconds of its turns
    at_s: float = field(default_factory=time.monotonic, compare=False)  # when it was counted, by the worker's clock


class WorkClock:
    """Count the turns of a process that does one thing at a time. Another thread may read it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # One value, replaced as a whole: a reader never sees a turn twice, or not at all.
        self._state: tuple[Progress, float | None] = (Progress(work=0.0, turns=0.0, busy_s=0.0), None)

    @contextmanager
    def turn(self, work: float = 0.0) -> Iterator[None]:
        """Count the body's time as busy, and `work` when it ends."""
        done, started = self._state[0], self._clock()
        self._state = done, started
        try:
            yield
        finally:
            busy_s = done.busy_s + self._clock() - started
            self._state = Progress(work=done.work + work, turns=done.turns + 1, busy_s=busy_s), None

    def progress(self) -> Progress:
        """Return what was done until now; the turn that is under way counts as busy time."""
        done, since = self._state
        now = self._clock()
        now_s = 0.0 if since is None else now - since
        return Progress(work=done.work, turns=done.turns, busy_s=done.busy_s + now_s, at_s=now)
