"""Provide a GPU that counts its memory, and two sides that use it in turns: policy engines and a learner."""

from dataclasses import dataclass, field
from typing import Literal

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.rollouts import Rollout, SamplingRequest
from tests.fakes.ports import FakeGenerator, FakeLearner

Part = Literal["weights", "cache", "states"]


@dataclass
class FakeGpu:
    """Hold so much memory, and no more: what is taken beyond it is an error, as on a device."""

    size_gib: float
    held: dict[Part, float] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    most_gib: float = 0.0

    def take(self, part: Part, gib: float) -> None:
        self.held[part] = gib
        assert sum(self.held.values()) <= self.size_gib, f"out of memory: {self.held}"
        self.most_gib = max(self.most_gib, sum(self.held.values()))

    def give(self, *parts: Part) -> None:
        for part in parts:
            self.held.pop(part, None)


@dataclass
class FakeSleepingPolicy:
    """Be the policy's side: engines that are loaded and awake."""

    gpu: FakeGpu
    weights_gib: float = 16
    cache_gib: float = 50
    keeps_weights: bool = True
    lacks_weights: bool = False

    def __post_init__(self) -> None:
        self.gpu.take("weights", self.weights_gib)
        self.gpu.take("cache", self.cache_gib)

    async def sleep(self) -> None:
        self.gpu.calls.append("policy sleeps")
        self.gpu.give("weights", "cache")
        self.lacks_weights = not self.keeps_weights

    async def wake_weights(self) -> None:
        self.gpu.calls.append("weights wake")
        self.gpu.take("weights", self.weights_gib)

    async def wake_cache(self) -> None:
        self.gpu.calls.append("cache wakes")
        self.gpu.take("cache", self.cache_gib)
        self.lacks_weights = False


@dataclass
class FakeSleepingLearner:
    """Be the learner's side. A lost one raises until it is started again."""

    gpu: FakeGpu
    states_gib: float = 40
    lost: bool = False

    async def sleep(self) -> None:
        self._refuse_if_lost()
        self.gpu.calls.append("learner sleeps")
        self.gpu.give("states")

    async def wake(self) -> None:
        self._refuse_if_lost()
        self.gpu.calls.append("learner wakes")
        self.gpu.take("states", self.states_gib)

    def lose(self) -> None:
        """Lose the processes, and their memory with them."""
        self.lost = True
        self.gpu.give("states")

    async def start(self) -> None:
        """Start new processes, awake."""
        self.lost = False
        self.gpu.calls.append("learner starts")
        self.gpu.take("states", self.states_gib)

    def _refuse_if_lost(self) -> None:
        if self.lost:
            raise LearnerLost("learner-0 died", key="learner-0")


@dataclass
class OnGpuGenerator(FakeGenerator):
    """Sample only with weights and a cache on the GPU."""

    gpu: FakeGpu = field(default_factory=lambda: FakeGpu(size_gib=80))

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        assert {"weights", "cache"} <= set(self.gpu.held), self.gpu.held
        return await super().sample(request)

    async def answer_probabilities(self, request: object) -> tuple[float, ...]:
        assert {"weights", "cache"} <= set(self.gpu.held), self.gpu.held
        return (0.5,)


@dataclass
class OnGpuLearner(FakeLearner):
    """Learn only with all states on the GPU, and send weights only to engines that have memory for them."""

    gpu: FakeGpu = field(default_factory=lambda: FakeGpu(size_gib=80))

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        assert set(self.gpu.held) == {"states"}
        return await super().measure(batch)

    async def step(self, batch: TrainBatch) -> StepResult:
        assert set(self.gpu.held) == {"states"}
        return await super().step(batch)

    async def push_weights(self, policy_version: int) -> PushResult:
        assert set(self.gpu.held) == {"states", "weights"}
        return await super().push_weights(policy_version)
