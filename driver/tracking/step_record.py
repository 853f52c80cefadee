"""A step of a run: what it starts with, what it gathers, what it did with that, and who is told.

Owns the record of a step, whatever the algorithm. Knows the schema; must not know files or consoles
(driver/tracking/recorder.py).
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
    """A step under way."""

    number: int
    policy_version: int  # of the weights that learn
    clock: StageClock  # the run's


@dataclass(frozen=True, kw_only=True)
class StepInputs:
    """What a step gathered before it learned."""

    groups: Sequence[Outcome] = ()  # in the order of their draws; none where nothing is scored
    dropped: Sequence[DroppedGroup]  # that can't be learned from
    problems: Mapping[str, Problem]  # of all groups that may be learned from, by group id
    references: ReferenceCounts
    scorer: Mapping[str, float] = field(default_factory=dict)  # what the scorers counted meanwhile
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the way here (driver/rollouts/buffer.py)


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
    """An optimiser step that was not taken: its loss or gradient was not finite."""

    optimizer_step: int  # counted from 1 over the run, with skipped ones
    group_ids: tuple[str, ...]  # whose loss was not finite; all of the mini-batch where only the gradient wasn't


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the learner did with a step's batch."""

    step: StepResult  # of all its optimiser steps together
    push: PushResult | None  # None: no weight has changed, or the recipe pushes later
    skipped: tuple[SkippedStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """All that happened in one step, for whoever writes it down."""

    step: int
    policy_version: int  # of the weights that learned
    groups: Sequence[
        Outcome
    ]  # in the order of their draws, those that were replaced last; none where nothing is scored
    dropped: Sequence[DroppedGroup]  # everything that was not learned from, without signal included
    learned: Sequence[str]  # ids of the groups that were learned from
    num_samples: int  # learned from
    update: Update | None  # None where there was nothing to learn from: the weights stay as they are
    references: ReferenceCounts
    stage_seconds: Mapping[str, float]
    scorer: Mapping[str, float]
    metrics: Mapping[str, float] = field(default_factory=dict)


class Recorder(Protocol):
    """Whoever writes steps down and shows them (driver/tracking/recorder.py)."""

    def begin(self, step: int) -> None: ...

    def record(self, step: StepRecord) -> None: ...

    def waiting(self, what: str) -> None:
        """Called every 30 s of a wait; with its own deadline, every wait also ends."""
        ...
