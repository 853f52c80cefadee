"""Fleets of engines: who gets which request, what travels together, and who is asked instead of a worker that fails.

Answer probabilities are in test_fleet_answers.py, the policy's weights in test_policy_fleet.py.
"""

import asyncio

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError

from actors.fleets.generators import MAX_LOSSES, GeneratorFleet
from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import RequestFailed, one_line, processes, ready
from contracts.errors import FleetLost, RunFailed
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, Shop, request, settle, task_error, unavailable

READY, SUSPECT, STALE, RETIRED = WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE, WorkerState.RETIRED


def around(*workers: FakeWorker, role: str = "policy", timeout_s: float = 60.0) -> GeneratorFleet:
    return GeneratorFleet(Supervisor.around(role, workers), timeout_s=timeout_s)


async def opened(shop: Shop, *, timeout_s: float = 60.0) -> GeneratorFleet:
    fleet = GeneratorFleet(shop.supervisor, timeout_s=timeout_s)
    await shop.supervisor.open()
    return fleet


def asking(fleet: GeneratorFleet, names: str) -> "list[asyncio.Task[str]]":
    async def one(name: str) -> str:
        return (await fleet.sample(request(name)))[0].text

    return [asyncio.ensure_future(one(name)) for name in names]


async def sample_all(fleet: GeneratorFleet, names: str) -> list[str | BaseException]:
    return await asyncio.gather(*asking(fleet, names), return_exceptions=True)


# --- what travels together --------------------------------------------------------------------------------------------


def test_requests_of_one_turn_travel_together_spread_in_order_over_the_workers() -> None:
    workers = [FakeWorker(), FakeWorker()]
    assert run(sample_all(around(*workers), "abcde")) == list("abcde")
    assert [worker.messages for worker in workers] == [[["a", "c", "e"]], [["b", "d"]]]


def test_requests_of_another_turn_are_another_message() -> None:
    async def twice(fleet: GeneratorFleet) -> None:
        await sample_all(fleet, "ab")
        await sample_all(fleet, "c")

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
        fleet = around(*workers)
        many = asyncio.ensure_future(fleet.sample(request("many", num_samples=3)))
        others = asking(fleet, "abcd")  # policy-1 takes three of one sample, then both are at three
        await settle()
        workers[1].release.set()
        await settle()
        assert [other.done() for other in others] == [True, True, True, False]
        await asyncio.gather(*asking(fleet, "ef"))  # policy-0 is still at four
        workers[0].release.set()
        await asyncio.gather(many, *others)
        return [worker.messages for worker in workers]

    assert run(work()) == [[["many", "d"]], [["a", "b", "c"], ["e", "f"]]]


# --- a worker that fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [ActorDiedError(), task_error(MemoryError("no room")), ObjectLostError("00" * 28, None, ""), None]
)
def test_what_a_worker_left_unanswered_is_asked_of_another_with_the_same_seeds(failure: Exception | None) -> None:
    """None: its stream just ends."""
    workers = [FakeWorker(num_answers=1, failure=failure), FakeWorker()]
    fleet = around(*workers)
    assert run(sample_all(fleet, "abcde")) == list("abcde")
    # policy-0 was asked for a, c and e and answered the last one.
    assert workers[1].messages == [["b", "d"], ["a#again-1", "c#again-1"]]
    assert set(workers[1].seeds) == {(7,)}
    assert [worker.state for worker in fleet.supervisor.workers] == [RETIRED, READY]


def test_a_worker_that_is_replaced_is_asked_again_when_it_is_the_only_one() -> None:
    async def work() -> None:
        first, second = FakeWorker(hangs=True), FakeWorker()
        shop = Shop(first, later=[second])
        fleet = await opened(shop)
        asked = asking(fleet, "ab")
        await settle()
        first.die()
        await shop.time.advance(4)
        assert await asyncio.gather(*asked) == ["a", "b"]
        assert (first.messages, second.messages) == ([["a", "b"]], [["a#again-1", "b#again-1"]])

    run(work())


def test_a_worker_that_falls_silent_is_asked_nothing_new_and_in_the_end_others_take_its_requests() -> None:
    async def work() -> None:
        stopped, other = FakeWorker(hangs=True, is_silent=True), FakeWorker()
        shop = Shop(stopped, other)
        fleet = await opened(shop)
        (asked,) = asking(fleet, "a")
        await shop.time.advance(4)
        assert shop.states == [SUSPECT, READY]
        assert await sample_all(fleet, "bc") == ["b", "c"]
        assert not asked.done()
        await shop.time.advance(3)
        assert await asked == "a"
        assert (stopped.messages, other.messages) == ([["a"]], [["b", "c"], ["a#again-1"]])

    run(work())


def test_a_worker_that_answers_after_all_is_too_late_and_does_no_harm() -> None:
    async def work() -> None:
        stopped, other = FakeWorker(hangs=True), FakeWorker(hangs=True)
        shop = Shop(stopped, other)
        fleet = await opened(shop)
        (asked,) = asking(fleet, "a")
        await settle()
        shop.supervisor.stale(shop.workers[0], "missed a weight push")  # its process goes on
        await settle()
        assert other.messages == [["a#again-1"]]
        stopped.release.set()  # the first answer counts
        assert await asked == "a"
        other.release.set()
        await settle()
        shop.supervisor.current(shop.workers[0], "holds version 1")
        assert await sample_all(fleet, "bc") == ["b", "c"]  # the loads are even again
        assert (stopped.messages[1:], other.messages[1:]) == ([["b"]], [["c"]])

    run(work())


def test_a_worker_that_can_not_be_reached_loses_its_message_to_others() -> None:
    async def work() -> None:
        away, other = FakeWorker(hangs=True), FakeWorker()
        shop = Shop(away, other)
        fleet = await opened(shop)
        (asked,) = asking(fleet, "a")
        await settle()
        away.die(unavailable())
        assert await asked == "a"
        assert (shop.states, other.messages) == ([SUSPECT, READY], [["a#again-1"]])

    run(work())


def test_an_engine_that_has_ended_is_replaced_and_its_requests_go_to_others() -> None:
    async def work() -> None:
        broken = FakeWorker(refusals={name: DeadEngine("the engine has ended") for name in "ac"})
        shop = Shop(broken, FakeWorker())
        fleet = await opened(shop)
        assert await sample_all(fleet, "abc") == ["a", "b", "c"]
        assert shop.changes[0] == "policy-0: ready -> dead"
        await shop.time.advance(4)
        assert (shop.states, shop.workers[0].handle is broken) == ([READY, READY], False)

    run(work())


def test_a_stale_engine_is_asked_nothing_and_its_requests_go_to_others() -> None:
    async def work() -> None:
        stale = FakeWorker(refusals={"a": StaleEngine("the engine is stale")})
        shop = Shop(stale, FakeWorker())
        fleet = await opened(shop)
        assert await sample_all(fleet, "ab") == ["a", "b"]
        assert shop.states == [STALE, READY]

    run(work())


def test_a_request_that_cannot_be_answered_is_its_askers_alone() -> None:
    worker = FakeWorker(refusals={"b": RequestFailed("ValueError: request b: a prompt of 9 tokens leaves no room")})
    fleet = around(worker)
    first, second, third = run(sample_all(fleet, "abc"))
    assert (first, third) == ("a", "c")
    assert isinstance(second, RunFailed)
    assert str(second) == "policy-0 failed: ValueError: request b: a prompt of 9 tokens leaves no room"
    assert fleet.supervisor.workers[0].state is READY


def test_a_request_under_which_worker_after_worker_dies_is_taken_for_the_cause() -> None:
    async def work() -> None:
        workers = [FakeWorker(hangs=True) for _ in range(MAX_LOSSES + 1)]
        fleet = around(*workers)
        (asked,) = asking(fleet, "a")
        for worker in workers[:MAX_LOSSES]:
            await settle()
            assert not asked.done()
            worker.die(task_error(RuntimeError("illegal instruction")))
        with pytest.raises(RunFailed, match=r"^a was under way on 5 workers that failed; last policy-4: .* illegal"):
            await asked

    run(work())


# --- nobody serves ----------------------------------------------------------------------------------------------------


def test_requests_wait_for_the_first_worker_that_serves_and_keep_their_order() -> None:
    async def work() -> None:
        workers = [FakeWorker(), FakeWorker()]
        shop = Shop(*workers, starts_stale=True)
        fleet = await opened(shop)
        asked = asking(fleet, "abc")
        await settle()
        shop.supervisor.current(shop.workers[1], "holds version 0")
        assert await asyncio.gather(*asked) == ["a", "b", "c"]
        assert [worker.messages for worker in workers] == [[], [["a", "b", "c"]]]

    run(work())


def test_a_request_that_nobody_answers_in_time_fails_by_name_and_says_who_was_asked() -> None:
    fleet = around(FakeWorker(hangs=True), timeout_s=0.01)
    (lost,) = run(sample_all(fleet, "a"))
    assert isinstance(lost, RunFailed)
    assert str(lost) == "policy gave no answer to a in 0.01 s; policy-0 was asked last"


def test_a_request_that_nobody_could_be_asked_for_says_what_the_workers_are() -> None:
    async def work() -> list[str | BaseException]:
        fleet = await opened(Shop(FakeWorker(), starts_stale=True), timeout_s=0.01)
        return await sample_all(fleet, "a")

    (lost,) = run(work())
    assert str(lost) == "policy gave no answer to a in 0.01 s; policy-0 is stale"


def test_all_that_wait_hear_of_it_when_the_last_worker_is_given_up() -> None:
    async def work() -> None:
        shop = Shop(FakeWorker(hangs=True), FakeWorker(hangs=True), min_workers=2)
        fleet = await opened(shop)
        asked = asking(fleet, "ab")
        await settle()
        shop.supervisor.retire(shop.workers[0], "its node is gone")  # b is under way on the other
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for lost in [*answers, *await sample_all(fleet, "c")]:
            assert isinstance(lost, FleetLost)
            assert str(lost) == "policy workers left: 1, needed: 2; given up: policy-0: its node is gone"

    run(work())


def test_a_fleet_without_workers_refuses_at_once() -> None:
    (lost,) = run(sample_all(around(role="pivot"), "a"))
    assert isinstance(lost, FleetLost)


# --- callers that leave -----------------------------------------------------------------------------------------------


def test_a_request_that_nobody_waits_for_any_more_is_not_sent() -> None:
    async def work() -> None:
        worker = FakeWorker()
        shop = Shop(worker, starts_stale=True)
        fleet = await opened(shop)
        (impatient,), (kept,) = asking(fleet, "a"), asking(fleet, "b")
        await settle()
        impatient.cancel()
        await settle()
        shop.supervisor.current(shop.workers[0], "holds version 0")
        assert await kept == "b"
        assert worker.messages == [["b"]]

    run(work())


def test_an_answer_that_nobody_waits_for_any_more_does_no_harm() -> None:
    async def leave(fleet: GeneratorFleet) -> list[str | BaseException]:
        impatient = asyncio.ensure_future(fleet.sample(request("a")))
        await asyncio.sleep(0)
        impatient.cancel()
        return await sample_all(fleet, "b")

    assert run(leave(around(FakeWorker()))) == ["b"]


def test_a_request_that_nobody_waits_for_any_more_is_not_asked_again_elsewhere() -> None:
    async def work() -> None:
        first, second = FakeWorker(hangs=True), FakeWorker()
        fleet = around(first, second)
        impatient, kept = asking(fleet, "a"), asking(fleet, "bc")
        await settle()
        impatient[0].cancel()
        first.die()
        assert await asyncio.gather(*kept) == ["b", "c"]
        assert second.messages == [["b"], ["c#again-1"]]

    run(work())


def test_a_name_that_a_worker_is_still_at_is_asked_for_under_another() -> None:
    async def work() -> None:
        worker = FakeWorker(hangs=True)
        fleet = around(worker)
        (impatient,) = asking(fleet, "a")
        await settle()
        impatient.cancel()
        (again,) = asking(fleet, "a")
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
    with pytest.raises(RunFailed, match=r"^pivot-1 did not start: OSError: no such model$"):
        run(ready(["pivot-0", "pivot-1"], [FakeWorker(), broken]))


def test_an_error_without_a_text_is_told_by_its_type() -> None:
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("first\nsecond\n\n")) == "second"
    assert one_line(ValueError("no room\nFor further information visit https://example.org")) == "no room"
