"""Run a recipe on fakes, and keep everything that can be observed."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.batches import PackedRow, TrainBatch
from contracts.config.learning import AlgorithmConfig, GrpoConfig, LearnerConfig, OpdConfig, PpoConfig
from contracts.config.reward import RewardConfig
from contracts.errors import RunFailed
from contracts.ports import Generator, Learner
from contracts.rollouts import DroppedGroup, Problem, Score, ScoredGroup, Unscored
from driver.problems.draws import Draws
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import Evaluations, LearningSettings, Loop, NoEvaluations
from driver.references.store import PivotSampling, ReferenceCache, ReferenceStore
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.run_state.state import RunPosition
from driver.tracking.step_record import StepRecord
from tests.fakes.ports import (
    FakeGenerator,
    FakeLearner,
    FakeRecorder,
    FakeScorer,
    GivenStream,
    policy_prompt,
    run,
    token_ids,
)

Recipe = Callable[..., Coroutine[object, object, None]]


@dataclass
class FakeCheckpointer:
    """Keep the position of the run after each step."""

    kept: list[RunPosition] = field(default_factory=list)

    async def after_step(self, position: RunPosition) -> None:
        self.kept.append(position)

    async def settle(self) -> None:
        """Do nothing: what is kept is kept at once."""


def settings(
    algorithm: AlgorithmConfig,
    *,
    num_ranks: int = 1,
    max_skipped_steps: int = 3,
    row_tokens: int = 1024,
) -> LearningSettings:
    return LearningSettings(
        algorithm=algorithm,
        reward=RewardConfig(),
        learner=LearnerConfig(num_ranks=num_ranks, max_skipped_steps=max_skipped_steps),
        max_response_tokens=8,
        row_tokens=row_tokens,
        pad_token_id=0,
        seed=1,
    )


def references(pivot: FakeGenerator) -> ReferenceStore:
    return ReferenceStore(
        pivot=pivot,
        prompt=token_ids,
        sampling=PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1),
        cache=ReferenceCache(None),
    )


@dataclass
class RecipeRun:
    """Run `train_grpo` or `train_ppo` to its end; a RunFailed is kept as `failure`."""

    problems: Sequence[Problem]
    algorithm: GrpoConfig | PpoConfig | OpdConfig
    recipe: Recipe = train_grpo
    learner: FakeLearner = field(default_factory=FakeLearner)
    scores: Mapping[str, tuple[Score | Unscored, ...]] = field(default_factory=dict)  # by question
    truncated: Sequence[Problem] = ()  # whose responses are cut off
    truncated_references: Sequence[Problem] = ()
    start: RunPosition = field(default_factory=RunPosition)
    drawn: int = 0  # of `problems`, before
    num_ranks: int = 1
    max_skipped_steps: int = 3
    recorder: FakeRecorder = field(default_factory=FakeRecorder)
    checkpointer: FakeCheckpointer = field(default_factory=FakeCheckpointer)
    evaluations: Evaluations = field(default_factory=NoEvaluations)
    failure: RunFailed | None = None
    policy: FakeGenerator = field(default_factory=FakeGenerator)
    wrapped: Callable[[FakeGenerator, FakeLearner], tuple[Generator, Learner]] = lambda policy, learner: (
        policy,
        learner,
    )
    left: Sequence[DroppedGroup] = ()  # that no step learned from, at the end

    def __post_init__(self) -> None:
        self.policy.version = lambda: self.learner.policy_version
        self.policy.finish_reasons = {policy_prompt(problem): "length" for problem in self.truncated}
        self.pivot = FakeGenerator(
            finish_reasons={token_ids(problem.question_en): "length" for problem in self.truncated_references}
        )
        policy, learner = self.wrapped(self.policy, self.learner)
        stages = Stages(
            policy=policy,
            references=references(self.pivot),
            scorer=FakeScorer(scores=self.scores),
            prompt=policy_prompt,
            sampling=Sampling(group_size=self.algorithm.group_size, max_tokens=8, temperature=1.0, run_seed=1),
        )
        self.stream = GivenStream(self.problems, drawn=self.drawn)
        self.loop = Loop(
            learner=learner,
            recorder=self.recorder,
            settings=settings(self.algorithm, num_ranks=self.num_ranks, max_skipped_steps=self.max_skipped_steps),
            checkpointer=self.checkpointer,
            evaluations=self.evaluations,
            position=self.start,
        )
        self.buffer = RolloutBuffer(
            Draws(self.stream),
            stages=stages,
            rules=BufferRules(algorithm=self.algorithm, reward=RewardConfig()),
            clock=self.loop.clock,
            step=self.start.step,
            version=self.start.policy_version,
        )
        try:
            run(self._run_recipe())
        except RunFailed as failure:
            self.failure = failure

    async def _run_recipe(self) -> None:
        try:
            await self.recipe(self.buffer, loop=self.loop)
        finally:
            await asyncio.sleep(0)  # what was started begins
            await asyncio.sleep(0)
            self.left = await self.buffer.close()

    @property
    def records(self) -> list[StepRecord]:
        return self.recorder.records

    def drops(self, step: int) -> list[tuple[str, str]]:
        """Return (item, reason) of every group that the step dropped."""
        return [(group.problem.item_id, group.reason) for group in self.records[step - 1].dropped]


def all_rows(batch: TrainBatch) -> list[PackedRow]:
    return [row for share in batch.rows for row in share]


def learned_tokens(batch: TrainBatch) -> list[int]:
    """Return the response tokens of a batch; a fake's response is one token that depends on its seed only."""
    return np.concatenate([row.token_ids[row.loss_mask] for row in all_rows(batch)]).tolist()


def advantages_by_token(batch: TrainBatch) -> dict[int, float]:
    rows = all_rows(batch)
    return {
        int(token): float(advantage)
        for row in rows
        for token, advantage in zip(row.token_ids[row.loss_mask], row.advantages[row.loss_mask], strict=True)
    }


def drawn_tokens(group: ScoredGroup, *, scored: bool) -> list[int]:
    return [
        rollout.token_ids[0]
        for rollout, score in zip(group.group.rollouts, group.scores, strict=True)
        if isinstance(score, Score) == scored
    ]
