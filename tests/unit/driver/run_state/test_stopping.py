"""Check that SIGTERM asks to stop, and that only a second one or the end of the grace cuts work off."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from contracts.errors import RunFailed
from driver.run_state.stopping import GraceOver, Stopped, StopRequest, stopping_on_sigterm
from tests.fakes.ports import run

LONG = 3600.0


def on_sigterm(
    stop: StopRequest, *, grace_s: float = LONG, on_signal: Callable[[str], None] = lambda text: None
) -> AbstractContextManager[None]:
    return stopping_on_sigterm(stop, grace_s=grace_s, last_work="finishing this step", on_signal=on_signal)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_first_sigterm_asks_to_stop_and_the_step_under_way_goes_on_to_its_end() -> None:
    async def watch() -> None:
        stop, said, finished = StopRequest(), [], False
        with on_sigterm(stop, on_signal=said.append):
            assert not stop.is_asked
            terminate()
            await stop.wait()
            await asyncio.sleep(0)  # the step goes on
            finished = True
        assert finished
        assert stop.is_asked
        assert len(said) == 1
        assert "finishing this step" in said[0] and "3600 s" in said[0]

    run(watch())


def test_a_second_sigterm_is_not_waited_for() -> None:
    async def watch() -> None:
        stop, said = StopRequest(), []
        with (
            pytest.raises(GraceOver) as ended,
            on_sigterm(stop, on_signal=said.append),
        ):
            terminate()
            await stop.wait()
            terminate()
            await asyncio.Event().wait()
        assert len(said) == 1
        assert ended.value.key == "SIGTERM"

    run(watch())


def test_at_the_end_of_the_grace_the_step_is_cut_off() -> None:
    async def watch() -> None:
        stop = StopRequest()
        cut_off = False
        with (
            pytest.raises(RunFailed) as ended,
            on_sigterm(stop, grace_s=0.01),
        ):
            terminate()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut_off = True
                raise
        assert cut_off
        assert ended.value.key == "checkpoint.grace_s"

    run(watch())


def test_the_clean_up_is_not_cut_off_by_a_third_sigterm() -> None:
    async def watch() -> None:
        stop, ended = StopRequest(), []
        with pytest.raises(GraceOver), on_sigterm(stop):
            terminate()
            await stop.wait()
            terminate()
            try:
                await asyncio.Event().wait()
            finally:
                terminate()
                for _ in range(5):
                    await asyncio.sleep(0)
                ended.append("closed")
        assert ended == ["closed"]

    run(watch())


def test_a_run_that_ended_in_time_is_not_cut_off_afterwards() -> None:
    async def watch() -> None:
        stop = StopRequest()
        with on_sigterm(stop, grace_s=0.01):
            terminate()
            await stop.wait()
        await asyncio.sleep(0.03)  # longer than the grace was

    run(watch())


def test_a_cancellation_without_a_signal_stays_one() -> None:
    async def watch() -> None:
        async def body() -> None:
            with on_sigterm(StopRequest()):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(watch())


def test_afterwards_the_signal_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def watch() -> None:
        with on_sigterm(StopRequest()):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    run(watch())


def test_a_request_is_heard_by_all_who_wait_and_by_those_who_come_later() -> None:
    async def watch() -> None:
        stop = StopRequest()
        waiting = [asyncio.ensure_future(stop.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        stop.ask()
        await asyncio.gather(*waiting)
        await stop.wait()

    run(watch())


def test_what_can_be_left_is_left_as_soon_as_a_stop_is_asked() -> None:
    async def watch() -> None:
        stop, was_cancelled = StopRequest(), False

        async def evaluation() -> None:
            nonlocal was_cancelled
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                was_cancelled = True
                raise

        asyncio.get_running_loop().call_soon(stop.ask)
        with pytest.raises(Stopped):
            await stop.before(evaluation())
        await asyncio.sleep(0)
        assert was_cancelled

    run(watch())


def test_what_ends_before_a_stop_is_asked_gives_its_result() -> None:
    async def done() -> int:
        return 7

    async def watch() -> int:
        return await StopRequest().before(done())

    assert run(watch()) == 7
