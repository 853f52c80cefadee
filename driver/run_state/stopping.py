"""Stop a run on request: SIGTERM, which a spot instance gets before it is taken away, ends it between two steps."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from contracts.errors import RunFailed

Result = TypeVar("Result")


class Stopped(Exception):
    """Report that the run was asked to stop while it waited for work that can be left: groups, or an evaluation."""


class GraceOver(RunFailed):
    """Report that the step under way did not end in time: its work is lost, and done again by the next start."""


class StopRequest:
    """Hold whether the run was asked to stop, by a signal or a caller; a request is never withdrawn."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        """Return whether the run was asked to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the run to stop."""
        self._asked.set()

    async def wait(self) -> None:
        """Wait until the run is asked to stop."""
        await self._asked.wait()

    async def before(self, work: Awaitable[Result]) -> Result:
        """Return the result of `work`, which is cancelled where the run is asked to stop first.

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
def surviving_sigterm(stop: StopRequest) -> Iterator[None]:
    """Let SIGTERM be a request only while the body runs: the end of a run is written whatever it is sent.

    `stopping_on_sigterm` inside the body takes over until it ends.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: stop.ask())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def stopping_on_sigterm(
    stop: StopRequest, *, grace_s: float, last_work: str, on_signal: Callable[[str], None]
) -> Iterator[None]:
    """Turn SIGTERM into a request to stop while the body runs.

    What still runs in the current task `grace_s` seconds after the signal is cancelled; a second signal cancels it at
    once.

    Args:
        stop: the request.
        grace_s: seconds that the last work may take.
        last_work: what is still done after the signal, for the message: "finishing this step".
        on_signal: prints the message.

    Raises:
        GraceOver: the body was cancelled because the time was over, or by a second signal.
    """
    loop, task, before = asyncio.get_running_loop(), asyncio.current_task(), signal.getsignal(signal.SIGTERM)
    assert task is not None, "signals are handled in a task of the event loop"
    why: GraceOver | None = None
    timers: list[asyncio.TimerHandle] = []

    def give_up(reason: str, key: str) -> None:
        nonlocal why
        if why is None:  # the clean-up that follows is not cancelled again
            why = GraceOver(reason, key=key)
            task.cancel()

    def on_sigterm() -> None:
        if stop.is_asked:
            give_up(f"received a second SIGTERM before {last_work} had ended", "SIGTERM")
            return
        on_signal(f"Received SIGTERM: {last_work} (at most {grace_s:g} s)")
        stop.ask()
        late = f"{last_work} took longer than checkpoint.grace_s = {grace_s:g} s after SIGTERM"
        timers.append(loop.call_later(grace_s, give_up, late, "checkpoint.grace_s"))

    loop.add_signal_handler(signal.SIGTERM, on_sigterm)
    try:
        yield
    except asyncio.CancelledError:
        if why is not None:
            raise why from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        for timer in timers:
            timer.cancel()
