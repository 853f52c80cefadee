"""Run what all recipes share: the loop over steps, the optimiser steps of a batch, the weight push, the run's position.

A step is finished in this order: it is recorded, then checked for too many skipped optimiser steps, then its
checkpoint is begun. The loop uses ports only: no algorithm, no file, no actor.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch, TrainSample
from contracts.config.learning import AlgorithmConfig, LearnerConfig, PolicyGradientConfig
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
from driver.run_state.state import RunPosition
from driver.run_state.stopping import Stopped, StopRequest
from driver.tracking.step_record import Recorder, Step, StepInputs, StepRecord, Update

Result = TypeVar("Result")


class Checkpointer(Protocol):
    """Save a run's state."""

    async def after_step(self, position: RunPosition) -> None:
        """Begin a checkpoint if one is due after this step. It must not raise if it can't write: the run goes on."""
        ...

    async def settle(self) -> None:
        """Wait until no checkpoint is being written.

        Raises:
            LearnerLost: a rank was lost before it had written its files.
        """
        ...


class NoCheckpoints:
    """Save nothing: the run can't be continued."""

    async def after_step(self, position: RunPosition) -> None:
        """Do nothing."""

    async def settle(self) -> None:
        """Do nothing."""


class Evaluations(Protocol):
    """Evaluate the policy while training goes on."""

    async def after_step(self, step: int) -> None:
        """Begin an evaluation if one is due after this step."""
        ...

    async def finished(self) -> None:
        """Wait until none is running: it needs the weights that are served."""
        ...


class NoEvaluations:
    """Evaluate nothing."""

    async def after_step(self, step: int) -> None:
        """Do nothing."""

    async def finished(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Hold the sections of a config that a recipe reads, and the settings of packing."""

    algorithm: AlgorithmConfig
    reward: RewardConfig
    learner: LearnerConfig
    max_response_tokens: int
    row_tokens: int  # the most that a packed row holds
    pad_token_id: int
    seed: int  # of the run

    @classmethod
    def of(cls, config: Config, *, pad_token_id: int) -> Self:
        """Return the settings of a config."""
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
    def masks_truncated(self) -> bool:
        """Return whether truncated responses are left out of the loss."""
        return isinstance(self.algorithm, PolicyGradientConfig) and self.algorithm.mask_truncated

    @property
    def shares_prompts(self) -> bool:
        """Return whether rows share prompts.

        Plain SDPA separates sequences by their position ids only, and can't see that two of them share a prompt.
        """
        return self.learner.share_prompts and self.learner.attention != "sdpa"


@dataclass(kw_only=True)
class Loop:
    """Run the steps of a run; the recipe says what happens in a step."""

    learner: Learner
    recorder: Recorder
    settings: LearningSettings
    checkpointer: Checkpointer = field(default_factory=NoCheckpoints)
    evaluations: Evaluations = field(default_factory=NoEvaluations)
    position: RunPosition = field(default_factory=RunPosition)  # of the start, then of the last finished step
    clock: StageClock = field(default_factory=StageClock)
    stop: StopRequest = field(default_factory=StopRequest)
    last_version: int = 0  # of the last push, done or tried: versions only go up, also when the learner steps back
    is_between_steps: bool = True  # learner and buffer are in the state after the last finished step

    def __post_init__(self) -> None:
        self.last_version = max(self.last_version, self.position.policy_version)

    def steps(self) -> Iterator[Step]:
        """Yield each remaining step until the run is asked to stop."""
        for number in range(self.position.step + 1, self.settings.algorithm.steps + 1):
            if self.stop.is_asked:
                return
            self.recorder.begin(number)
            yield Step(number=number, policy_version=self.position.policy_version, clock=self.clock)

    async def take_batch(self, step: Step, buffer: RolloutBuffer) -> Batch:
        """Return the step's groups as soon as they are ready.

        Raises:
            Stopped: the run is asked to stop; ready and running groups stay in the buffer.
            LearnerLost: a rank was lost meanwhile, which may be the reason why no group gets ready.
            RunFailed: a stage can't go on.
        """
        waiting = asyncio.ensure_future(buffer.take_batch(step.number))
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
        """Await `work` and return its result, and show the wait; `what` completes "waiting for ... of step 3"."""
        return await patiently(work, f"{what} of step {step.number}", on_wait=self.recorder.waiting)

    async def measure(self, step: Step, groups: Sequence[Sequence[Candidate]]) -> tuple[TokenMeasures, ...]:
        """Return the measures of the learner's models for each candidate, in order; () if the algorithm needs none.

        Raises:
            LearnerLost: a rank was lost.
        """
        samples = [to_measure(candidate) for group in groups for candidate in group]
        if not samples or not self.settings.algorithm.needs_measuring:
            return ()
        batch = self._pack(samples, step)
        return await self.wait(
            step.clock.during("measure", self.learner.measure(batch)), "the learner's measures", step
        )

    async def learn(self, step: Step, groups: Sequence[Sequence[TrainSample]]) -> BatchUpdate:
        """Take the optimiser steps of one batch. They end early if too many in a row are skipped (see `finish`).

        `groups` is [G][samples of the group].

        Raises:
            LearnerLost: a rank was lost.
        """
        algorithm = self.settings.algorithm
        self.is_between_steps = False
        update = BatchUpdate(
            group_sizes={group[0].group_id: len(group) for group in groups},
            optimizer_steps=(),
            num_before=self.position.optimizer_steps,
            skipped_before=self.position.skipped_in_a_row,
        )
        for samples in mini_batches(
            groups, num=algorithm.mini_batches, epochs=algorithm.epochs, seed=self.settings.seed, step=step.number
        ):
            batch = self._pack(samples, step)
            result = await self.wait(step.clock.during("learn", self.learner.step(batch)), "the learner", step)
            taken = OptimizerStep.of(batch, self._with_packing(result, batch))
            update = replace(update, optimizer_steps=(*update.optimizer_steps, taken))
            if self._is_stuck(update):
                break
        return update

    async def push(self, step: Step, update: BatchUpdate) -> PushResult | None:
        """Send the new weights to the policy workers as the next version; return None if no weight has changed.

        Raises:
            LearnerLost: a rank was lost.
            RunFailed: no policy worker took the weights.
        """
        if not update.has_changed_weights:
            return None
        await self.wait(self.evaluations.finished(), "the evaluation", step)
        self.last_version = step.policy_version + 1
        pushing = self.learner.push_weights(self.last_version)
        return await self.wait(step.clock.during("push", pushing), "the weight push", step)

    async def finish(self, step: Step, step_inputs: StepInputs, update: BatchUpdate, push: PushResult | None) -> None:
        """Record the step, move the run's position behind it, and begin a checkpoint if one is due.

        Raises:
            RunFailed: too many optimiser steps in a row were skipped.
        """
        result = update.result
        self.recorder.record(
            StepRecord(
                step=step.number,
                policy_version=step.policy_version,
                groups=step_inputs.groups,
                dropped=[*step_inputs.dropped, *_not_finite(step_inputs, update)],
                learned=update.group_ids,
                num_samples=update.num_samples,
                update=Update(step=result, push=push, skipped=update.skipped) if result else None,
                references=step_inputs.references,
                stage_seconds=self.clock.take(),
                scorer=step_inputs.scorer,
                metrics=step_inputs.metrics,
            )
        )
        if self._is_stuck(update):
            raise RunFailed(_stuck_message(update, self.settings.learner.dtype), key="learner.max_skipped_steps")
        self.position = RunPosition(
            step=step.number,
            policy_version=push.policy_version if push else step.policy_version,
            optimizer_steps=update.num_optimizer_steps,
            skipped_in_a_row=update.skipped_in_a_row,
        )
        self.is_between_steps = True
        await self.checkpointer.after_step(self.position)
        await self.evaluations.after_step(self.position.step)

    def _is_stuck(self, update: BatchUpdate) -> bool:
        return update.skipped_in_a_row >= self.settings.learner.max_skipped_steps

    def _pack(self, samples: Sequence[TrainSample], step: Step) -> TrainBatch:
        settings = self.settings
        return pack(
            samples,
            num_ranks=settings.learner.data_parallel_size,
            row_tokens=settings.row_tokens,
            pad_token_id=settings.pad_token_id,
            policy_version=step.policy_version,
            weighting=LossWeighting(
                aggregation=settings.algorithm.aggregation,
                max_response_tokens=settings.max_response_tokens,
                mask_truncated=settings.masks_truncated,
            ),
            share_prompts=settings.shares_prompts,
        )

    def _with_packing(self, result: StepResult, batch: TrainBatch) -> StepResult:
        """Return the result with the metrics of the batch's packing added."""
        packing = {
            "packing/efficiency": packing_efficiency(batch),
            "packing/budget_efficiency": budget_efficiency(batch, row_tokens=self.settings.row_tokens),
            "packing/shared_fraction": shared_fraction(batch),
        }
        return replace(result, metrics={**result.metrics, **packing})


def _not_finite(step_inputs: StepInputs, update: BatchUpdate) -> Iterator[DroppedGroup]:
    """Yield the groups whose optimiser steps were all skipped: a group that is not learned from is always dropped."""
    for group_id in update.skipped_group_ids:
        yield DroppedGroup(group_id=group_id, problem=step_inputs.problems[group_id], reason="not_finite")


def _stuck_message(update: BatchUpdate, dtype: str) -> str:
    last = update.skipped[-1]
    return (
        f"{update.skipped_in_a_row} optimiser steps in a row were skipped because loss or gradient was not finite "
        f"(learner.max_skipped_steps). The last was number {last.optimizer_step}, on the groups "
        f"{', '.join(last.group_ids)}; events.jsonl names the groups of the others. Start a run of another name "
        f"with a lower learner.learning_rate{' or with learner.dtype float32' if dtype == 'bfloat16' else ''}"
    )
