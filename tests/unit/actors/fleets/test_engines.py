"""Test pools of engines: the worker of each request, what is sent together, and what happens when a worker fails."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError

from actors.fleets.engines import MAX_DEATHS, EnginePool
from actors.fleets.pool import Unanswered
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import WorkerState
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import RequestFailed, one_line, processes, ready
from contracts.errors import FleetLost, RunFailed
from tests.builders import a_sampling_request
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.remote import task_error, unavailable
from tests.fakes.workers import FakeWorker, PolicyRole
from tests.refusals import raised

READY, SUSPECT, STALE, RETIRED = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE, WorkerState.RETIRED


def around(*workers: FakeWorker, role: str = "policy", timeout_s: float = 60.0) -> EnginePool:
    return EnginePool(Supervisor.of_loaded(role, workers), timeout_s=timeout_s)


async def opened(role: PolicyRole, *, timeout_s: float = 60.0) -> EnginePool:
    pool = EnginePool(role.supervisor, timeout_s=timeout_s)
    await role.supervisor.open()
    return pool


def asking(pool: EnginePool, names: str) -> "list[asyncio.Task[str]]":
    async def one(name: str) -> str:
        return (await pool.sample(a_sampling_request(name)))[0].text

    return [asyncio.ensure_future(one(name)) for name in names]


async def sample_all(pool: EnginePool, names: str) -> list[str | BaseException]:
    return await asyncio.gather(*asking(pool, names), return_exceptions=True)


# --- what travels together --------------------------------------------------------------------------------------------


def test_requests_of_one_turn_travel_together_spread_in_order_over_the_workers() -> None:
    workers = [FakeWorker(), FakeWorker()]
    assert run(sample_all(around(*workers), "abcde")) == list("abcde")
    assert [worker.messages for worker in workers] == [[["a", "c", "e"]], [["b", "d"]]]


def test_requests_of_another_turn_are_another_message() -> None:
    async def twice(pool: EnginePool) -> None:
        await sample_all(pool, "ab")
        await sample_all(pool, "c")

    worker = FakeWorker()
    run(twice(around(worker)))
    assert worker.messages == [["a", "b"], ["c"]]


def test_a_worker_without_a_share_is_left_alone() -> None:
    workers = [FakeWorker(), FakeWorker()]
    run(sample_all(around(*workers), "a"))
    assert [worker.messages for worker in workers] == [[["a"]], []]


def test_the_worker_with_the_fewest_unfinished_samples_is_asked_next() -> None:
    async def work() -> list[list[list[str]]]:
        workers = [FakeWorker(hangs=True), FakeWorker(hangs=True)]
        pool = around(*workers)
        many = asyncio.ensure_future(pool.sample(a_sampling_request("many", num_samples=3)))
        others = asking(pool, "abcd")  # policy-1 takes three of one sample, then both are at three
        await settle()
        workers[1].release.set()
        await settle()
        assert [other.done() for other in others] == [True, True, True, False]
        await asyncio.gather(*asking(pool, "ef"))  # policy-0 is still at four
        workers[0].release.set()
        await asyncio.gather(many, *others)
        return [worker.messages for worker in workers]

    assert run(work()) == [[["many", "d"]], [["a", "b", "c"], ["e", "f"]]]


# --- a worker that fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [ActorDiedError(), task_error(MemoryError("no room")), ObjectLostError("00" * 28, None, ""), None]
)
def test_requests_that_a_worker_left_unanswered_go_to_another_with_the_same_seeds(failure: Exception | None) -> None:
    """None: its stream just ends."""
    workers = [FakeWorker(num_answers=1, failure=failure), FakeWorker()]
    pool = around(*workers)
    assert run(sample_all(pool, "abcde")) == list("abcde")
    # policy-0 was asked for a, c and e and answered the last one.
    assert workers[1].messages == [["b", "d"], ["a#again-1", "c#again-1"]]
    assert set(workers[1].seeds) == {(7,)}
    assert [worker.state for worker in pool.supervisor.workers] == [RETIRED, READY]


def test_a_worker_that_is_replaced_is_asked_again_when_it_is_the_only_one() -> None:
    async def work() -> None:
        first, second = FakeWorker(hangs=True), FakeWorker()
        role = PolicyRole(first, later=[second])
        pool = await opened(role)
        asked = asking(pool, "ab")
        await settle()
        first.die()
        await role.time.advance(4)
        assert await asyncio.gather(*asked) == ["a", "b"]
        assert (first.messages, second.messages) == ([["a", "b"]], [["a#again-1", "b#again-1"]])

    run(work())


def test_a_worker_that_falls_silent_is_asked_nothing_new_and_in_the_end_others_take_its_requests() -> None:
    async def work() -> None:
        stopped, other = FakeWorker(hangs=True, is_silent=True), FakeWorker()
        role = PolicyRole(stopped, other)
        pool = await opened(role)
        (asked,) = asking(pool, "a")
        await role.time.advance(4)
        assert role.states == [SUSPECT, READY]
        assert await sample_all(pool, "bc") == ["b", "c"]
        assert not asked.done()
        await role.time.advance(3)
        assert await asked == "a"
        assert (stopped.messages, other.messages) == ([["a"]], [["b", "c"], ["a#again-1"]])

    run(work())


def test_a_worker_that_answers_after_all_is_too_late_and_does_no_harm() -> None:
    async def work() -> None:
        stopped, other = FakeWorker(hangs=True), FakeWorker(hangs=True)
        role = PolicyRole(stopped, other)
        pool = await opened(role)
        (asked,) = asking(pool, "a")
        await settle()
        role.supervisor.mark_stale(role.workers[0], "missed a weight push")  # its process goes on
        await settle()
        assert other.messages == [["a#again-1"]]
        stopped.release.set()  # the first answer counts
        assert await asked == "a"
        other.release.set()
        await settle()
        role.supervisor.mark_current(role.workers[0], "holds version 1")
        assert await sample_all(pool, "bc") == ["b", "c"]  # the loads are even again
        assert (stopped.messages[1:], other.messages[1:]) == ([["b"]], [["c"]])

    run(work())


def test_a_worker_that_can_not_be_reached_loses_its_message_to_others() -> None:
    async def work() -> None:
        away, other = FakeWorker(hangs=True), FakeWorker()
        role = PolicyRole(away, other)
        pool = await opened(role)
        (asked,) = asking(pool, "a")
        await settle()
        away.die(unavailable())
        assert await asked == "a"
        assert (role.states, other.messages) == ([SUSPECT, READY], [["a#again-1"]])

    run(work())


def test_an_engine_that_has_ended_is_replaced_and_its_requests_go_to_others() -> None:
    async def work() -> None:
        broken = FakeWorker(refusals={name: DeadEngine("the engine has ended") for name in "ac"})
        role = PolicyRole(broken, FakeWorker())
        pool = await opened(role)
        assert await sample_all(pool, "abc") == ["a", "b", "c"]
        assert role.changes[0] == "policy-0: ready -> dead"
        await role.time.advance(4)
        assert (role.states, role.workers[0].handle is broken) == ([READY, READY], False)

    run(work())


def test_a_stale_engine_is_asked_nothing_and_its_requests_go_to_others() -> None:
    async def work() -> None:
        stale = FakeWorker(refusals={"a": StaleEngine("the engine is stale")})
        role = PolicyRole(stale, FakeWorker())
        pool = await opened(role)
        assert await sample_all(pool, "ab") == ["a", "b"]
        assert role.states == [STALE, READY]

    run(work())


def test_a_request_that_cannot_be_answered_fails_for_its_caller_alone() -> None:
    worker = FakeWorker(refusals={"b": RequestFailed("ValueError: request b: a prompt of 9 tokens leaves no room")})
    pool = around(worker)
    first, second, third = run(sample_all(pool, "abc"))
    assert (first, third) == ("a", "c")
    assert isinstance(second, Unanswered)
    assert (second.key, second.failure.kind) == ("policy-0", "failed")
    assert "a prompt of 9 tokens leaves no room" in str(second)  # the engine's own words
    assert pool.supervisor.workers[0].state is READY


def test_a_request_under_which_worker_after_worker_dies_is_taken_for_the_cause() -> None:
    async def work() -> None:
        workers = [FakeWorker(hangs=True) for _ in range(MAX_DEATHS + 1)]
        pool = around(*workers)
        (asked,) = asking(pool, "a")
        for worker in workers[:MAX_DEATHS]:
            await settle()
            assert not asked.done()
            worker.die(task_error(RuntimeError("illegal instruction")))
        with pytest.raises(Unanswered) as failure:
            await asked
        assert (failure.value.key, failure.value.failure.kind) == (f"policy-{MAX_DEATHS - 1}", "died")

    run(work())


# --- no worker is ready -----------------------------------------------------------------------------------------------


def test_requests_wait_for_the_first_worker_that_serves_and_keep_their_order() -> None:
    async def work() -> None:
        workers = [FakeWorker(), FakeWorker()]
        role = PolicyRole(*workers, starts_stale=True)
        pool = await opened(role)
        asked = asking(pool, "abc")
        await settle()
        role.supervisor.mark_current(role.workers[1], "holds version 0")
        assert await asyncio.gather(*asked) == ["a", "b", "c"]
        assert [worker.messages for worker in workers] == [[], [["a", "b", "c"]]]

    run(work())


def test_a_request_without_an_answer_in_time_fails_and_names_the_worker() -> None:
    pool = around(FakeWorker(hangs=True), timeout_s=0.01)
    (lost,) = run(sample_all(pool, "a"))
    assert isinstance(lost, Unanswered)
    assert (lost.key, lost.failure.kind) == ("policy-0", "timed out")


def test_a_request_that_no_worker_took_in_time_fails_and_names_the_workers_states() -> None:
    async def work() -> list[str | BaseException]:
        pool = await opened(PolicyRole(FakeWorker(), starts_stale=True), timeout_s=0.01)
        return await sample_all(pool, "a")

    (lost,) = run(work())
    assert isinstance(lost, Unanswered)
    assert (lost.key, lost.failure.kind) == ("policy", "timed out")
    assert "policy-0 is stale" in str(lost)


def test_all_callers_fail_when_too_few_workers_are_left() -> None:
    async def work() -> None:
        role = PolicyRole(FakeWorker(hangs=True), FakeWorker(hangs=True), min_workers=2)
        pool = await opened(role)
        asked = asking(pool, "ab")
        await settle()
        role.supervisor.remove(role.workers[0], "its node is gone")  # b is under way on the other
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for lost in [*answers, *await sample_all(pool, "c")]:
            assert isinstance(lost, FleetLost)
            assert lost.key == "policy"
            assert "policy-0: its node is gone" in str(lost)

    run(work())


def test_a_fleet_without_workers_refuses_at_once() -> None:
    (lost,) = run(sample_all(around(role="pivot"), "a"))
    assert isinstance(lost, FleetLost)
    assert lost.key == "pivot"


# --- callers that leave -----------------------------------------------------------------------------------------------


def test_a_request_whose_caller_has_left_is_not_sent() -> None:
    async def work() -> None:
        worker = FakeWorker()
        role = PolicyRole(worker, starts_stale=True)
        pool = await opened(role)
        (impatient,), (kept,) = asking(pool, "a"), asking(pool, "b")
        await settle()
        impatient.cancel()
        await settle()
        role.supervisor.mark_current(role.workers[0], "holds version 0")
        assert await kept == "b"
        assert worker.messages == [["b"]]

    run(work())


def test_an_answer_whose_caller_has_left_does_no_harm() -> None:
    async def leave(pool: EnginePool) -> list[str | BaseException]:
        impatient = asyncio.ensure_future(pool.sample(a_sampling_request("a")))
        await asyncio.sleep(0)
        impatient.cancel()
        return await sample_all(pool, "b")

    assert run(leave(around(FakeWorker()))) == ["b"]


def test_a_request_whose_caller_has_left_is_not_sent_again() -> None:
    async def work() -> None:
        first, second = FakeWorker(hangs=True), FakeWorker()
        pool = around(first, second)
        impatient, kept = asking(pool, "a"), asking(pool, "bc")
        await settle()
        impatient[0].cancel()
        first.die()
        assert await asyncio.gather(*kept) == ["b", "c"]
        assert second.messages == [["b"], ["c#again-1"]]

    run(work())


def test_a_name_that_a_worker_is_still_at_is_asked_for_under_another() -> None:
    async def work() -> None:
        worker = FakeWorker(hangs=True)
        pool = around(worker)
        (impatient,) = asking(pool, "a")
        await settle()
        impatient.cancel()
        (again,) = asking(pool, "a")
        await settle()
        worker.release.set()
        assert await again == "a"
        assert worker.messages == [["a"], ["a#again-1"]]

    run(work())


# --- starting ---------------------------------------------------------------------------------------------------------


def test_all_are_known_by_name_also_those_that_will_not_load() -> None:
    workers = [FakeWorker(), FakeWorker(start_failure=task_error(OSError("no such model")))]
    assert list(run(processes(["pivot-0", "pivot-1"], workers))) == ["pivot-0", "pivot-1"]


def test_the_worker_that_did_not_start_is_named_with_the_last_line_of_its_error() -> None:
    broken = FakeWorker(start_failure=task_error(OSError("no such model")))
    with raised(RunFailed, "OSError: no such model", key="pivot-1"):
        run(ready(["pivot-0", "pivot-1"], [FakeWorker(), broken]))


def test_an_error_without_a_text_is_told_by_its_type() -> None:
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("first\nsecond\n\n")) == "second"
    assert one_line(ValueError("no room\nFor further information visit https://example.org")) == "no room"
