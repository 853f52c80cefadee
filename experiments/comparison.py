"""Compare the arms of an experiment: means over seeds with their errors, and differences paired by seed.

With fewer than three seeds no difference is computed. Rows of different commits are never averaged together.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from experiments.plan import REFERENCE_ARM
from experiments.rows import Row, Shares

LEAST_SEEDS = 3
_T_95 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Two-sided 95% quantiles of Student's t, by number of seeds; above ten the normal quantile serves."""

Measure = Callable[[Shares], float]
MEASURES: dict[str, Measure] = {
    "right": lambda shares: shares.right,
    "in the language": lambda shares: shares.consistent,
    "both": lambda shares: shares.right_in_language,
    "well reasoned": lambda shares: shares.reasoned,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """Hold a mean over seeds and its standard error; NaN with one seed."""

    value: float
    error: float
    num_seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmResult:
    """Hold what an arm ended with. All shares are of the last evaluation, means over languages."""

    arm: str
    num_seeds: int
    english: Mean  # right and in English
    others: dict[str, Mean]  # each measure over all other languages
    unseen: Mean | None  # right and in the language, over languages that were not trained on
    gap: Mean  # English less the others
    difference: Mean | None  # of "both" to the reference arm, paired by seed; None: fewer than three pairs


def results_by_arm(rows: Sequence[Row], *, moment: str = "after") -> list[ArmResult]:
    """Return the result of each arm, in the order of the rows. Rows are of one commit and experiment."""
    done = [row for row in rows if row.moments and moment in row.moments]
    reference = {row.seed: _others(row, moment, MEASURES["both"]) for row in done if row.arm == REFERENCE_ARM}
    return [
        _arm(arm, [r for r in done if r.arm == arm], reference, moment) for arm in dict.fromkeys(r.arm for r in done)
    ]


def mean_of(values: Iterable[float]) -> Mean:
    """Return the mean of one value a seed, with its standard error s / sqrt(n)."""
    found = list(values)
    error = stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    return Mean(value=fmean(found), error=error, num_seeds=len(found))


def is_clear(difference: Mean) -> bool:
    """Return whether 0 is outside the 95% interval of a paired difference (Student's t over seeds)."""
    return abs(difference.value) > _T_95.get(difference.num_seeds, 1.96) * difference.error


def _arm(arm: str, rows: Sequence[Row], reference: dict[int, float], moment: str) -> ArmResult:
    both = {row.seed: _others(row, moment, MEASURES["both"]) for row in rows}
    english = {row.seed: row.moments[moment]["en"].right_in_language for row in rows if row.moments}
    pairs = [both[seed] - reference[seed] for seed in both if seed in reference]
    unseen = [value for row in rows if (value := _unseen(row, moment)) is not None]
    return ArmResult(
        arm=arm,
        num_seeds=len(rows),
        english=mean_of(english.values()),
        others={name: mean_of(_others(row, moment, measure) for row in rows) for name, measure in MEASURES.items()},
        unseen=mean_of(unseen) if unseen else None,
        gap=mean_of(english[seed] - both[seed] for seed in both),
        difference=mean_of(pairs) if arm != REFERENCE_ARM and len(pairs) >= LEAST_SEEDS else None,
    )


def _others(row: Row, moment: str, measure: Measure) -> float:
    assert row.moments is not None
    return fmean(measure(shares) for language, shares in row.moments[moment].items() if language != "en")


def _unseen(row: Row, moment: str) -> float | None:
    assert row.moments is not None
    known = {"en", *row.trained_languages}
    found = [s.right_in_language for language, s in row.moments[moment].items() if language not in known]
    return fmean(found) if found else None
