"""A step of a run: what it starts with, what it gathers, what it did with that, and who is told.

Owns the record of a step, whatever the algorithm. Knows the schema; must not know files or consoles (driver/record.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from driver.pipeline import StageClock, name_group
from driver.references import ReferenceCounts
from driver.schema import DroppedGroup, Problem, PushReport, ScoredGroup, StepReport


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step under way."""

    number: int
    problems: Sequence[Problem]
    policy_version: int  # of the weights that it samples from
    clock: StageClock = field(default_factory=StageClock)

    @property
    def group_ids(self) -> dict[str, Problem]:
        """The problems by the ids of their groups, in order."""
        return {
            name_group(problem, step=self.number, place=place): problem for place, problem in enumerate(self.problems)
        }


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a step gathered before it learned."""

    groups: Sequence[ScoredGroup | DroppedGroup] = ()  # in the order of the problems; none where nothing is scored
    dropped: Sequence[DroppedGroup]  # that can't be learned from
    references: ReferenceCounts
    scorer: Mapping[str, float] = field(default_factory=dict)  # what the scorers counted meanwhile


@dataclass(frozen=True, kw_only=True)
class SkippedStep:
    """An optimiser step that was not taken: its loss or gradient was not finite."""

    optimizer_step: int  # counted from 1 over the run, with skipped ones
    group_ids: tuple[str, ...]  # whose loss was not finite; all of the mini-batch where only the gradient wasn't


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the learner did with a step's batch."""

    step: StepReport  # of all its optimiser steps together
    push: PushReport | None  # None: no weight has changed, or the recipe pushes later
    skipped: tuple[SkippedStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """All that happened in one step, for whoever writes it down."""

    step: int
    groups: Sequence[ScoredGroup | DroppedGroup]  # in the order of the problems; none where nothing is scored
    dropped: Sequence[DroppedGroup]  # everything that was not learned from, without signal included
    num_samples: int  # learned from
    update: Update | None  # None where there was nothing to learn from: the weights stay as they are
    references: ReferenceCounts
    stage_seconds: Mapping[str, float]
    scorer: Mapping[str, float]


class Recorder(Protocol):
    """Whoever writes steps down and shows them (driver/record.py)."""

    def begin(self, step: int) -> None: ...

    def record(self, step: StepRecord) -> None: ...

    def waiting(self, what: str) -> None:
        """Called every 30 s of a wait; with its own deadline, every wait also ends."""
        ...
