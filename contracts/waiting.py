"""Wait for something with a deadline, and say regularly what is waited for."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.errors import RunFailed

REPORT_EVERY_S = 30.0
"""Seconds between two reports of the same wait."""

Result = TypeVar("Result")


async def waiting_for(
    awaitable: Awaitable[Result],
    what: str,
    *,
    timeout_s: float,
    report: Callable[[str], None],
    report_every_s: float = REPORT_EVERY_S,
) -> Result:
    """The awaitable's result. Says every `report_every_s` what it waits for; past the deadline the wait is cancelled
    and the run has failed. `what` completes "waiting for ..."."""
    task = asyncio.ensure_future(awaitable)
    clock = asyncio.get_running_loop().time
    started = clock()
    deadline, next_report = started + timeout_s, started + report_every_s
    try:
        while True:
            await asyncio.wait({task}, timeout=max(0.0, min(deadline, next_report) - clock()))
            if task.done():
                return task.result()
            if clock() >= deadline:
                raise RunFailed(f"gave up waiting for {what} after {timeout_s:g} s")
            if clock() >= next_report:
                limit = f", at most {duration(timeout_s)}" if math.isfinite(timeout_s) else ""
                report(f"waiting for {what}: {duration(clock() - started)}{limit}")
                next_report += report_every_s
    finally:
        task.cancel()  # does nothing to a task that is done


async def patiently(awaitable: Awaitable[Result], what: str, *, report: Callable[[str], None]) -> Result:
    """The same for a wait that ends by itself: whoever is asked has a deadline of its own."""
    return await waiting_for(awaitable, what, timeout_s=math.inf, report=report)


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min: for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
