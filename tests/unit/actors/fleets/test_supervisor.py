"""The life of workers: loading, death, restarts and the end of a fleet, on fakes and a clock moved by hand."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor, Worker
from contracts.errors import FleetLost, RunFailed
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, Shop, die, opened, settle, task_error

READY, SUSPECT, STALE = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE
DEAD, RESTARTING, RETIRED = WorkerState.DEAD, WorkerState.RESTARTING, WorkerState.RETIRED


# --- loading ----------------------------------------------------------------------------------------------------------


def test_all_load_and_serve_and_their_processes_are_told() -> None:
    first, second = FakeWorker(pid=11), FakeWorker(pid=12)
    shop = run(opened(Shop(first, second)))
    assert shop.states == [READY, READY]
    assert shop.found == [("policy-0", 11), ("policy-1", 12)]
    assert [event[1] for event in shop.events] == ["policy-0: starting -> ready", "policy-1: starting -> ready"]


def test_the_worker_that_did_not_start_is_named_and_nothing_is_started_again() -> None:
    shop = Shop(FakeWorker(), FakeWorker(start_failure=task_error(OSError("no such model"))))
    with pytest.raises(RunFailed, match=r"^policy-1 did not start: OSError: no such model$"):
        run(shop.supervisor.open())
    assert shop.changes == []


def test_a_policy_worker_that_has_loaded_is_stale_until_it_is_told_to_be_current() -> None:
    shop = run(opened(Shop(FakeWorker(), starts_stale=True)))
    assert shop.states == [STALE]
    shop.supervisor.current(shop.workers[0], "holds version 0")
    assert shop.states == [READY]


def test_a_worker_is_prepared_before_it_serves_at_the_start_and_after_every_restart() -> None:
    async def work() -> list[tuple[WorkerState, bool]]:
        shop = Shop(FakeWorker(), later=[FakeWorker()])
        seen: list[tuple[WorkerState, bool]] = []

        async def prepare(worker: Worker) -> None:
            seen.append((worker.state, worker in shop.supervisor.serving()))

        shop.supervisor.prepare = prepare
        await opened(shop)
        die(shop, 0)
        await shop.time.advance(4)
        assert shop.states == [READY]
        return seen

    assert run(work()) == [(WorkerState.STARTING, False), (RESTARTING, False)]


def test_a_worker_that_could_not_be_prepared_did_not_start() -> None:
    async def refuse(worker: Worker) -> None:
        raise ValueError(f"no scale for {worker.name}")

    shop = Shop(FakeWorker())
    shop.supervisor.prepare = refuse
    with pytest.raises(RunFailed, match=r"^policy-0 could not be prepared: no scale for policy-0$"):
        run(shop.supervisor.open())


# --- death and restarts -----------------------------------------------------------------------------------------------


def test_a_dead_worker_is_ended_and_another_process_serves_in_its_place_after_the_wait() -> None:
    async def work() -> Shop:
        first, second = FakeWorker(), FakeWorker(pid=99)
        shop = await opened(Shop(first, later=[second]))
        die(shop, 0)
        assert shop.states == [DEAD]
        await shop.time.advance(3)
        assert (shop.states, first.is_killed) == ([DEAD], True)
        await shop.time.advance(1)
        assert shop.states == [READY]
        assert shop.workers[0].handle is second
        assert shop.found[-1] == ("policy-0", 99)
        return shop

    assert run(work()).changes == [
        "policy-0: ready -> dead",
        "policy-0: dead -> restarting",
        "policy-0: restarting -> ready",
    ]


def test_a_late_word_of_an_earlier_process_changes_nothing() -> None:
    async def work() -> None:
        first = FakeWorker()
        shop = await opened(Shop(first))
        die(shop, 0)
        die(shop, 0)  # two callers may see the same death
        await shop.time.advance(4)
        shop.supervisor.failed(shop.workers[0], "its stream broke", handle=first)
        shop.supervisor.suspect(shop.workers[0], "it can't be reached", handle=first)
        assert shop.states == [READY]

    run(work())


def test_a_spent_budget_retires_the_worker_and_the_error_names_every_worker_and_why() -> None:
    async def work() -> Shop:
        # Two restarts within 100 s, after 4 and 8 s; the third death within the window is the last.
        shop = await opened(Shop(FakeWorker(), FakeWorker()))
        shop.supervisor.retire(shop.workers[1], "its node is gone")
        for wait_s in (4, 8):
            die(shop, 0)
            await shop.time.advance(wait_s - 1)
            assert shop.states == [DEAD, RETIRED]
            await shop.time.advance(1)
            assert shop.states == [READY, RETIRED]
        waiting = asyncio.ensure_future(shop.supervisor.until_serving())
        die(shop, 0, "no heartbeat for 6 s")
        late = asyncio.ensure_future(shop.supervisor.until_serving())
        await settle()
        assert shop.states == [RETIRED, RETIRED]
        assert waiting.done()
        with pytest.raises(FleetLost, match="no heartbeat for 6 s"):
            await late
        return shop

    shop = run(work())
    assert str(shop.supervisor.lost) == (
        "policy workers left: 0, needed: 1; given up: "
        "policy-0: no heartbeat for 6 s; 2 restarts within 100 s are spent; policy-1: its node is gone"
    )
    assert shop.events[-1][:2] == ("fleet", "policy: lost")


def test_fewer_than_the_least_number_of_workers_is_the_end_also_while_one_serves() -> None:
    async def work() -> None:
        shop = await opened(Shop(FakeWorker(), FakeWorker(), min_workers=2))
        shop.supervisor.retire(shop.workers[0], "scaled down")
        assert str(shop.supervisor.lost) == "policy workers left: 1, needed: 2; given up: policy-0: scaled down"

    run(work())


def test_a_restart_that_fails_costs_budget_and_is_tried_again() -> None:
    async def work() -> None:
        broken = FakeWorker(start_failure=task_error(MemoryError("no room")))
        shop = await opened(Shop(FakeWorker(), later=[broken]))
        die(shop, 0)
        await shop.time.advance(4)
        assert shop.states == [DEAD]
        assert shop.workers[0].why == "policy-0 did not start: MemoryError: no room"
        assert broken.is_killed
        await shop.time.advance(8)
        assert shop.states == [READY]
        die(shop, 0)
        await settle()
        assert shop.states == [RETIRED]

    run(work())


def test_a_restart_that_finds_no_place_is_given_up_at_the_deadline_and_ended() -> None:
    async def work() -> None:
        nowhere = FakeWorker(start_gate=asyncio.Event())
        shop = await opened(Shop(FakeWorker(), later=[nowhere], start_timeout_s=0.01))
        die(shop, 0)
        dead = asyncio.Event()
        await shop.time.advance(4)
        assert shop.states == [RESTARTING]
        shop.supervisor.listen(lambda worker: dead.set())
        await dead.wait()
        assert shop.workers[0].why == "gave up waiting for policy-0 to load after 0.01 s"
        await settle()
        assert nowhere.is_killed

    run(work())


def test_a_worker_retired_while_it_loads_is_ended_and_stays_away() -> None:
    async def work() -> None:
        slow = FakeWorker(start_gate=asyncio.Event())
        shop = await opened(Shop(FakeWorker(), FakeWorker(), later=[slow]))
        die(shop, 0)
        await shop.time.advance(4)
        shop.supervisor.retire(shop.workers[0], "its node is gone")
        assert slow.start_gate is not None
        slow.start_gate.set()
        await shop.time.advance(100)
        assert (shop.states, slow.is_killed, shop.supervisor.lost) == ([RETIRED, READY], True, None)

    run(work())


@pytest.mark.parametrize("is_retired", [False, True])
def test_a_worker_given_up_in_the_very_turn_in_which_its_load_ends_is_given_up(is_retired: bool) -> None:
    async def work() -> None:
        shop = await opened(Shop(FakeWorker(), FakeWorker()))
        prepared: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def prepare(worker: Worker) -> None:
            if not prepared.done():
                await prepared

        shop.supervisor.prepare = prepare
        die(shop, 0)
        await shop.time.advance(4)
        assert shop.states == [RESTARTING, READY]
        prepared.set_result(None)
        if is_retired:
            shop.supervisor.retire(shop.workers[0], "its node is gone")
        else:
            die(shop, 0, "no heartbeat for 6 s")
        await settle()
        assert (shop.states, shop.supervisor.lost) == ([RETIRED if is_retired else DEAD, READY], None)
        await shop.time.advance(8)
        assert shop.states == [RETIRED if is_retired else READY, READY]

    run(work())


def test_a_worker_hired_while_running_loads_by_itself_under_a_name_that_was_never_used() -> None:
    async def work() -> None:
        shop = await opened(Shop(FakeWorker(), FakeWorker(), starts_stale=True))
        shop.supervisor.retire(shop.workers[1], "scaled down")
        added = shop.hire(FakeWorker())
        assert (added.name, added.state) == ("policy-2", WorkerState.STARTING)
        await settle()
        assert added.state is STALE

    run(work())


def test_a_hired_worker_that_does_not_load_is_started_again_at_its_own_cost() -> None:
    async def work() -> None:
        shop = await opened(Shop(FakeWorker()))
        added = shop.hire(FakeWorker(start_failure=ActorDiedError()))
        await settle()
        assert added.state is DEAD
        await shop.time.advance(4)
        assert added.state is READY

    run(work())


def test_a_fault_in_a_restart_itself_ends_the_fleet_instead_of_a_wait_for_ever() -> None:
    async def work() -> None:
        class Broken(Shop):
            def kill(self, worker: FakeWorker) -> None:
                raise RuntimeError("Ray has been shut down")

        shop = await opened(Broken(FakeWorker()))
        die(shop, 0)
        await settle()
        assert str(shop.supervisor.lost) == "the supervisor of policy failed: RuntimeError: Ray has been shut down"

    run(work())


def test_after_close_nobody_is_asked_or_started_again() -> None:
    async def work() -> None:
        worker = FakeWorker()
        shop = await opened(Shop(worker))
        await shop.time.advance(2)
        die(shop, 0)
        await shop.supervisor.close()
        beats = worker.num_beats
        await shop.time.advance(100)
        assert (shop.states, worker.num_beats) == ([DEAD], beats)

    run(work())


# --- workers that somebody else has loaded ----------------------------------------------------------------------------


def test_given_workers_serve_at_once_and_one_that_fails_is_given_up() -> None:
    async def work() -> None:
        supervisor = Supervisor.around("policy", [FakeWorker(), FakeWorker()])
        assert [worker.name for worker in supervisor.serving()] == ["policy-0", "policy-1"]
        supervisor.suspect(supervisor.workers[1], "it can't be reached")  # no heartbeat would ever clear that
        supervisor.failed(supervisor.workers[0], "it died")
        await settle()
        assert [worker.state for worker in supervisor.workers] == [RETIRED, READY]
        assert supervisor.workers[0].why == "it died"

    run(work())


def test_nobody_at_all_is_an_error_and_no_wait() -> None:
    with pytest.raises(FleetLost, match=r"^this run has no pivot workers$"):
        run(Supervisor.around("pivot", ()).until_serving())
