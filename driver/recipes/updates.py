"""What the optimiser steps of one batch did, taken or skipped.

Owns which groups were learned from, and how long the learner has been stuck. Pure: facts follow from the attempts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.batches import StepResult, TrainBatch
from contracts.metrics.metric import reduced
from contracts.metrics.registry import metric_named
from driver.tracking.step_record import SkippedStep


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
    """Return one report for the optimiser steps of one batch, in order; at least one.

    How a metric is reduced over them, and whether skipped steps count, follows from its declaration. Values that are
    not finite are left out, and so are metrics that only skipped steps measured.

    Raises:
        UnknownMetric: a report has a metric that is not declared.
        ValueError: a report has a metric that is declared to be measured once a step.
    """
    taken = [report for report in reports if not report.is_skipped]
    metrics: dict[str, float] = {}
    for name in dict.fromkeys(name for report in reports for name in report.metrics):
        metric = metric_named(name)
        if metric.over_optimizer_steps is None:
            raise ValueError(f"{name} is measured once a step and has no place in the report of an optimiser step")
        sources = reports if metric.counts_skipped_steps else taken
        values = [report.metrics[name] for report in sources if math.isfinite(report.metrics.get(name, math.nan))]
        if values:
            metrics[name] = reduced(values, metric.over_optimizer_steps)
    metrics["learner/optimizer_steps"] = float(len(taken))
    metrics["learner/skipped_steps"] = float(len(reports) - len(taken))
    return StepResult(
        metrics=metrics,
        num_tokens=sum(report.num_tokens for report in reports),
        seconds=math.fsum(report.seconds for report in reports),
        is_skipped=not taken,
    )
