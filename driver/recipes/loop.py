"""What all recipes share: the loop over steps, the optimiser steps of a batch, the push, and where the run stands.

Owns mini-batches and epochs, what is done about skipped optimiser steps, and the order in which a step is finished:
written down, then judged, then kept in a checkpoint. Knows the ports only; must not know any algorithm, file or actor.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch, TrainSample
from contracts.config.learning import AlgorithmConfig, LearnerConfig
from contracts.config.reward import RewardConfig
from contracts.config.run import Config
from contracts.errors import RunFailed
from contracts.ports import Learner
from contracts.rollouts import Candidate, DroppedGroup
from contracts.waiting import patiently
from driver.learning.batching import (
    LossWeighting,
    budget_efficiency,
    mini_batches,
    pack,
    packing_efficiency,
    shared_fraction,
)
from driver.learning.samples import to_measure
from driver.recipes.updates import BatchUpdate, OptimizerStep
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.selection import Batch
from driver.rollouts.stage_clock import StageClock
from driver.run_state.position import RunPosition
from driver.run_state.stopping import Stopped, StopRequest
from driver.tracking.step_record import Recorder, Step, StepInputs, StepRecord, Update

Result = TypeVar("Result")


class Checkpointer(Protocol):
    """Whoever keeps a run's state (driver/run_state/checkpoints.py)."""

    async def after_step(self, position: RunPosition) -> None:
        """Called when a step has been recorded. One that can't be written must not raise: the run goes on."""
        ...


class NoCheckpoints:
    """Of a run that can't be continued."""

    async def after_step(self, position: RunPosition) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """The sections of a config that a recipe reads, and how rows are packed."""

    algorithm: AlgorithmConfig
    reward: RewardConfig
    learner: LearnerConfig
    max_response_tokens: int
    row_tokens: int
    pad_token_id: int
    seed: int  # of the run

    @classmethod
    def of(cls, config: Config, *, pad_token_id: int) -> Self:
        return cls(
            algorithm=config.algorithm,
            reward=config.reward,
            learner=config.learner,
            max_response_tokens=config.policy.max_response_tokens,
            row_tokens=config.row_tokens,
            pad_token_id=pad_token_id,
            seed=config.run.seed,
        )

    @property
    def shares_prompts(self) -> bool:
        """Plain SDPA knows sequences by their positions alone, and could not tell that two have a prompt in common."""
        return self.learner.share_prompts and self.learner.attention != "sdpa"


@dataclass(kw_only=True)
class Loop:
    """A run's loop over its steps; a recipe says what happens in one."""

    learner: Learner
    recorder: Recorder
    settings: LearningSettings
    checkpointer: Checkpointer = field(default_factory=NoCheckpoints)
    position: RunPosition = field(default_factory=RunPosition)  # where to start; then, where the run stands
    clock: StageClock = field(default_factory=StageClock)
    stop: StopRequest = field(default_factory=StopRequest)
    last_version: int = 0  # that was pushed, or was about to be: versions only go up, also where the learner steps back

    is_between_steps: bool = True  # learner and feed are where the last finished step left them

    def __post_init__(self) -> None:
        self.last_version = max(self.last_version, self.position.policy_version)

    def steps(self) -> Iterator[Step]:
        """Each step that is left, until the run is asked to stop."""
        for number in range(self.position.step + 1, self.settings.algorithm.steps + 1):
            if self.stop.is_asked:
                return
            self.recorder.begin(number)
            yield Step(number=number, policy_version=self.position.policy_version, clock=self.clock)

    async def groups(self, step: Step, feed: RolloutBuffer) -> Batch:
        """The step's groups.

        Raises:
            Stopped: the run is asked to stop; what is ready or under way stays with the feed.
            LearnerLost: a rank was lost meanwhile; it may be why no group comes.
            RunFailed: a stage can't go on.
        """
        waiting = asyncio.ensure_future(feed.next_batch(step.number))
        stopping = asyncio.ensure_future(self.stop.wait())
        losing = asyncio.ensure_future(self.learner.until_lost())
        try:
            first = asyncio.wait((waiting, stopping, losing), return_when=asyncio.FIRST_COMPLETED)
            await self.wait(self.clock.during("wait", first), "the groups", step)
            if losing.done():
                raise losing.result()
            if not waiting.done():
                raise Stopped
            batch = waiting.result()
            self.is_between_steps = False
            return batch
        finally:
            for task in (waiting, stopping, losing):
                task.cancel()

    async def wait(self, work: Awaitable[Result], what: str, step: Step) -> Result:
        """The work's result; `what` completes "waiting for ... of step 3"."""
        return await patiently(work, f"{what} of step {step.number}", on_wait=self.recorder.waiting)

    async def measure(self, step: Step, groups: Sequence[Sequence[Candidate]]) -> tuple[TokenMeasures, ...]:
        """What the learner's models say of each candidate, in order; nothing where the algorithm need not know."""
        samples = [to_measure(candidate) for group in groups for candidate in group]
        if not samples or not self.settings.algorithm.needs_measuring:
            return ()
        batch = self._pack(samples, step)
        return await self.wait(
            step.clock.during("measure", self.learner.measure(batch)), "the learner's measures", step
        )

    async def learn(self, step: Step, groups: Sequence[Sequence[TrainSample]]) -> BatchUpdate:
        """The optimiser steps of one batch; they end early where too many in a row were skipped (see `finish`)."""
        algorithm = self.settings.algorithm
        self.is_between_steps = False
        learned = BatchUpdate(
            group_sizes={group[0].group_id: len(group) for group in groups},
            attempts=(),
            tried_before=self.position.optimizer_steps,
            skipped_before=self.position.skipped_in_a_row,
        )
        for samples in mini_batches(
            groups, num=algorithm.mini_batches, epochs=algorithm.epochs, seed=self.settings.seed, step=step.number
        ):
            batch = self._pack(samples, step)
            report = await self.wait(step.clock.during("learn", self.learner.step(batch)), "the learner", step)
            attempt = OptimizerStep.at(batch, self._with_packing(report, batch))
            learned = replace(learned, attempts=(*learned.attempts, attempt))
            if self._is_stuck(learned):
                break
        return learned

    async def push(self, step: Step, learned: BatchUpdate) -> PushResult | None:
        """Send the new weights to the policy workers, as the next version; None where no weight has changed."""
        if not learned.has_moved:
            return None
        self.last_version = step.policy_version + 1
        pushing = self.learner.push_weights(self.last_version)
        return await self.wait(step.clock.during("push", pushing), "the weight push", step)

    async def finish(self, step: Step, step_inputs: StepInputs, learned: BatchUpdate, push: PushResult | None) -> None:
        """The step is written down; then it counts.

        Raises:
            RunFailed: too many optimiser steps in a row were skipped.
        """
        report = learned.report
        self.recorder.record(
            StepRecord(
                step=step.number,
                policy_version=step.policy_version,
                groups=step_inputs.groups,
                dropped=[*step_inputs.dropped, *_not_finite(step_inputs, learned)],
                learned=learned.learned,
                num_samples=learned.num_samples,
                update=Update(step=report, push=push, skipped=learned.skipped) if report else None,
                references=step_inputs.references,
                stage_seconds=self.clock.take(),
                scorer=step_inputs.scorer,
                metrics=step_inputs.metrics,
            )
        )
        if self._is_stuck(learned):
            raise RunFailed(_stuck(learned, self.settings.learner.dtype))
        self.position = RunPosition(
            step=step.number,
            policy_version=push.policy_version if push else step.policy_version,
            optimizer_steps=learned.num_tried,
            skipped_in_a_row=learned.skipped_in_a_row,
        )
        self.is_between_steps = True
        await self.checkpointer.after_step(self.position)

    def _is_stuck(self, learned: BatchUpdate) -> bool:
        return learned.skipped_in_a_row >= self.settings.learner.max_skipped_steps

    def _pack(self, samples: Sequence[TrainSample], step: Step) -> TrainBatch:
        settings = self.settings
        return pack(
            samples,
            num_ranks=settings.learner.num_ranks,
            row_tokens=settings.row_tokens,
            pad_token_id=settings.pad_token_id,
            policy_version=step.policy_version,
            weighting=LossWeighting(
                aggregation=settings.algorithm.aggregation,
                max_response_tokens=settings.max_response_tokens,
                mask_truncated=settings.algorithm.mask_truncated,
            ),
            share_prompts=settings.shares_prompts,
        )

    def _with_packing(self, report: StepResult, batch: TrainBatch) -> StepResult:
        packing = {
            "packing/efficiency": packing_efficiency(batch),
            "packing/budget_efficiency": budget_efficiency(batch, row_tokens=self.settings.row_tokens),
            "packing/shared_fraction": shared_fraction(batch),
        }
        return replace(report, metrics={**report.metrics, **packing})


def _not_finite(step_inputs: StepInputs, learned: BatchUpdate) -> Iterator[DroppedGroup]:
    """Every group is learned from or dropped with a reason: these met none but skipped optimiser steps."""
    for group_id in learned.not_learned:
        yield DroppedGroup(group_id=group_id, problem=step_inputs.problems[group_id], reason="not_finite")


def _stuck(learned: BatchUpdate, dtype: str) -> str:
    last = learned.skipped[-1]
    return (
        f"{learned.skipped_in_a_row} optimiser steps in a row were skipped because loss or gradient was not finite "
        f"(learner.max_skipped_steps); the last, number {last.optimizer_step}, on the groups "
        f"{', '.join(last.group_ids)}. events.jsonl names those of the others; start a run of another name "
        f"with a lower learner.learning_rate{' or in learner.dtype float32' if dtype == 'bfloat16' else ''}"
    )
