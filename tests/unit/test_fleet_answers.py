"""Answer probabilities from a fleet of policy workers: who is asked, and what a dead or slow worker does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from ray.exceptions import ActorDiedError

from actors.fleet import GeneratorFleet
from driver.errors import RunFailed
from driver.schema import AnswerProbabilityRequest
from tests.fakes import run


@dataclass
class Method:
    """A remote method as a handle offers it."""

    remote: Callable[[AnswerProbabilityRequest], Awaitable[tuple[float, ...]]]


@dataclass
class FakeWorker:
    value: float = 0.5
    failure: Exception | None = None
    hangs: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def answer_probabilities(self) -> Method:
        return Method(self._answer)

    async def _answer(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        self.asked.append(request.request_id)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return (self.value,) * len(request.prompts)


def request(name: str) -> AnswerProbabilityRequest:
    return AnswerProbabilityRequest(request_id=name, prompts=((1,), (2, 3)), answer_token_ids=(4,))


def test_workers_take_turns() -> None:
    async def ask() -> list[tuple[float, ...]]:
        return await asyncio.gather(*(fleet.answer_probabilities(request(name)) for name in "abc"))

    workers = [FakeWorker(0.1), FakeWorker(0.2)]
    fleet = GeneratorFleet("policy", workers)
    assert run(ask()) == [(0.1, 0.1), (0.2, 0.2), (0.1, 0.1)]
    assert [worker.asked for worker in workers] == [["a", "c"], ["b"]]


def test_a_worker_that_died_is_named() -> None:
    fleet = GeneratorFleet("policy", [FakeWorker(failure=ActorDiedError())])
    with pytest.raises(RunFailed, match=r"^policy-0 failed: "):
        run(fleet.answer_probabilities(request("a")))


def test_a_worker_that_hangs_is_given_up_by_name() -> None:
    fleet = GeneratorFleet("policy", [FakeWorker(hangs=True)], timeout_s=0.01)
    with pytest.raises(RunFailed, match=r"^policy-0 gave no answer to a in 0.01 s$"):
        run(fleet.answer_probabilities(request("a")))
