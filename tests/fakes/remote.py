"""Provide what Ray's handles offer and raise, for fakes of actors."""

import asyncio
from collections.abc import Callable

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError


class Method:
    """Offer a remote method: `.remote(...)`, after `.options(...)` or not."""

    def __init__(self, call: Callable[..., object]) -> None:
        self.remote = call

    def options(self, **_: object) -> "Method":
        return self


class Process:
    """Stand for an actor's process: its unanswered calls fail when it dies."""

    def __init__(self) -> None:
        self._end = asyncio.Event()
        self._failure: Exception = ActorDiedError()

    def die(self, failure: Exception | None = None) -> None:
        """Fail every call that is unanswered, with a dead actor's error or another."""
        self._failure = failure or ActorDiedError()
        self._end.set()

    async def until(self, event: asyncio.Event) -> None:
        """Wait for the event; raise if the process dies first."""
        waits = [asyncio.ensure_future(one.wait()) for one in (self._end, event)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._end.is_set():
            raise self._failure


def unavailable() -> ActorUnavailableError:
    return ActorUnavailableError("The actor is temporarily unavailable", b"0" * 16)


def task_error(cause: Exception) -> RayTaskError:
    """Return what Ray raises in the caller when a method raised `cause`."""
    return RayTaskError(
        "method", f"Traceback (most recent call last):\n  File ...\n{type(cause).__name__}: {cause}", cause
    )
