"""Fleets: who gets which request, what travels together, and what a dead or slow worker does to those who wait.

Scorers are in test_scorer_fleet.py.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError, RayTaskError

from actors.fleet import GeneratorFleet, one_line, processes, ready
from actors.process import ProcessInfo
from driver.errors import RunFailed
from driver.schema import Rollout, SamplingRequest
from tests.fakes import run

Answer = tuple[str, tuple[Rollout, ...]]


class Method:
    """A remote method as a handle offers it: `.remote(...)`, after `.options(...)` or not."""

    def __init__(self, call: Callable[..., object]) -> None:
        self.remote = call

    def options(self, **_: object) -> "Method":
        return self


@dataclass
class FakeGeneratorWorker:
    """Answers in the reverse of the order in which it was asked, as many as it is allowed to."""

    num_answers: int = 1000
    hangs: bool = False
    failure: Exception | None = None  # raised once the answers are given
    messages: list[list[str]] = field(default_factory=list)

    @property
    def sample(self) -> Method:
        return Method(self._stream)

    async def _stream(self, requests: list[SamplingRequest]) -> AsyncIterator[Awaitable[Answer]]:
        self.messages.append([request.request_id for request in requests])
        if self.hangs:
            await asyncio.Event().wait()
        for request in list(reversed(requests))[: self.num_answers]:
            yield self._answer(request)
        if self.failure is not None:
            raise self.failure

    async def _answer(self, request: SamplingRequest) -> Answer:
        rollout = Rollout(
            token_ids=(1,), logprobs=(0.0,), text=request.request_id, finish_reason="stop", token_versions=(0,)
        )
        return request.request_id, (rollout,)


@dataclass
class FakeStarter:
    """Tells its process at once, and fails to load if told so."""

    failure: Exception | None = None

    @property
    def process(self) -> Method:
        return Method(self._process)

    @property
    def ready(self) -> Method:
        return Method(self._ready)

    async def _process(self) -> ProcessInfo:
        return ProcessInfo(pid=1, node="here", stdout="out", stderr="err")

    async def _ready(self) -> ProcessInfo:
        if self.failure is not None:
            raise self.failure
        return await self._process()


def request(name: str) -> SamplingRequest:
    return SamplingRequest(request_id=name, prompt_token_ids=(1,), seeds=(7,), max_tokens=4, temperature=1.0)


def task_error(cause: Exception) -> RayTaskError:
    traceback = f"Traceback (most recent call last):\n  File ...\n{type(cause).__name__}: {cause}"
    return RayTaskError("sample", traceback, cause)


async def sample_all(fleet: GeneratorFleet, names: str) -> list[str | BaseException]:
    answers = await asyncio.gather(*(fleet.sample(request(name)) for name in names), return_exceptions=True)
    return [answer if isinstance(answer, BaseException) else answer[0].text for answer in answers]


# --- generators -------------------------------------------------------------------------------------------------------


def test_requests_of_one_turn_travel_together_spread_in_order_over_the_workers() -> None:
    workers = [FakeGeneratorWorker(), FakeGeneratorWorker()]
    assert run(sample_all(GeneratorFleet("policy", workers), "abcde")) == list("abcde")
    assert [worker.messages for worker in workers] == [[["a", "c", "e"]], [["b", "d"]]]


def test_requests_of_another_turn_are_another_message() -> None:
    async def twice(fleet: GeneratorFleet) -> None:
        await sample_all(fleet, "ab")
        await sample_all(fleet, "c")

    worker = FakeGeneratorWorker()
    run(twice(GeneratorFleet("policy", [worker])))
    assert worker.messages == [["a", "b"], ["c"]]


def test_a_worker_without_a_share_is_left_alone() -> None:
    workers = [FakeGeneratorWorker(), FakeGeneratorWorker()]
    run(sample_all(GeneratorFleet("policy", workers), "a"))
    assert [worker.messages for worker in workers] == [[["a"]], []]


@pytest.mark.parametrize(
    "failure",
    [
        ActorDiedError(),
        task_error(MemoryError("no room")),
        ObjectLostError("00" * 28, None, ""),
    ],
)
def test_what_a_worker_finished_before_it_died_counts_and_the_others_are_told(failure: Exception) -> None:
    workers = [FakeGeneratorWorker(num_answers=1, failure=failure), FakeGeneratorWorker()]
    first, second, third, fourth, fifth = run(sample_all(GeneratorFleet("policy", workers), "abcde"))
    assert (second, fourth, fifth) == ("b", "d", "e")  # policy-0 was asked a, c, e and answers the last one first
    for lost in (first, third):
        assert isinstance(lost, RunFailed)
        assert str(lost).startswith("policy-0 failed: ")
        assert "\n" not in str(lost)


def test_a_stream_that_ends_early_is_a_failure_and_no_wait_for_ever() -> None:
    lost, kept = run(sample_all(GeneratorFleet("pivot", [FakeGeneratorWorker(num_answers=1)]), "ab"))
    assert kept == "b"
    assert str(lost) == "pivot-0 ended its stream with 1 groups missing"


def test_a_worker_that_hangs_is_given_up_by_name() -> None:
    fleet = GeneratorFleet("policy", [FakeGeneratorWorker(hangs=True)], timeout_s=0.01)
    (lost,) = run(sample_all(fleet, "a"))
    assert isinstance(lost, RunFailed)
    assert str(lost) == "policy gave no answer to a in 0.01 s"


def test_an_answer_that_nobody_waits_for_any_more_does_no_harm() -> None:
    async def leave(fleet: GeneratorFleet) -> list[str | BaseException]:
        impatient = asyncio.ensure_future(fleet.sample(request("a")))
        await asyncio.sleep(0)
        impatient.cancel()
        return await sample_all(fleet, "b")

    assert run(leave(GeneratorFleet("policy", [FakeGeneratorWorker()]))) == ["b"]


# --- starting ---------------------------------------------------------------------------------------------------------


def test_all_are_known_by_name_also_those_that_will_not_load() -> None:
    workers = [FakeStarter(), FakeStarter(failure=task_error(OSError("no such model")))]
    assert list(run(processes(["pivot-0", "pivot-1"], workers))) == ["pivot-0", "pivot-1"]


def test_the_worker_that_did_not_start_is_named_with_the_last_line_of_its_error() -> None:
    broken = FakeStarter(failure=task_error(OSError("no such model")))
    with pytest.raises(RunFailed, match=r"^pivot-1 did not start: OSError: no such model$"):
        run(ready(["pivot-0", "pivot-1"], [FakeStarter(), broken]))


def test_an_error_without_a_text_is_told_by_its_type() -> None:
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("first\nsecond\n\n")) == "second"
    assert one_line(ValueError("no room\nFor further information visit https://example.org")) == "no room"
