"""Test which policy workers receive the weights, and what happens to a worker that does not."""

import asyncio

import pytest

from actors.fleets.policy import PolicyPool
from actors.fleets.worker import WorkerState
from actors.generation.step_loop import StaleEngine
from contracts.errors import FleetLost
from tests.builders import a_sampling_request
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, PolicyRole

READY, SUSPECT, STALE, DEAD = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE, WorkerState.DEAD


async def opened(role: PolicyRole) -> PolicyPool:
    pool = PolicyPool(role.supervisor, timeout_s=60.0)
    await role.supervisor.open()
    return pool


def pair(*, later: list[FakeWorker] | None = None) -> PolicyRole:
    return PolicyRole(FakeWorker(), FakeWorker(), later=later, starts_stale=True)


def test_workers_serve_once_they_have_received_weights() -> None:
    async def work() -> None:
        role = pair()
        pool = await opened(role)
        assert list(pool.receivers()) == ["policy-0", "policy-1"]
        pool.received(["policy-1"], 0)
        assert role.states == [STALE, READY]
        assert (await pool.sample(a_sampling_request("a")))[0].text == "a"
        assert not pool.stale.is_set()  # the first weights come by themselves

    run(work())


def test_a_worker_that_was_started_again_serves_nothing_before_it_has_received_weights() -> None:
    async def work() -> None:
        replaced = FakeWorker()
        role = pair(later=[replaced])
        pool = await opened(role)
        pool.received(pool.receivers(), 0)
        role.supervisor.mark_dead(role.workers[0], "it died")
        assert list(pool.receivers()) == ["policy-1"]
        await role.time.advance(4)
        assert role.states == [STALE, READY]
        assert pool.stale.is_set()
        await asyncio.gather(*(pool.sample(a_sampling_request(name)) for name in "ab"))
        assert replaced.messages == []
        pool.received(pool.receivers(), 1)
        await asyncio.gather(*(pool.sample(a_sampling_request(name)) for name in "ab"))
        assert replaced.messages == [["a"]]

    run(work())


def test_a_process_that_was_replaced_during_the_push_has_received_nothing() -> None:
    async def work() -> None:
        role = pair()
        pool = await opened(role)
        to_all = pool.receivers()
        role.supervisor.mark_dead(role.workers[0], "it died in the push")
        await role.time.advance(4)
        pool.received(to_all, 1)
        assert role.states == [STALE, READY]

    run(work())


def test_a_suspect_worker_that_took_the_weights_serves_again_when_it_answers() -> None:
    async def work() -> None:
        role = pair()
        pool = await opened(role)
        pool.received(pool.receivers(), 0)
        role.supervisor.mark_suspect(role.workers[0], "no heartbeat for 3 s")
        assert list(pool.receivers()) == ["policy-0", "policy-1"]
        pool.received(["policy-0"], 1)
        assert role.states == [SUSPECT, READY]
        role.supervisor.mark_answering(role.workers[0])
        assert role.states == [READY, READY]

    run(work())


def test_one_missed_push_makes_a_worker_stale_and_the_second_in_a_row_replaces_it() -> None:
    async def work() -> None:
        role = pair()
        pool = await opened(role)
        pool.received(pool.receivers(), 0)
        pool.missed("policy-0", "it took longer than 60 s")
        assert (role.states, pool.stale.is_set()) == ([STALE, READY], False)
        pool.received(["policy-0"], 1)
        pool.missed("policy-0", "it took longer than 60 s")
        assert role.states == [STALE, READY]
        pool.missed("policy-0", "it took longer than 60 s")
        assert role.states == [DEAD, READY]
        assert role.workers[0].why == "missed 2 weight pushes: it took longer than 60 s"
        await role.time.advance(4)
        pool.missed("policy-0", "once more")  # another process: its first
        assert role.states == [STALE, READY]

    run(work())


def test_an_engine_that_says_it_is_stale_asks_for_weights() -> None:
    async def work() -> None:
        role = PolicyRole(
            FakeWorker(refusals={"a": StaleEngine("the engine is stale")}), FakeWorker(), starts_stale=True
        )
        pool = await opened(role)
        pool.received(pool.receivers(), 0)
        await pool.sample(a_sampling_request("a"))
        assert (role.states, pool.stale.is_set()) == ([STALE, READY], True)

    run(work())


def test_a_push_waits_for_a_worker_and_fails_when_there_will_be_none() -> None:
    async def work() -> None:
        role = PolicyRole(FakeWorker(), starts_stale=True)
        pool = await opened(role)
        await pool.wait_receivers()
        role.supervisor.mark_dead(role.workers[0], "it died")
        waiting = asyncio.ensure_future(pool.wait_receivers())
        await settle()
        assert not waiting.done()
        await role.time.advance(4)
        await waiting
        role.supervisor.remove(role.workers[0], "its node is gone")
        with pytest.raises(FleetLost) as failure:
            await pool.wait_receivers()
        assert failure.value.key == "policy"

    run(work())


def test_a_worker_that_is_sent_weights_may_be_silent_and_the_silence_is_counted_afterwards() -> None:
    async def work() -> None:
        role = PolicyRole(FakeWorker(is_silent=True), FakeWorker(is_silent=True), starts_stale=True)
        pool = await opened(role)
        pool.receivers()
        with pool.sending(["policy-0"]):
            await role.time.advance(5)
            assert role.states == [STALE, STALE]
            await role.time.advance(2)  # more than 6 s of silence
            assert role.states == [STALE, DEAD]
            await role.time.advance(600)
            assert role.states[0] is STALE
        await role.time.advance(5)
        assert role.states[0] is STALE
        await role.time.advance(2)
        assert role.states[0] is DEAD

    run(work())


def test_the_end_of_a_push_that_failed_ends_the_excuse_too() -> None:
    async def work() -> None:
        role = PolicyRole(FakeWorker(is_silent=True), starts_stale=True)
        pool = await opened(role)
        pool.receivers()
        with pytest.raises(RuntimeError), pool.sending(["policy-0"]):
            raise RuntimeError("the learner is lost")
        await role.time.advance(7)
        assert role.states == [DEAD]

    run(work())
