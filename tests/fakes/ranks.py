"""Learner ranks and a policy fleet of one, written by hand, for the tests of what binds them together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from actors.fleets.learner import LearnerRanks
from actors.learner import RankArguments
from actors.weight_sync.sender import PushOrder, PushOutcome
from contracts.batches import StepResult, TokenMeasures, TrainBatch
from contracts.config.fleet import FleetConfig
from contracts.config.run import AlgorithmConfig, CriticConfig, LearnerConfig

PATIENT = FleetConfig(dead_after_s=3600, suspect_after_s=60)
HASTY = FleetConfig(heartbeat_s=0.01, suspect_after_s=0.02, dead_after_s=0.1)
ARGUMENTS = RankArguments(
    learner=LearnerConfig(num_ranks=2),
    algorithm=AlgorithmConfig(steps=1),
    critic=CriticConfig(),
    total_optimizer_steps=1,
    model="none",
    chat_template="",
    temperature=1.0,
    device="cpu",
    seed=1,
    trust_remote_code=False,
    weight_backend="object_store",
    bucket_bytes=1,
    push_timeout_s=1,
    tensor_parallel_size=1,
)
BATCH = TrainBatch(rows=((), ()), num_loss_tokens=1, num_sequences=2, policy_version=0, group_ids=("a", "b"))
REPORT = StepResult(metrics={}, num_tokens=1, seconds=1.0)
TAKEN = PushOutcome(taken=("policy-0",), missed={}, dead=frozenset(), num_tensors=3, num_bytes=44)


@dataclass
class Method:
    """`.remote(...)` notes the call and answers as the rank says."""

    rank: "Rank"
    name: str

    def remote(self, *arguments: object, **named: object) -> Awaitable[object]:
        if self.name != "heartbeat":
            self.rank.heard.append((self.name, *arguments, *named.values()))
        return self.rank.answer(self.name)


class Rank:
    """A rank whose answers are set by method name: a value, several in turn, an exception, or an event to wait for."""

    def __init__(self, index: int, **answers: object) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.answers: dict[str, object] = {
            "heartbeat": None,
            "address": ("host", 1),
            "setup": None,
            "measure": [(index, measures(index))],
            "step": REPORT,
            "push": TAKEN,
            "save": None,
            "load": None,
        } | answers

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)

    async def answer(self, name: str) -> object:
        answer = self.answers[name]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return REPORT
        if isinstance(answer, Exception):
            raise answer
        return next(answer) if isinstance(answer, Iterator) else answer

    def orders(self) -> list[PushOrder]:
        return [order for call in self.heard for order in call[1:] if isinstance(order, PushOrder)]


class OneWorker:
    """A fleet whose worker takes everything."""

    def __init__(self) -> None:
        self.handle = "policy-0/0"
        self.versions: list[int] = []

    def receivers(self) -> Mapping[str, str]:
        return {"policy-0": self.handle}

    def received(self, names: Iterable[str], policy_version: int) -> None:
        self.versions.append(policy_version)

    def missed(self, name: str, why: str) -> None:
        raise AssertionError(f"{name} {why}")

    async def wait_receivers(self) -> None:
        raise AssertionError("there is one")


def measures(index: int) -> TokenMeasures:
    values = np.full(1, index, dtype=np.float32)
    return TokenMeasures(logprobs=values, reference_logprobs=values[:0], values=values[:0])


def group_of(*ranks: Rank, rules: FleetConfig = PATIENT, timeout_s: float = 3600) -> LearnerRanks:
    return LearnerRanks(ranks, timeout_s=timeout_s, rules=rules, policy=OneWorker())


def replace_worker(group: LearnerRanks) -> None:
    """Another process in the one worker's place."""
    assert isinstance(group.policy, OneWorker)
    group.policy.handle = "policy-0/1"


def played(group: LearnerRanks, play: Callable[[LearnerRanks], Awaitable[None]]) -> None:
    async def whole() -> None:
        await group.setup(ARGUMENTS)
        await play(group)

    asyncio.run(whole())
