"""Test workers that the first request starts."""

import asyncio

import pytest

from actors.fleets.on_demand import OnDemand
from contracts.errors import RunFailed
from contracts.ports import Generator
from tests.builders import a_sampling_request
from tests.fakes.ports import FakeGenerator, run


class Starter:
    """Start a generator when the test lets it, and count how often it was asked to."""

    def __init__(self, *failures: Exception) -> None:
        self.generator = FakeGenerator()
        self.failures = list(failures)
        self.num_starts = 0
        self.may_start = asyncio.Event()

    async def start(self) -> Generator:
        self.num_starts += 1
        await self.may_start.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.generator


def test_nothing_starts_before_a_request_and_all_requests_share_the_start() -> None:
    async def ask() -> None:
        starter = Starter()
        pool = OnDemand(starter.start)
        await asyncio.sleep(0)
        assert starter.num_starts == 0
        asked = [asyncio.ensure_future(pool.sample(a_sampling_request(name))) for name in "ab"]
        await asyncio.sleep(0)
        assert starter.generator.requests == []
        starter.may_start.set()
        assert [rollouts[0].text for rollouts in await asyncio.gather(*asked)] == ["a#0", "b#0"]
        await pool.sample(a_sampling_request("c"))
        assert starter.num_starts == 1

    run(ask())


def test_a_cancelled_request_leaves_the_start_to_the_others() -> None:
    async def ask() -> None:
        starter = Starter()
        pool = OnDemand(starter.start)
        first, second = (asyncio.ensure_future(pool.sample(a_sampling_request(name))) for name in "ab")
        await asyncio.sleep(0)
        first.cancel()
        starter.may_start.set()
        assert (await second)[0].text == "b#0"
        assert starter.num_starts == 1

    run(ask())


def test_after_a_failed_start_the_next_request_starts_again() -> None:
    async def ask() -> None:
        starter = Starter(RunFailed("no resources", key="pivot"))
        starter.may_start.set()
        pool = OnDemand(starter.start)
        with pytest.raises(RunFailed):
            await pool.sample(a_sampling_request())
        await pool.sample(a_sampling_request())
        assert starter.num_starts == 2

    run(ask())


def test_closing_ends_a_start_that_is_under_way() -> None:
    async def ask() -> None:
        starter = Starter()
        pool = OnDemand(starter.start)
        asked = asyncio.ensure_future(pool.sample(a_sampling_request()))
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(asyncio.CancelledError):
            await asked

    run(ask())
