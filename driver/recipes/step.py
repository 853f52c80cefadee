"""What a recipe tells of a finished step, and whom it tells.

Owns the record of a step, whatever the algorithm. Knows the schema; must not know files or consoles (driver/record.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from driver.references import ReferenceCounts
from driver.schema import DroppedGroup, PushReport, ScoredGroup, StepReport


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
    stage_seconds: dict[str, float]
    scorer: dict[str, float]  # what the scorers counted meanwhile


class Recorder(Protocol):
    """Whoever writes steps down and shows them (driver/record.py)."""

    def begin(self, step: int) -> None: ...

    def record(self, step: StepRecord) -> None: ...

    def waiting(self, what: str) -> None:
        """Called every 30 s of a wait; with its own deadline, every wait also ends."""
        ...
