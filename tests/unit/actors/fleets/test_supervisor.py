"""Test loading, death and restarts of workers and the end of a role, with a clock moved by hand."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import Worker, WorkerState
from contracts.errors import BadInput, FleetLost, RunFailed
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.remote import task_error
from tests.fakes.workers import FakeWorker, PolicyRole, die, opened
from tests.refusals import raised, refused

READY, SUSPECT, STALE = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE
DEAD, RESTARTING, RETIRED = WorkerState.DEAD, WorkerState.RESTARTING, WorkerState.RETIRED


# --- loading ----------------------------------------------------------------------------------------------------------


def test_all_load_and_serve_and_their_processes_are_told() -> None:
    first, second = FakeWorker(pid=11), FakeWorker(pid=12)
    role = run(opened(PolicyRole(first, second)))
    assert role.states == [READY, READY]
    assert role.found == [("policy-0", 11), ("policy-1", 12)]
    assert [event[1] for event in role.events] == ["policy-0: starting -> ready", "policy-1: starting -> ready"]


def test_the_worker_that_did_not_start_is_named_and_nothing_is_started_again() -> None:
    role = PolicyRole(FakeWorker(), FakeWorker(start_failure=task_error(OSError("no such model"))))
    with pytest.raises(RunFailed) as failure:
        run(role.supervisor.open())
    assert failure.value.key == "policy-1"
    assert role.changes == []


def test_a_config_that_a_worker_refuses_is_the_users_mistake() -> None:
    refusal = BadInput("it can't be used with this model", key="weights.lora")
    role = PolicyRole(FakeWorker(), FakeWorker(start_failure=task_error(refusal)))
    with refused("weights.lora"):
        run(role.supervisor.open())


def test_a_policy_worker_that_has_loaded_is_stale_until_it_is_told_to_be_current() -> None:
    role = run(opened(PolicyRole(FakeWorker(), starts_stale=True)))
    assert role.states == [STALE]
    role.supervisor.mark_current(role.workers[0], "holds version 0")
    assert role.states == [READY]


def test_a_worker_is_prepared_before_it_serves_at_the_start_and_after_every_restart() -> None:
    async def work() -> list[tuple[WorkerState, bool]]:
        role = PolicyRole(FakeWorker(), later=[FakeWorker()])
        seen: list[tuple[WorkerState, bool]] = []

        async def prepare(worker: Worker) -> None:
            seen.append((worker.state, worker in role.supervisor.serving()))

        role.supervisor.prepare = prepare
        await opened(role)
        die(role, 0)
        await role.time.advance(4)
        assert role.states == [READY]
        return seen

    assert run(work()) == [(WorkerState.STARTING, False), (RESTARTING, False)]


def test_a_worker_that_could_not_be_prepared_did_not_start() -> None:
    async def refuse(worker: Worker) -> None:
        raise ValueError(f"no scale for {worker.name}")

    role = PolicyRole(FakeWorker())
    role.supervisor.prepare = refuse
    with raised(RunFailed, "no scale for policy-0", key="policy-0"):
        run(role.supervisor.open())


# --- death and restarts -----------------------------------------------------------------------------------------------


def test_a_dead_worker_is_ended_and_another_process_serves_in_its_place_after_the_wait() -> None:
    async def work() -> PolicyRole:
        first, second = FakeWorker(), FakeWorker(pid=99)
        role = await opened(PolicyRole(first, later=[second]))
        die(role, 0)
        assert role.states == [DEAD]
        await role.time.advance(3)
        assert (role.states, first in role.killed) == ([DEAD], True)
        await role.time.advance(1)
        assert role.states == [READY]
        assert role.workers[0].handle is second
        assert role.found[-1] == ("policy-0", 99)
        return role

    assert run(work()).changes == [
        "policy-0: ready -> dead",
        "policy-0: dead -> restarting",
        "policy-0: restarting -> ready",
    ]


def test_a_late_failure_of_an_earlier_process_changes_nothing() -> None:
    async def work() -> None:
        first = FakeWorker()
        role = await opened(PolicyRole(first))
        die(role, 0)
        die(role, 0)  # two callers may see the same death
        await role.time.advance(4)
        role.supervisor.mark_dead(role.workers[0], "its stream broke", handle=first)
        role.supervisor.mark_suspect(role.workers[0], "it can't be reached", handle=first)
        assert role.states == [READY]

    run(work())


def test_a_spent_budget_retires_the_worker_and_the_error_names_every_worker_and_why() -> None:
    async def work() -> PolicyRole:
        # Two restarts within 100 s, after 4 and 8 s; the third death within the window is the last.
        role = await opened(PolicyRole(FakeWorker(), FakeWorker()))
        role.supervisor.remove(role.workers[1], "its node is gone")
        for wait_s in (4, 8):
            die(role, 0)
            await role.time.advance(wait_s - 1)
            assert role.states == [DEAD, RETIRED]
            await role.time.advance(1)
            assert role.states == [READY, RETIRED]
        waiting = asyncio.ensure_future(role.supervisor.until_serving())
        die(role, 0, "no heartbeat for 6 s")
        late = asyncio.ensure_future(role.supervisor.until_serving())
        await settle()
        assert role.states == [RETIRED, RETIRED]
        assert waiting.done()
        with pytest.raises(FleetLost) as failure:
            await late
        assert failure.value.key == "policy"
        return role

    role = run(work())
    assert "no heartbeat for 6 s" in role.workers[0].why
    assert all(f"{worker.name}: {worker.why}" in str(role.supervisor.lost) for worker in role.workers)
    assert role.events[-1][:2] == ("fleet", "policy: lost")


def test_fewer_than_the_least_number_of_workers_is_the_end_also_while_one_serves() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(), FakeWorker(), min_workers=2))
        role.supervisor.remove(role.workers[0], "scaled down")
        assert role.supervisor.lost is not None
        assert role.supervisor.lost.key == "policy"

    run(work())


def test_a_restart_that_fails_costs_budget_and_is_tried_again() -> None:
    async def work() -> None:
        broken = FakeWorker(start_failure=task_error(MemoryError("no room")))
        role = await opened(PolicyRole(FakeWorker(), later=[broken]))
        die(role, 0)
        await role.time.advance(4)
        assert role.states == [DEAD]
        assert role.workers[0].why == "policy-0 did not start: MemoryError: no room"
        assert broken in role.killed
        await role.time.advance(8)
        assert role.states == [READY]
        die(role, 0)
        await settle()
        assert role.states == [RETIRED]

    run(work())


def test_a_restart_that_does_not_load_until_the_deadline_is_ended() -> None:
    async def work() -> None:
        nowhere = FakeWorker(start_gate=asyncio.Event())
        role = await opened(PolicyRole(FakeWorker(), later=[nowhere], start_timeout_s=0.01))
        die(role, 0)
        dead = asyncio.Event()
        await role.time.advance(4)
        assert role.states == [RESTARTING]
        role.supervisor.subscribe(lambda worker: dead.set())
        await dead.wait()
        assert role.workers[0].why == "gave up waiting for policy-0 to load after 0.01 s"
        await settle()
        assert nowhere in role.killed

    run(work())


def test_a_worker_removed_while_it_loads_is_ended_and_stays_retired() -> None:
    async def work() -> None:
        slow = FakeWorker(start_gate=asyncio.Event())
        role = await opened(PolicyRole(FakeWorker(), FakeWorker(), later=[slow]))
        die(role, 0)
        await role.time.advance(4)
        role.supervisor.remove(role.workers[0], "its node is gone")
        assert slow.start_gate is not None
        slow.start_gate.set()
        await role.time.advance(100)
        assert (role.states, slow in role.killed, role.supervisor.lost) == ([RETIRED, READY], True, None)

    run(work())


@pytest.mark.parametrize("is_retired", [False, True])
def test_a_worker_removed_or_dead_in_the_turn_in_which_its_load_ends_stays_so(is_retired: bool) -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(), FakeWorker()))
        prepared: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def prepare(worker: Worker) -> None:
            if not prepared.done():
                await prepared

        role.supervisor.prepare = prepare
        die(role, 0)
        await role.time.advance(4)
        assert role.states == [RESTARTING, READY]
        prepared.set_result(None)
        if is_retired:
            role.supervisor.remove(role.workers[0], "its node is gone")
        else:
            die(role, 0, "no heartbeat for 6 s")
        await settle()
        assert (role.states, role.supervisor.lost) == ([RETIRED if is_retired else DEAD, READY], None)
        await role.time.advance(8)
        assert role.states == [RETIRED if is_retired else READY, READY]

    run(work())


def test_a_worker_added_while_running_loads_at_once_under_an_unused_name() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker(), FakeWorker(), starts_stale=True))
        role.supervisor.remove(role.workers[1], "scaled down")
        added = role.add(FakeWorker())
        assert (added.name, added.state) == ("policy-2", WorkerState.STARTING)
        await settle()
        assert added.state is STALE

    run(work())


def test_an_added_worker_that_does_not_load_is_restarted_at_the_cost_of_its_budget() -> None:
    async def work() -> None:
        role = await opened(PolicyRole(FakeWorker()))
        added = role.add(FakeWorker(start_failure=ActorDiedError()))
        await settle()
        assert added.state is DEAD
        await role.time.advance(4)
        assert added.state is READY

    run(work())


def test_a_bug_in_a_restart_ends_the_role_instead_of_an_endless_wait() -> None:
    async def work() -> None:
        class Broken(PolicyRole):
            def kill(self, worker: FakeWorker) -> None:
                raise RuntimeError("Ray has been shut down")

        role = await opened(Broken(FakeWorker()))
        die(role, 0)
        await settle()
        assert role.supervisor.lost is not None
        assert role.supervisor.lost.key == "policy"
        assert "Ray has been shut down" in str(role.supervisor.lost)

    run(work())


def test_after_close_there_are_no_heartbeats_and_no_restarts() -> None:
    async def work() -> None:
        worker = FakeWorker()
        role = await opened(PolicyRole(worker))
        await role.time.advance(2)
        die(role, 0)
        await role.supervisor.close()
        beats = worker.num_beats
        await role.time.advance(100)
        assert (role.states, worker.num_beats) == ([DEAD], beats)

    run(work())


# --- workers that are already loaded ----------------------------------------------------------------------------------


def test_loaded_workers_serve_at_once_and_one_that_fails_is_retired() -> None:
    async def work() -> None:
        supervisor = Supervisor.of_loaded("policy", [FakeWorker(), FakeWorker()])
        assert [worker.name for worker in supervisor.serving()] == ["policy-0", "policy-1"]
        supervisor.mark_suspect(supervisor.workers[1], "it can't be reached")  # no heartbeat would ever clear that
        supervisor.mark_dead(supervisor.workers[0], "it died")
        await settle()
        assert [worker.state for worker in supervisor.workers] == [RETIRED, READY]
        assert supervisor.workers[0].why == "it died"

    run(work())


def test_a_role_without_workers_is_an_error_and_no_wait() -> None:
    with pytest.raises(FleetLost) as failure:
        run(Supervisor.of_loaded("pivot", ()).until_serving())
    assert failure.value.key == "pivot"
