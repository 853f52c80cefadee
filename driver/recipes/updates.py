"""What the optimiser steps of one batch did, taken or skipped.

Owns which groups were learned from, and how long the learner has been stuck. Pure: facts follow from the attempts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from contracts.batches import StepResult, TrainBatch
from driver.tracking.step_record import SkippedStep

WORK = ("learner/forward_s", "learner/backward_s", "learner/optimizer_s", "learner/micro_batches", "learner/sequences")
"""Spent by skipped steps too, and summed."""

MEMORY = "learner/memory_gib"  # taken by skipped steps too; the largest, as of all that end in "_max"
LAST = ("policy/learning_rate", "critic/learning_rate")
COUNTED_HERE = "learner/skipped"  # 0 or 1 in the report of one optimiser step


@dataclass(frozen=True, kw_only=True)
class OptimizerStep:
    """One optimiser step that the learner was asked for."""

    group_ids: tuple[str, ...]  # [num_sequences]
    report: StepResult

    @classmethod
    def at(cls, batch: TrainBatch, report: StepResult) -> "OptimizerStep":
        return cls(group_ids=batch.group_ids, report=report)

    @property
    def offenders(self) -> tuple[str, ...]:
        """The groups whose loss was not finite; all of them where only the gradient wasn't. Each once, in order."""
        named = [self.group_ids[index] for index in sorted(self.report.not_finite)]
        return tuple(dict.fromkeys(named or self.group_ids))


@dataclass(frozen=True, kw_only=True)
class BatchUpdate:
    """The attempts of one batch, in order; none where it had no sample."""

    group_sizes: Mapping[str, int]  # samples of each group of the batch
    attempts: Sequence[OptimizerStep]
    tried_before: int  # optimiser steps of the run before this batch
    skipped_before: int  # of them, in a row, at the end

    @property
    def report(self) -> StepResult | None:
        """Of all optimiser steps together; None where none was tried."""
        if not self.attempts:
            return None
        report = merged([attempt.report for attempt in self.attempts])
        return replace(report, metrics={**report.metrics, "group/used": float(len(self._taken_groups))})

    @property
    def has_moved(self) -> bool:
        """Whether a weight has changed."""
        return any(not attempt.report.is_skipped for attempt in self.attempts)

    @property
    def num_samples(self) -> int:
        """That an optimiser step was taken on."""
        return sum(self.group_sizes[group_id] for group_id in self._taken_groups)

    @property
    def learned(self) -> tuple[str, ...]:
        """Groups that an optimiser step was taken on, in the order of the batch."""
        taken = self._taken_groups
        return tuple(group_id for group_id in self.group_sizes if group_id in taken)

    @property
    def not_learned(self) -> tuple[str, ...]:
        """Groups all of whose optimiser steps were skipped, or that the batch ended before."""
        taken = self._taken_groups
        return tuple(group_id for group_id in self.group_sizes if group_id not in taken)

    @property
    def num_tried(self) -> int:
        """Optimiser steps of the run by now, skipped ones included."""
        return self.tried_before + len(self.attempts)

    @property
    def skipped(self) -> tuple[SkippedStep, ...]:
        return tuple(
            SkippedStep(optimizer_step=number, group_ids=attempt.offenders)
            for number, attempt in enumerate(self.attempts, start=self.tried_before + 1)
            if attempt.report.is_skipped
        )

    @property
    def skipped_in_a_row(self) -> int:
        """By now, with those of the steps before."""
        for count, attempt in enumerate(reversed(self.attempts)):
            if not attempt.report.is_skipped:
                return count
        return self.skipped_before + len(self.attempts)

    @property
    def _taken_groups(self) -> set[str]:
        return {group_id for a in self.attempts if not a.report.is_skipped for group_id in a.group_ids}


def merged(reports: Sequence[StepResult]) -> StepResult:
    """Of one batch's optimiser steps, in order; at least one.

    A metric is the mean over the steps that were taken, each alike; the largest, the last or the sum where that says
    more. What is not finite is left out, and so is what only skipped steps measured.
    """
    taken = [report for report in reports if not report.is_skipped]
    metrics: dict[str, float] = {}
    for name in dict.fromkeys(name for report in reports for name in report.metrics if name != COUNTED_HERE):
        sources = reports if name in (*WORK, MEMORY) else taken
        values = [report.metrics[name] for report in sources if math.isfinite(report.metrics.get(name, math.nan))]
        if values:
            metrics[name] = _together(name, values)
    metrics["learner/optimizer_steps"] = float(len(taken))
    metrics["learner/skipped_steps"] = float(len(reports) - len(taken))
    return StepResult(
        metrics=metrics,
        num_tokens=sum(report.num_tokens for report in reports),
        seconds=math.fsum(report.seconds for report in reports),
        is_skipped=not taken,
    )


def _together(name: str, values: Sequence[float]) -> float:
    if name in WORK:
        return math.fsum(values)
    if name in LAST:
        return values[-1]
    if name == MEMORY or name.endswith("_max"):
        return max(values)
    return fmean(values)
