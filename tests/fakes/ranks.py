"""Provide fake learner ranks and a policy with one worker, for the tests of the ranks as one learner."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np

from actors.fleets.learner import LearnerRanks
from actors.learner import RankArguments
from actors.learning.background_files import WrittenFiles
from actors.weight_sync.sender import PushOrder, PushOutcome
from contracts.batches import StepResult, TokenMeasures, TrainBatch
from contracts.config.learning import CriticConfig, GrpoConfig, LearnerConfig
from contracts.config.workers import FleetConfig, PolicyConfig
from contracts.sealed_folder import FileSum
from tests.fakes.remote import Method

PATIENT = FleetConfig(dead_after_s=3600, suspect_after_s=60)
HASTY = FleetConfig(heartbeat_s=0.01, suspect_after_s=0.02, dead_after_s=0.1)
ARGUMENTS = RankArguments(
    learner=LearnerConfig(num_ranks=2),
    algorithm=GrpoConfig(steps=1),
    critic=CriticConfig(),
    total_optimizer_steps=1,
    policy=PolicyConfig(model="none"),
    chat_template="",
    device="cpu",
    seed=1,
    weight_backend="object_store",
    bucket_bytes=1,
    push_timeout_s=1,
    meetings="meetings",
)
BATCH = TrainBatch(rows=((), ()), num_loss_tokens=1, num_sequences=2, policy_version=0, group_ids=("a", "b"))
RESULT = StepResult(metrics={}, num_tokens=1, seconds=1.0)
TAKEN = PushOutcome(taken=("policy-0",), missed={}, dead=frozenset(), num_tensors=3, num_bytes=44)


class Rank:
    """Answer as a test sets by method name: a value, several in turn, an exception, or an event to wait for."""

    def __init__(self, index: int, **answers: object) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.answers: dict[str, object] = {
            "heartbeat": None,
            "setup": None,
            "measure": [(index, measures(index))],
            "step": RESULT,
            "push": TAKEN,
            "save": None,
            "saved": WrittenFiles(sums={f"rank-{index}": FileSum(size=index, sha256="")}),
            "load": None,
        } | answers

    def __getattr__(self, name: str) -> Method:
        return Method(partial(self._call, name))

    def _call(self, name: str, *arguments: object, **named: object) -> Awaitable[object]:
        if name != "heartbeat":
            self.heard.append((name, *arguments, *named.values()))
        return self.answer(name)

    async def answer(self, name: str) -> object:
        answer = self.answers[name]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return RESULT
        if isinstance(answer, Exception):
            raise answer
        return next(answer) if isinstance(answer, Iterator) else answer

    def orders(self) -> list[PushOrder]:
        return [order for call in self.heard for order in call[1:] if isinstance(order, PushOrder)]


class OneWorker:
    """Stand for a policy whose one worker takes every push."""

    def __init__(self) -> None:
        self.handle = "policy-0/0"
        self.versions: list[int] = []

    def receivers(self) -> Mapping[str, str]:
        return {"policy-0": self.handle}

    def sending(self, names: Iterable[str]) -> AbstractContextManager[None]:
        return nullcontext()

    def received(self, names: Iterable[str], policy_version: int) -> None:
        self.versions.append(policy_version)

    def missed(self, name: str, why: str) -> None:
        raise AssertionError(f"{name} {why}")

    async def wait_receivers(self) -> None:
        raise AssertionError("there is one")


def measures(index: int) -> TokenMeasures:
    values = np.full(1, index, dtype=np.float32)
    return TokenMeasures(logprobs=values, reference_logprobs=values[:0], values=values[:0])


def a_learner(*ranks: Rank, rules: FleetConfig = PATIENT, timeout_s: float = 3600) -> LearnerRanks:
    return LearnerRanks(ranks, timeout_s=timeout_s, rules=rules, policy=OneWorker())


def replace_worker(learner: LearnerRanks) -> None:
    """Put another process in the place of the one worker."""
    assert isinstance(learner.policy, OneWorker)
    learner.policy.handle = "policy-0/1"


def play(learner: LearnerRanks, steps: Callable[[LearnerRanks], Awaitable[None]]) -> None:
    """Set the ranks up and run a test's steps with them."""

    async def whole() -> None:
        await learner.setup(ARGUMENTS)
        await steps(learner)

    asyncio.run(whole())
