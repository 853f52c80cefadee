"""The reports of a batch's optimiser steps, put together as the one report of its step.

Owns how each metric adds up over several optimiser steps. Pure; the names are those of docs/learning.md.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from contracts.batches import StepResult

WORK = ("learner/forward_s", "learner/backward_s", "learner/optimizer_s", "learner/micro_batches", "learner/sequences")
"""Spent by skipped steps too, and summed."""

MEMORY = "learner/memory_gib"  # taken by skipped steps too; the largest, as of all that end in "_max"
LAST = ("policy/learning_rate", "critic/learning_rate")
COUNTED_HERE = "learner/skipped"  # 0 or 1 in the report of one optimiser step


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
