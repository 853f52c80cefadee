"""Wait with a deadline, and say at intervals what is waited for."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.errors import RunFailed

NOTE_EVERY_S = 30.0
"""Seconds between two notes about the same wait."""

Result = TypeVar("Result")


async def waiting_for(
    awaitable: Awaitable[Result],
    what: str,
    *,
    timeout_s: float,
    on_wait: Callable[[str], None],
    note_every_s: float = NOTE_EVERY_S,
) -> Result:
    """Return the result of `awaitable`, and tell `on_wait` every `note_every_s` seconds what is waited for.

    `what` completes the sentence "waiting for ...".

    Raises:
        RunFailed: `timeout_s` passed; the awaitable is cancelled.
    """
    task = asyncio.ensure_future(awaitable)
    clock = asyncio.get_running_loop().time
    started = clock()
    deadline, next_note = started + timeout_s, started + note_every_s
    try:
        while True:
            await asyncio.wait({task}, timeout=max(0.0, min(deadline, next_note) - clock()))
            if task.done():
                return task.result()
            if clock() >= deadline:
                raise RunFailed(f"gave up waiting for {what} after {timeout_s:g} s", key=what)
            if clock() >= next_note:
                limit = f", at most {duration(timeout_s)}" if math.isfinite(timeout_s) else ""
                on_wait(f"waiting for {what}: {duration(clock() - started)}{limit}")
                next_note += note_every_s
    finally:
        task.cancel()  # does nothing to a task that is done


async def patiently(awaitable: Awaitable[Result], what: str, *, on_wait: Callable[[str], None]) -> Result:
    """Return the result of `awaitable` without a deadline: what is awaited has a deadline of its own."""
    return await waiting_for(awaitable, what, timeout_s=math.inf, on_wait=on_wait)


def duration(seconds: float) -> str:
    """Return a duration as people write it: "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
