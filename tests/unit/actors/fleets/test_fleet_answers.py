"""Answer probabilities from a fleet of policy workers: who is asked, and who instead of a worker that fails."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.generators import GeneratorFleet
from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor
from actors.generation.step_loop import DeadEngine, StaleEngine
from contracts.errors import RunFailed
from contracts.rollouts import AnswerProbabilityRequest
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, settle, task_error


def around(*workers: FakeWorker, timeout_s: float = 60.0) -> GeneratorFleet:
    return GeneratorFleet(Supervisor.around("policy", workers), timeout_s=timeout_s)


def request(name: str) -> AnswerProbabilityRequest:
    return AnswerProbabilityRequest(request_id=name, prompts=((1,), (2, 3)), answer_token_ids=(4,))


def test_workers_take_turns() -> None:
    async def ask(fleet: GeneratorFleet) -> list[tuple[float, ...]]:
        return await asyncio.gather(*(fleet.answer_probabilities(request(name)) for name in "abc"))

    workers = [FakeWorker(value=0.1), FakeWorker(value=0.2)]
    assert run(ask(around(*workers))) == [(0.1, 0.1), (0.2, 0.2), (0.1, 0.1)]
    assert [worker.judged for worker in workers] == [["a", "c"], ["b"]]


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
        fleet = around(FakeWorker(failure=failure), FakeWorker(value=0.25))
        assert await fleet.answer_probabilities(request("a")) == (0.25, 0.25)
        await settle()
        assert fleet.supervisor.workers[0].state is state

    run(ask())


def test_a_worker_that_is_found_dead_while_it_is_asked_is_replaced_by_another() -> None:
    async def ask() -> None:
        silent, other = FakeWorker(hangs=True), FakeWorker(value=0.25)
        fleet = around(silent, other)
        asked = asyncio.ensure_future(fleet.answer_probabilities(request("a")))
        await settle()
        fleet.supervisor.failed(fleet.supervisor.workers[0], "no heartbeat for 60 s")
        assert await asked == (0.25, 0.25)
        assert (silent.judged, other.judged) == (["a"], ["a#again-1"])

    run(ask())


def test_a_request_that_can_not_be_judged_is_its_askers_alone() -> None:
    fleet = around(FakeWorker(failure=task_error(ValueError("request a has 0 prompts"))))
    with pytest.raises(RunFailed, match=r"^policy-0 failed: ValueError: request a has 0 prompts$"):
        run(fleet.answer_probabilities(request("a")))
    assert fleet.supervisor.workers[0].state is WorkerState.READY


def test_a_worker_that_hangs_is_given_up_by_name() -> None:
    fleet = around(FakeWorker(hangs=True), timeout_s=0.01)
    with pytest.raises(RunFailed, match=r"^policy gave no answer to a in 0.01 s; policy-0 was asked last$"):
        run(fleet.answer_probabilities(request("a")))
