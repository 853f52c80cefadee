"""Define what a step of a run starts with, what it gathers, what it did, and the interface that records it.

The record is the same for every algorithm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from contracts.batches import PushResult, StepResult
from contracts.rollouts import DroppedGroup, Problem, ScoredGroup
from driver.references.store import ReferenceCounts
from driver.rollouts.pipeline import Stages
from driver.rollouts.selection import Batch, Outcome
from driver.rollouts.stage_clock import StageClock


@dataclass(frozen=True, kw_only=True)
class Step:
    """Hold a step that is under way."""

    number: int
    policy_version: int  # of the weights that learn
    clock: StageClock  # the run's


@dataclass(frozen=True, kw_only=True)
class StepInputs:
    """Hold what a step gathered before it learned."""

    groups: Sequence[Outcome] = ()  # in the order of their draws; empty where the algorithm scores nothing
    dropped: Sequence[DroppedGroup]  # groups that can't be learned from
    problems: Mapping[str, Problem]  # of all groups that may be learned from, by group id
    references: ReferenceCounts
    scorer: Mapping[str, float] = field(default_factory=dict)  # scorer/..., since the step before
    metrics: Mapping[str, float] = field(default_factory=dict)  # queue/..., group/..., of the rollout buffer


async def step_inputs(batch: Batch, dropped: Sequence[DroppedGroup], stages: Stages) -> StepInputs:
    """Return the inputs of a step: the buffer's batch, the groups replaced meanwhile, and what the stages counted."""
    replaced = [group.finished.outcome for group in batch.replaced]
    return StepInputs(
        groups=[*batch.groups, *replaced],
        dropped=[*dropped, *(group.dropped for group in batch.replaced)],
        problems={
            group.group.group_id: group.group.problem for group in batch.groups if isinstance(group, ScoredGroup)
        },
        references=stages.references.take_counts(),
        scorer=await stages.scorer.take_stats(),
        metrics=batch.metrics,
    )


@dataclass(frozen=True, kw_only=True)
class SkippedStep:
    """Hold an optimiser step that was not taken, because its loss or gradient was not finite."""

    optimizer_step: int  # counted from 1 over the run, with skipped ones
    group_ids: tuple[str, ...]  # whose loss was not finite; all of the mini-batch where only the gradient was not


@dataclass(frozen=True, kw_only=True)
class Update:
    """Hold what the learner did with a step's batch."""

    step: StepResult  # of all its optimiser steps together
    push: PushResult | None  # None: no weight has changed, or the recipe pushes later
    skipped: tuple[SkippedStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """Hold all that happened in one step, to be recorded."""

    step: int
    policy_version: int  # of the weights that learned
    groups: Sequence[Outcome]  # in the order of their draws, then replaced ones; empty where nothing is scored
    dropped: Sequence[DroppedGroup]  # all groups that were not learned from, those without a signal included
    learned: Sequence[str]  # ids of the groups that were learned from
    num_samples: int  # that were learned from
    update: Update | None  # None: there was nothing to learn from, and the weights stay as they are
    references: ReferenceCounts
    stage_seconds: Mapping[str, float]
    scorer: Mapping[str, float]
    metrics: Mapping[str, float] = field(default_factory=dict)


class Recorder(Protocol):
    """Record steps and show them to a person."""

    def begin(self, step: int) -> None:
        """Start the time of a step."""
        ...

    def record(self, step: StepRecord) -> None:
        """Write a finished step down.

        Raises:
            RunFailed: the step shows that the run must not go on.
        """
        ...

    def waiting(self, what: str) -> None:
        """Show what the run waits for; called every 30 s of a wait."""
        ...
