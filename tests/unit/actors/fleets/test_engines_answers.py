"""Answer probabilities from a pool of policy workers, and what happens when a worker fails."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.engines import EnginePool
from actors.fleets.pool import Unanswered
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import WorkerState
from actors.generation.step_loop import DeadEngine, StaleEngine
from contracts.rollouts import AnswerProbabilityRequest
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.remote import task_error
from tests.fakes.workers import FakeWorker


def around(*workers: FakeWorker, timeout_s: float = 60.0) -> EnginePool:
    return EnginePool(Supervisor.of_loaded("policy", workers), timeout_s=timeout_s)


def request(name: str) -> AnswerProbabilityRequest:
    return AnswerProbabilityRequest(request_id=name, prompts=((1,), (2, 3)), answer_token_ids=(4,))


def test_workers_take_turns() -> None:
    async def ask(pool: EnginePool) -> list[tuple[float, ...]]:
        return await asyncio.gather(*(pool.answer_probabilities(request(name)) for name in "abc"))

    workers = [FakeWorker(value=0.1), FakeWorker(value=0.2)]
    assert run(ask(around(*workers))) == [(0.1, 0.1), (0.2, 0.2), (0.1, 0.1)]
    assert [worker.measured for worker in workers] == [["a", "c"], ["b"]]


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (ActorDiedError(), WorkerState.RETIRED),
        (task_error(DeadEngine("the engine has ended")), WorkerState.RETIRED),
        (task_error(StaleEngine("the engine is stale")), WorkerState.STALE),
    ],
)
def test_a_worker_that_fails_is_replaced_by_another(failure: Exception, state: WorkerState) -> None:
    async def ask() -> None:
        pool = around(FakeWorker(failure=failure), FakeWorker(value=0.25))
        assert await pool.answer_probabilities(request("a")) == (0.25, 0.25)
        await settle()
        assert pool.supervisor.workers[0].state is state

    run(ask())


def test_a_worker_that_is_found_dead_while_it_is_asked_is_replaced_by_another() -> None:
    async def ask() -> None:
        silent, other = FakeWorker(hangs=True), FakeWorker(value=0.25)
        pool = around(silent, other)
        asked = asyncio.ensure_future(pool.answer_probabilities(request("a")))
        await settle()
        pool.supervisor.mark_dead(pool.supervisor.workers[0], "no heartbeat for 60 s")
        assert await asked == (0.25, 0.25)
        assert (silent.measured, other.measured) == (["a"], ["a#again-1"])

    run(ask())


def test_a_request_that_can_not_be_judged_is_its_askers_alone() -> None:
    pool = around(FakeWorker(failure=task_error(ValueError("request a has 0 prompts"))))
    with pytest.raises(Unanswered) as failure:
        run(pool.answer_probabilities(request("a")))
    assert (failure.value.key, failure.value.failure.kind) == ("policy-0", "failed")
    assert pool.supervisor.workers[0].state is WorkerState.READY


def test_a_request_to_a_worker_that_hangs_fails_and_names_it() -> None:
    pool = around(FakeWorker(hangs=True), timeout_s=0.01)
    with pytest.raises(Unanswered) as failure:
        run(pool.answer_probabilities(request("a")))
    assert (failure.value.key, failure.value.failure.kind) == ("policy-0", "timed out")
