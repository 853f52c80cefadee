"""Engines that only take their time: what the stages of a run are to a driver, with latencies that are known.

Owns the model of an engine. A stage has as many slots as a step has groups. A group takes the first slot that is free,
in the order of asking, and keeps it for the stage's seconds, jittered; so a step's worth of groups takes a stage those
seconds where its slots are full. The learner takes one batch at a time. Slots go from one group to the next by
themselves, as in an engine with a queue, whether the driver looks or not.
"""

import asyncio
import heapq
import math
from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from statistics import fmean

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.rollouts import Rollout, SamplingRequest, Score, ScoreRequest


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds that are drawn evenly from within a share above and below their mean."""

    mean_s: float
    jitter: float
    random: Random

    def draw(self) -> float:
        return self.mean_s * self.random.uniform(1 - self.jitter, 1 + self.jitter)


class Slots:
    """A stage's slots, and what was drawn for each group so far."""

    def __init__(self, num: int, latency: Latency) -> None:
        self._free_at = [-math.inf] * num  # a heap
        self._latency = latency
        self.drawn_s: list[float] = []

    async def hold(self) -> tuple[float, float]:
        """Wait for a slot and through its time; when that began and ended, on the event loop's clock."""
        now = asyncio.get_running_loop().time()
        seconds = self._latency.draw()
        self.drawn_s.append(seconds)
        start = max(now, heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, start + seconds)
        await asyncio.sleep(start + seconds - now)
        return start, start + seconds

    @property
    def mean_drawn_s(self) -> float:
        return fmean(self.drawn_s)


class Weights:
    """Which version the policy served when."""

    def __init__(self) -> None:
        self._times = [-math.inf]
        self._versions = [0]

    def push(self, version: int) -> None:
        self._times.append(asyncio.get_running_loop().time())
        self._versions.append(version)

    def at(self, time: float) -> int:
        return self._versions[bisect_right(self._times, time) - 1]


@dataclass(frozen=True, kw_only=True)
class SlottedGenerator:
    """A policy or a pivot; a response's first token is drawn when its group gets a slot, the last when it leaves it."""

    slots: Slots
    weights: Weights

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        start, end = await self.slots.hold()
        return tuple(
            Rollout(
                token_ids=(1 + seed % 999, 2),
                logprobs=(-1.0, -1.0),
                text="The answer is 1.",
                finish_reason="stop",
                token_versions=(self.weights.at(start), self.weights.at(end)),
            )
            for seed in request.seeds
        )


@dataclass(frozen=True, kw_only=True)
class SlottedScorer:
    """Scores that differ inside a group, so that every group is learned from."""

    slots: Slots

    async def score(self, request: ScoreRequest) -> tuple[Score, ...]:
        await self.slots.hold()
        num = len(request.responses)
        return tuple(
            Score(reward=index / num, parts={"answer": index / num}, gates={"language": True}, answer="1")
            for index in range(num)
        )

    async def take_stats(self) -> dict[str, float]:
        return {}


class TimedLearner:
    """One batch at a time; a push takes no time. Keeps when each step's weights were there."""

    def __init__(self, latency: Latency, weights: Weights) -> None:
        self._latency = latency
        self._weights = weights
        self.step_ends: list[float] = []  # on the event loop's clock

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        raise AssertionError("one optimiser step a batch needs no measures")

    async def step(self, batch: TrainBatch) -> StepResult:
        seconds = self._latency.draw()
        await asyncio.sleep(seconds)
        self.step_ends.append(asyncio.get_running_loop().time())
        return StepResult(metrics={"policy/loss": 0.5}, num_tokens=batch.num_loss_tokens, seconds=seconds)

    async def push_weights(self, policy_version: int) -> PushResult:
        self._weights.push(policy_version)
        return PushResult(policy_version=policy_version, num_tensors=1, num_bytes=1, seconds=0.0)

    async def until_lost(self) -> LearnerLost:
        await asyncio.Event().wait()
        return LearnerLost("never")

    async def save(self, folder: str) -> None:
        raise AssertionError("no checkpoints are made")

    async def load(self, folder: str) -> None:
        raise AssertionError("no checkpoints are made")

    async def export(self, folder: str) -> None:
        raise AssertionError("nothing is exported")
