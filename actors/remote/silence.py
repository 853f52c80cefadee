"""Detect that a process or a thread has stopped answering."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class SilenceDetector:
    """Ask one question again and again, and count the seconds without an answer.

    Time is counted from one look to the next. A look that comes late counts for at most two intervals: time in which
    the observer itself did not run is not the other side's silence. The wall clock is never read, because it jumps.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[bool]], *, look_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            ask: asks once; True is a sign of life, False is none. What it raises is raised by the next look.
            look_s: the seconds between two looks, as planned.
            clock: seconds of a clock that never jumps.
        """
        self._ask = ask
        self._look_s = look_s
        self._clock = clock
        self._last_look = clock()
        self._question: asyncio.Future[bool] | None = None
        self._silent_s = 0.0

    def look(self) -> float:
        """Return the seconds of silence until now, and ask again if no question is open. Returns at once."""
        now = self._clock()
        elapsed_s, self._last_look = min(now - self._last_look, 2 * self._look_s), now
        is_open = self._question is not None and not self._question.done()
        if self._question is None or (not is_open and self._question.result()):
            self._silent_s = 0.0
        else:
            self._silent_s += elapsed_s
        if not is_open:
            self._question = asyncio.ensure_future(self._ask())
        return self._silent_s

    def forgive(self) -> None:
        """Count the silence from now on: that until now has a cause."""
        self._silent_s = 0.0

    def stop(self) -> "asyncio.Future[bool] | None":
        """Cancel the open question and return it, for the caller to wait for its end."""
        if self._question is not None:
            self._question.cancel()
        return self._question
