"""The policy's workers and the weights: who is to receive them, and what becomes of one that did not."""

import asyncio

import pytest

from actors.fleets.policy import PolicyFleet
from actors.fleets.states import WorkerState
from actors.generation.step_loop import StaleEngine
from contracts.errors import FleetLost
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, Shop, request, settle

READY, SUSPECT, STALE, DEAD = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE, WorkerState.DEAD


async def opened(shop: Shop) -> PolicyFleet:
    fleet = PolicyFleet(shop.supervisor, timeout_s=60.0)
    await shop.supervisor.open()
    return fleet


def pair(*, later: list[FakeWorker] | None = None) -> Shop:
    return Shop(FakeWorker(), FakeWorker(), later=later, starts_stale=True)


def test_workers_serve_once_they_have_received_weights() -> None:
    async def work() -> None:
        shop = pair()
        fleet = await opened(shop)
        assert list(fleet.receivers()) == ["policy-0", "policy-1"]
        fleet.received(["policy-1"], 0)
        assert shop.states == [STALE, READY]
        assert (await fleet.sample(request("a")))[0].text == "a"
        assert not fleet.stale.is_set()  # the first weights come by themselves

    run(work())


def test_a_worker_that_was_started_again_serves_nothing_before_it_has_received_weights() -> None:
    async def work() -> None:
        replaced = FakeWorker()
        shop = pair(later=[replaced])
        fleet = await opened(shop)
        fleet.received(fleet.receivers(), 0)
        shop.supervisor.failed(shop.workers[0], "it died")
        assert list(fleet.receivers()) == ["policy-1"]
        await shop.time.advance(4)
        assert shop.states == [STALE, READY]
        assert fleet.stale.is_set()
        await asyncio.gather(*(fleet.sample(request(name)) for name in "ab"))
        assert replaced.messages == []
        fleet.received(fleet.receivers(), 1)
        await asyncio.gather(*(fleet.sample(request(name)) for name in "ab"))
        assert replaced.messages == [["a"]]

    run(work())


def test_a_process_that_was_exchanged_during_the_push_has_received_nothing() -> None:
    async def work() -> None:
        shop = pair()
        fleet = await opened(shop)
        to_all = fleet.receivers()
        shop.supervisor.failed(shop.workers[0], "it died in the push")
        await shop.time.advance(4)
        fleet.received(to_all, 1)
        assert shop.states == [STALE, READY]

    run(work())


def test_a_suspect_worker_that_took_the_weights_serves_again_when_it_answers() -> None:
    async def work() -> None:
        shop = pair()
        fleet = await opened(shop)
        fleet.received(fleet.receivers(), 0)
        shop.supervisor.suspect(shop.workers[0], "no heartbeat for 3 s")
        assert list(fleet.receivers()) == ["policy-0", "policy-1"]
        fleet.received(["policy-0"], 1)
        assert shop.states == [SUSPECT, READY]
        shop.supervisor.answered(shop.workers[0])
        assert shop.states == [READY, READY]

    run(work())


def test_one_missed_push_makes_a_worker_stale_and_the_second_in_a_row_replaces_it() -> None:
    async def work() -> None:
        shop = pair()
        fleet = await opened(shop)
        fleet.received(fleet.receivers(), 0)
        fleet.missed("policy-0", "it took longer than 60 s")
        assert (shop.states, fleet.stale.is_set()) == ([STALE, READY], False)
        fleet.received(["policy-0"], 1)
        fleet.missed("policy-0", "it took longer than 60 s")
        assert shop.states == [STALE, READY]
        fleet.missed("policy-0", "it took longer than 60 s")
        assert shop.states == [DEAD, READY]
        assert shop.workers[0].why == "missed 2 weight pushes: it took longer than 60 s"
        await shop.time.advance(4)
        fleet.missed("policy-0", "once more")  # another process: its first
        assert shop.states == [STALE, READY]

    run(work())


def test_an_engine_that_says_it_is_stale_asks_for_weights() -> None:
    async def work() -> None:
        shop = Shop(FakeWorker(refusals={"a": StaleEngine("the engine is stale")}), FakeWorker(), starts_stale=True)
        fleet = await opened(shop)
        fleet.received(fleet.receivers(), 0)
        await fleet.sample(request("a"))
        assert (shop.states, fleet.stale.is_set()) == ([STALE, READY], True)

    run(work())


def test_a_push_waits_for_a_worker_and_hears_when_there_will_be_none() -> None:
    async def work() -> None:
        shop = Shop(FakeWorker(), starts_stale=True)
        fleet = await opened(shop)
        await fleet.wait_receivers()
        shop.supervisor.failed(shop.workers[0], "it died")
        waiting = asyncio.ensure_future(fleet.wait_receivers())
        await settle()
        assert not waiting.done()
        await shop.time.advance(4)
        await waiting
        shop.supervisor.retire(shop.workers[0], "its node is gone")
        with pytest.raises(FleetLost, match="policy-0: its node is gone"):
            await fleet.wait_receivers()

    run(work())
