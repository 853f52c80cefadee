"""Test how a silent worker is noticed: asked every second of a fake clock, suspect after 3 s, dead after 6 s."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.worker import WorkerState
from tests.fakes.ports import run
from tests.fakes.remote import task_error, unavailable
from tests.fakes.workers import RULES, FakeWorker, PolicyRole, die, opened

READY, SUSPECT, STALE = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE
DEAD, RESTARTING = WorkerState.DEAD, WorkerState.RESTARTING


def test_a_silent_worker_is_suspected_and_ready_again_when_it_answers() -> None:
    async def work() -> PolicyRole:
        worker = FakeWorker(is_silent=True)
        role = await opened(PolicyRole(worker))
        await role.time.advance(3)  # asked after the first second
        assert role.states == [READY]
        await role.time.advance(1)
        assert role.states == [SUSPECT]
        worker.speak()
        await role.time.advance(20)
        assert (role.states, worker.num_beats > 10) == ([READY], True)
        return role

    role = run(work())
    assert [event[1:] for event in role.events[1:]] == [
        ("policy-0: ready -> suspect", "no heartbeat for 3 s"),
        ("policy-0: suspect -> ready", "it answers again"),
    ]


def test_a_worker_that_stays_silent_is_dead_and_replaced() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(is_silent=True)))
        await role.time.advance(7)
        assert (role.states, role.workers[0].why) == ([DEAD], "no heartbeat for 6 s")
        await role.time.advance(4)
        assert role.states == [READY]
        await role.time.advance(50)
        assert role.states == [READY]  # the silence of the one before is not counted on

    run(work())


def test_a_stale_worker_that_is_silent_never_comes_back_as_ready_by_answering() -> None:
    async def work() -> None:
        worker = FakeWorker(is_silent=True)
        role = await opened(PolicyRole(worker, starts_stale=True))
        await role.time.advance(5)
        assert role.states == [STALE]
        worker.speak()
        await role.time.advance(5)
        assert role.states == [STALE]

    run(work())


def test_a_silent_stale_worker_is_dead_in_time_too() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(is_silent=True), starts_stale=True))
        await role.time.advance(7)
        assert role.states == [DEAD]

    run(work())


def test_a_worker_that_can_not_be_reached_is_suspected_at_once_and_dead_in_time() -> None:
    async def work() -> None:
        worker = FakeWorker(beat_failure=unavailable())
        role = await opened(PolicyRole(worker))
        await role.time.advance(1)
        assert role.states == [SUSPECT]
        await role.time.advance(5)
        assert role.states == [SUSPECT]
        await role.time.advance(1)
        assert role.states == [DEAD]

    run(work())


def test_a_worker_that_can_be_reached_again_is_ready() -> None:
    async def work() -> None:
        worker = FakeWorker(beat_failure=unavailable())
        role = await opened(PolicyRole(worker))
        await role.time.advance(3)
        worker.beat_failure = None
        await role.time.advance(1)
        assert role.states == [READY]

    run(work())


@pytest.mark.parametrize("failure", [ActorDiedError(), task_error(RuntimeError("the engine has ended"))])
def test_a_worker_whose_heartbeat_fails_is_dead_at_once(failure: Exception) -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(beat_failure=failure)))
        await role.time.advance(1)
        assert role.states == [DEAD]

    run(work())


def test_time_in_which_the_driver_did_not_run_is_not_silence() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(is_silent=True)))
        await role.time.advance(2)  # asked at 1 s, silent for 1 s
        await role.time.advance(500, step_s=500)  # the driver was stopped: counts for two looks, 3 s in all
        assert role.states == [SUSPECT]
        await role.time.advance(2)
        assert role.states == [SUSPECT]
        await role.time.advance(1)
        assert role.states == [DEAD]

    run(work())


def test_a_worker_has_at_most_one_open_heartbeat() -> None:
    async def work() -> None:
        worker = FakeWorker(is_silent=True)
        role = await opened(PolicyRole(worker))
        await role.time.advance(5)
        assert worker.num_beats == 1

    run(work())


def test_a_worker_that_falls_silent_while_it_loads_again_is_dead_and_replaced() -> None:
    async def work() -> None:
        hangs = FakeWorker(start_gate=asyncio.Event(), is_silent=True)
        role = await opened(PolicyRole(FakeWorker(), later=[hangs]))
        die(role, 0)
        await role.time.advance(10)  # restarted after 4 s, asked one later
        assert role.states == [RESTARTING]
        await role.time.advance(1)
        assert (role.states, role.workers[0].why) == ([DEAD], "no heartbeat for 6 s")
        assert hangs in role.killed
        assert hangs.start_gate is not None
        hangs.start_gate.set()  # a load that ends too late changes nothing
        await role.time.advance(8)
        assert (role.states, role.workers[0].handle is hangs) == ([READY], False)

    run(work())


def test_a_long_load_of_a_process_that_answers_is_no_silence() -> None:
    async def work() -> None:
        slow = FakeWorker(start_gate=asyncio.Event())
        role = await opened(PolicyRole(FakeWorker(), later=[slow]))
        die(role, 0)
        await role.time.advance(50)
        assert (role.states, slow.num_looks > 10, slow.num_beats) == ([RESTARTING], True, 0)
        assert slow.start_gate is not None
        slow.start_gate.set()
        await role.time.advance(2)
        assert (role.states, slow.num_beats > 0) == ([READY], True)

    run(work())


def test_the_rules_of_these_tests_are_what_their_numbers_assume() -> None:
    assert (RULES.heartbeat_s, RULES.suspect_after_s, RULES.dead_after_s, RULES.backoff_s) == (1, 3, 6, 4)
