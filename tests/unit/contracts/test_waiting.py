"""Check that a wait has a deadline and says what it waits for."""

import asyncio
import re

import pytest

from contracts.errors import RunFailed
from contracts.waiting import duration, waiting_for
from tests.refusals import raised


async def never() -> None:
    await asyncio.Event().wait()


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "result"


def test_a_wait_that_ends_in_time_returns_its_result_and_prints_nothing() -> None:
    said: list[str] = []
    result = asyncio.run(waiting_for(after(0), "the scorer", timeout_s=5, on_wait=said.append))
    assert (result, said) == ("result", [])


def test_a_long_wait_prints_again_and_again_what_it_waits_for() -> None:
    said: list[str] = []

    async def wait_until_it_has_spoken_twice() -> str:
        done = asyncio.Event()

        def on_wait(text: str) -> None:
            said.append(text)
            if len(said) == 2:
                done.set()

        await waiting_for(done.wait(), "the scorer", timeout_s=60, on_wait=on_wait, note_every_s=0.01)
        return "ended"

    assert asyncio.run(wait_until_it_has_spoken_twice()) == "ended"
    assert len(said) == 2
    assert all(re.fullmatch(r"waiting for the scorer: \d+ s, at most 1 min 0 s", text) for text in said)


def test_a_wait_beyond_its_deadline_fails_with_what_it_waited_for_and_cancels_it() -> None:
    cancelled: list[bool] = []

    async def noticing() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def wait() -> None:
        with raised(RunFailed, " 0.02 s", key="the learner"):
            await waiting_for(noticing(), "the learner", timeout_s=0.02, on_wait=lambda text: None)
        await asyncio.sleep(0)  # lets the cancelled task end

    asyncio.run(wait())
    assert cancelled == [True]


def test_a_failure_while_waiting_is_raised_as_it_is() -> None:
    async def broken() -> None:
        raise ConnectionError("worker is gone")

    with raised(ConnectionError, "worker is gone"):
        asyncio.run(waiting_for(broken(), "the worker", timeout_s=5, on_wait=lambda text: None))


def test_cancelling_the_wait_cancels_what_it_waits_for() -> None:
    async def wait() -> bool:
        inner = asyncio.ensure_future(never())
        outer = asyncio.ensure_future(waiting_for(inner, "it", timeout_s=60, on_wait=lambda text: None))
        await asyncio.sleep(0)
        outer.cancel()
        await asyncio.wait({outer, inner}, timeout=5)
        return outer.cancelled() and inner.cancelled()

    assert asyncio.run(wait())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
