"""Run the real driver on simulated engines whose latencies are known.

The driver's own parts are real: the stream of problems, the rollout buffer, the references with their cache, the
recipe, packing, metrics, events and samples.parquet. No checkpoint is written. Fleets, Ray, tokenizers and engines are
left out: the engines below only take their time.
"""

import asyncio
import heapq
import math
import os
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rich.console import Console as Terminal

from contracts.batches import PushResult, StepResult, TrainBatch
from contracts.config.learning import GrpoConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import Problem, Rollout, SamplingRequest, Score, ScoreRequest
from driver.problems.draws import Draws
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import Loop
from driver.references.cache import ReferenceCache
from driver.references.store import PivotSampling, ReferenceStore
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.rollouts.stage_clock import StageClock
from driver.run_state.state import RunPosition
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from tests.fakes.ports import FakeLearner, token_ids
from tests.runs.recipe import settings

SEED = 1
_QUESTION = "A shop sells {} boxes with {} pens each and gives every fifth pen away; how many pens are sold? " * 3
_TEXT = "Hence 17 boxes of 12 pens are 204 pens, of which every fifth is given away; 163 are sold. "
_CHARACTERS_PER_TOKEN = 4
GATES = ("language", "answer_language", "format", "repetition", "length")


class Stage:
    """Hold the slots of an engine.

    A group takes the first free slot, in the order of the requests, and keeps it for the stage's latency, which is
    drawn evenly from within `jitter` (a share) below and above its mean. Slots pass from one group to the next by
    themselves, as in an engine with a queue, also while the driver is busy.
    """

    def __init__(self, num_slots: int, mean_s: float, *, jitter: float = 0.0, random: Random | None = None) -> None:
        self._free_at = [-math.inf] * num_slots  # a heap
        self._mean_s, self._jitter = mean_s, jitter
        self._random = random or Random(SEED)
        self._num_groups, self._drawn_s = 0, 0.0

    async def hold(self) -> tuple[float, float]:
        """Wait for a slot and then for its latency. Return when that began and ended, on the event loop's clock."""
        now = asyncio.get_running_loop().time()
        seconds = self._mean_s * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        self._num_groups, self._drawn_s = self._num_groups + 1, self._drawn_s + seconds
        start = max(now, heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, start + seconds)
        await asyncio.sleep(start + seconds - now)
        return start, start + seconds

    @property
    def mean_drawn_s(self) -> float:
        """Return the mean latency of the groups so far."""
        return self._drawn_s / self._num_groups


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Hold what was measured at the end of one optimiser step."""

    at_s: float  # on the event loop's clock
    processor_s: float  # of this process
    num_blocks: int  # that Python has allocated, without what fragmentation leaves


@dataclass(kw_only=True)
class SimulatedLearner(FakeLearner):
    """Take one batch at a time, and no time for a push. Keep a mark of each step."""

    stage: Stage
    marks: list[Mark] = field(default_factory=list)
    _pushed_at: list[float] = field(default_factory=lambda: [-math.inf])
    _versions: list[int] = field(default_factory=lambda: [0])

    async def step(self, batch: TrainBatch) -> StepResult:
        """Wait for the latency of a step."""
        start, end = await self.stage.hold()
        self.marks.append(
            Mark(
                at_s=asyncio.get_running_loop().time(),
                processor_s=time.process_time(),
                num_blocks=sys.getallocatedblocks(),
            )
        )
        return StepResult(metrics={"policy/loss": 0.5}, num_tokens=batch.num_loss_tokens, seconds=end - start)

    async def push_weights(self, policy_version: int) -> PushResult:
        """Serve a version from now on."""
        self._pushed_at.append(asyncio.get_running_loop().time())
        self._versions.append(policy_version)
        return await super().push_weights(policy_version)

    def version_at(self, at_s: float) -> int:
        """Return the version that was served then."""
        return self._versions[bisect_right(self._pushed_at, at_s) - 1]


@dataclass(frozen=True, kw_only=True)
class SimulatedGenerator:
    """Answer as a policy or a pivot, with responses of `num_tokens`.

    A response's first half is drawn with the weights at the start of its slot, the second with those at its end.
    """

    stage: Stage
    learner: SimulatedLearner | None = None  # whose weights are served; None for a pivot
    num_tokens: int = 2

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return one response for each seed."""
        start, end = await self.stage.hold()
        first, last = (self.learner.version_at(start), self.learner.version_at(end)) if self.learner else (0, 0)
        half = self.num_tokens // 2
        num_characters = _CHARACTERS_PER_TOKEN * self.num_tokens
        text = (_TEXT * (1 + num_characters // len(_TEXT)))[:num_characters] + "\nThe answer is 163."
        return tuple(
            Rollout(
                token_ids=(1 + seed % 999,) * self.num_tokens,
                logprobs=(-1.0,) * self.num_tokens,
                text=text,
                finish_reason="stop",
                token_versions=(first,) * half + (last,) * (self.num_tokens - half),
            )
            for seed in request.seeds
        )


@dataclass(frozen=True, kw_only=True)
class SimulatedScorer:
    """Return scores that differ inside a group, so that every group is learned from."""

    stage: Stage

    async def score(self, request: ScoreRequest) -> tuple[Score, ...]:
        """Return one score for each response, with all parts and gates that the semantic reward records."""
        await self.stage.hold()
        num = len(request.responses)
        gates: dict[str, bool] = dict.fromkeys(GATES, True)
        return tuple(
            Score(
                reward=0.7 * index / num + 0.15,
                parts={"answer": index / num, "reasoning": 0.4, "numbers": 0.6},
                gates=gates,
                answer="163",
            )
            for index in range(num)
        )

    async def take_stats(self) -> dict[str, float]:
        """Return no counters."""
        return {}


@dataclass(frozen=True, kw_only=True)
class _NoCheckpoints:
    """Write no checkpoint after a step: the run never steps back."""

    buffer: RolloutBuffer

    async def after_step(self, position: RunPosition) -> None:
        self.buffer.checkpointed(position.step)

    async def settle(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class SimulatedRun:
    """Hold the engines of a run and how much it does."""

    policy: SimulatedGenerator
    pivot: SimulatedGenerator
    scorer: SimulatedScorer
    learner: SimulatedLearner
    algorithm: GrpoConfig
    languages: Sequence[str]  # every item is asked in all of them, and of the pivot once
    num_ranks: int = 1
    row_tokens: int = 4096

    async def train(self, folder: Path) -> None:
        """Train with GRPO to the end. `folder` then has the files of a run."""
        algorithm, reward, clock = self.algorithm, RewardConfig(), StageClock()
        (folder / "references").mkdir()
        num_problems = (algorithm.steps + 1 + algorithm.max_staleness) * algorithm.groups_per_step
        source = ListSource(_problems(num_problems, self.languages), name="simulated")
        buffer = RolloutBuffer(
            Draws(ProblemStream(source, languages=self.languages, seed=SEED)),
            stages=Stages(
                policy=self.policy,
                references=ReferenceStore(
                    pivot=self.pivot,
                    prompt=token_ids,
                    sampling=PivotSampling(fingerprint="simulated", max_tokens=8, temperature=0.0, seed=SEED),
                    cache=ReferenceCache(folder / "references"),
                ),
                scorer=self.scorer,
                prompt=lambda problem: token_ids(problem.question),
                sampling=Sampling(
                    group_size=algorithm.group_size, max_tokens=self.policy.num_tokens, temperature=1.0, run_seed=SEED
                ),
            ),
            rules=BufferRules(algorithm=algorithm, reward=reward),
            clock=clock,
        )
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            console = Console(Terminal(file=nowhere))
            console.start_steps(algorithm.steps)
            watch = ConsistencyWatch(floor=reward.consistency_floor, steps=reward.consistency_steps)
            recorder = RunRecorder(RunFolder(folder), console, watch=watch)
            loop = Loop(
                learner=self.learner,
                recorder=recorder,
                settings=settings(algorithm, num_ranks=self.num_ranks, row_tokens=self.row_tokens),
                checkpointer=_NoCheckpoints(buffer=buffer),
                clock=clock,
            )
            await self.learner.push_weights(0)
            await train_grpo(buffer, loop=loop)
            recorder.dropped(await buffer.close(), step=algorithm.steps + 1)
            recorder.close()


def _problems(num: int, languages: Sequence[str]) -> list[Problem]:
    """Return at least `num` problems of a parallel set; a question has about 300 characters, which are its tokens."""
    return [
        Problem(
            item_id=f"item-{index}",
            language=language,
            question=f"({language}) {question}",
            question_en=question,
            answer=str(index % 1000),
        )
        for index, question in enumerate(
            _QUESTION.format(*(index, 5 + index % 91) * 3) for index in range(-(-num // len(languages)))
        )
        for language in languages
    ]
