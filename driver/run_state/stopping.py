"""A run that is asked to stop (SIGTERM: a spot instance that is taken back) ends between two steps, with a checkpoint.

Owns the request and its grace. Knows no step and no file.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from contracts.errors import RunFailed

Result = TypeVar("Result")


class Stopped(Exception):
    """The run was asked to stop while it waited for something that can be left: groups, or an evaluation."""


class GraceOver(RunFailed):
    """The step under way did not end in time: what it did is lost, and done again by the next start."""


class StopRequest:
    """Asked once, by a signal or a caller; never taken back."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        self._asked.set()

    async def wait(self) -> None:
        await self._asked.wait()

    async def before(self, work: Awaitable[Result]) -> Result:
        """The work's result; it is cancelled where the run is asked to stop first.

        Raises:
            Stopped: the run was asked to stop.
        """
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped
            return working.result()
        finally:
            working.cancel()
            stopping.cancel()


@contextmanager
def stopping_on_sigterm(stop: StopRequest, *, grace_s: float, said: Callable[[str], None]) -> Iterator[None]:
    """SIGTERM asks to stop; `grace_s` later what still runs in the task of now is cancelled. A second one is not waited
    for.

    Raises:
        GraceOver: the body was cancelled because the time was over.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "signals are handled in a task of the event loop"
    is_over = False
    why = f"what was under way took longer than checkpoint.grace_s = {grace_s:g} s"
    timers: list[asyncio.TimerHandle] = []

    def give_up() -> None:
        nonlocal is_over
        if not is_over:  # what is done on the way out is not cancelled again
            is_over = True
            task.cancel()

    def on_signal() -> None:
        nonlocal why
        if stop.is_asked:
            why = "a second SIGTERM came before what was under way had ended"
            give_up()
            return
        said(f"SIGTERM: what has to be finished and kept is; at most {grace_s:g} s")
        stop.ask()
        timers.append(loop.call_later(grace_s, give_up))

    loop.add_signal_handler(signal.SIGTERM, on_signal)
    try:
        yield
    except asyncio.CancelledError:
        if is_over:
            raise GraceOver(why) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        for timer in timers:
            timer.cancel()
