"""The reports of a batch's optimiser steps as the one report of its step.

Owns how each metric is put together over several optimiser steps. Pure; names are those of docs/learning.md.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from driver.schema import StepReport

SUMMED = ("learner/forward_s", "learner/backward_s", "learner/optimizer_s", "learner/micro_batches", "learner/sequences")
"""Work that was done, by skipped steps too."""

LARGEST = ("learner/memory_gib",)
LAST = ("policy/learning_rate", "critic/learning_rate")
LEFT_OUT = ("learner/skipped",)  # counted below


def merged(reports: Sequence[StepReport]) -> StepReport:
    """Of one batch's optimiser steps, in order; at least one.

    Means over the steps that were taken, equal weight each, of what is finite; maxima (`*_max`) and the last learning
    rate of those; sums, over all steps, of work. Nothing that only skipped steps measured is there.
    """
    taken = [report.metrics for report in reports if not report.is_skipped]
    done = [report.metrics for report in reports]
    metrics = _each(SUMMED, done, sum) | _each(LARGEST, done, max) | _each(LAST, taken, lambda values: values[-1])
    others = dict.fromkeys(name for measured in taken for name in measured if name not in metrics | dict.fromkeys(LEFT_OUT))
    maxima = [name for name in others if name.endswith("_max")]
    metrics |= _each(maxima, taken, max) | _each([name for name in others if name not in maxima], taken, fmean)
    return StepReport(
        metrics=metrics
        | {"learner/optimizer_steps": float(len(taken)), "learner/skipped_steps": float(len(reports) - len(taken))},
        num_tokens=sum(report.num_tokens for report in reports),
        seconds=math.fsum(report.seconds for report in reports),
        is_skipped=not taken,
    )
