"""Whether the thread that scores still gets anywhere: its process may answer while the thread hangs in a model.

Owns that question. Knows no reward and no Ray.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Line(Protocol):
    """The line in front of the thread (actors/scoring/queue.py)."""

    async def run(self, work: Callable[[], Result]) -> Result:
        """What blocking work gives, done in the thread after what it is doing now."""
        ...


class ScoringStuck(RuntimeError):
    """The scoring thread has not come to an end for longer than any group is waited for."""


class ScoringPulse:
    """Sends a question that needs no work through the thread, one at a time, and knows when it comes back too late."""

    def __init__(self, line: Line, *, stuck_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._question: asyncio.Task[None] | None = None
        self._asked_at = 0.0

    def check(self) -> None:
        """Returns at once. To be called again and again, from the event loop.

        Raises:
            ScoringStuck: the last question has not come back.
        """
        if self._question is None or self._question.done():
            self._asked_at = self._clock()
            self._question = asyncio.ensure_future(self._line.run(_nothing))
            return
        silent_s = self._clock() - self._asked_at
        if silent_s > self._stuck_after_s:
            raise ScoringStuck(
                f"the scoring thread has been busy with one piece of work for {silent_s:.0f} s, and a group is waited "
                f"for {self._stuck_after_s:g} s at most (scorer.timeout_s)"
            )


def _nothing() -> None:
    return None
