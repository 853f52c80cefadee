"""Test the busy seconds of stages that overlap, by a clock that the test sets."""

import asyncio

import pytest

from driver.rollouts.stage_clock import StageClock
from tests.fakes.ports import run
from tests.refusals import raised


class Hand:
    """Hold the time of the clock, in seconds."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


async def begun(clock: StageClock, stage: str) -> "tuple[asyncio.Future[str], asyncio.Task[str]]":
    """Work that ends when its future gets a result."""
    work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(clock.during(stage, work))
    await asyncio.sleep(0)
    return work, task


async def end(work: "asyncio.Future[str]", task: "asyncio.Task[str]") -> str:
    work.set_result("done")
    return await task


def test_seconds_of_one_stage_that_overlap_count_once() -> None:
    """Two at once: 100 to 103 and 102 to 107; then nothing until 110, then one until 111. 7 + 1 seconds."""

    async def watch() -> None:
        hand = Hand()
        clock = StageClock(hand)
        first = await begun(clock, "generate")
        hand.at = 102
        second = await begun(clock, "generate")
        hand.at = 103
        assert await end(*first) == "done"
        hand.at = 107
        await end(*second)
        hand.at = 110
        third = await begun(clock, "generate")
        hand.at = 111
        await end(*third)
        assert clock.take() == {"generate": 8.0}

    run(watch())


def test_stages_are_counted_apart() -> None:
    async def watch() -> None:
        hand = Hand()
        clock = StageClock(hand)
        score, learn = await begun(clock, "score"), await begun(clock, "learn")
        hand.at = 101
        await end(*score)
        hand.at = 105
        await end(*learn)
        assert clock.take() == {"score": 1.0, "learn": 5.0}

    run(watch())


def test_what_is_under_way_counts_up_to_now_and_from_there_the_next_time() -> None:
    async def watch() -> None:
        hand = Hand()
        clock = StageClock(hand)
        generate = await begun(clock, "generate")
        hand.at = 104
        assert clock.take() == {"generate": 4.0}
        hand.at = 105
        assert clock.take() == {"generate": 1.0}
        hand.at = 107
        await end(*generate)
        assert clock.take() == {"generate": 2.0}
        assert clock.take() == {}

    run(watch())


def test_work_that_fails_or_is_given_up_was_work_until_then() -> None:
    async def watch() -> None:
        hand = Hand()
        clock = StageClock(hand)
        work, failing = await begun(clock, "push")
        _, given_up = await begun(clock, "score")
        hand.at = 103
        work.set_exception(ValueError("broken"))
        with raised(ValueError, "broken"):
            await failing
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        hand.at = 200
        assert clock.take() == {"push": 3.0, "score": 3.0}

    run(watch())
