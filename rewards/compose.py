"""From named parts and gates to one reward, and from a group's rewards to what its advantages are taken of.

Owns the three ways to combine parts and the weights by step. Pure; knows no text and no encoder.

    sum            R = 0 where a gate is shut, else sum of w_p * x_p
    answer_gated   R = 0 where a gate is shut, else w_answer * A + A * (sum of the other w_p * x_p)
    normalised     as sum; but advantages are taken of  sum of w_p * (x_p - mean_p) / max(std_p, floor)

mean_p and std_p are over the scored responses of the group: GDPO (arXiv 2601.05242) without its normalisation over the
batch. Summed first, parts of different spread would drown each other. A part of a response that a gate shuts out is 0.
With w_answer above the sum of the others, a wrong answer never outranks a right one in `sum`, and in `answer_gated` a
wrong one earns nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isclose
from statistics import fmean, pstdev
from typing import Literal, Protocol

from contracts.rollouts import Score, Unscored

PARTS = ("answer", "reasoning", "numbers", "custom")
"""What may be weighted. Other parts of a score are recorded, not paid for."""

Combine = Literal["sum", "normalised", "answer_gated"]


class WeightSettings(Protocol):
    @property
    def answer(self) -> float: ...
    @property
    def reasoning(self) -> float: ...
    @property
    def numbers(self) -> float: ...
    @property
    def custom(self) -> float: ...


class WeightPointSettings(WeightSettings, Protocol):
    @property
    def step(self) -> int: ...


class CombinationSettings(Protocol):
    """What a run says about combining; the config's section has this shape."""

    @property
    def weights(self) -> WeightSettings: ...
    @property
    def schedule(self) -> Sequence[WeightPointSettings]: ...
    @property
    def combine(self) -> Combine: ...
    @property
    def spread_floor(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Combination:
    """Weights by step, and how parts become one number."""

    points: tuple[tuple[int, Mapping[str, float]], ...]  # (step, weight by part), steps ascending; weights sum to 1
    combine: Combine
    spread_floor: float

    def __post_init__(self) -> None:
        for _, weights in self.points:
            if min(weights.values()) < 0 or not isclose(fsum(weights.values()), 1, abs_tol=1e-6):
                raise ValueError(f"reward weights must be >= 0 and sum to 1, got {dict(weights)}")

    def weights(self, step: int) -> dict[str, float]:
        """By part; linear between two points, constant before the first and after the last."""
        before = [point for point in self.points if point[0] <= step]
        after = [point for point in self.points if point[0] > step]
        if not before or not after:
            return dict(before[-1][1] if before else after[0][1])
        (start, low), (end, high) = before[-1], after[0]
        share = (step - start) / (end - start)
        return {part: (1 - share) * low[part] + share * high[part] for part in low}

    def reward(self, parts: Mapping[str, float], gates: Mapping[str, bool], *, step: int) -> float:
        """In [0, 1].

        Raises:
            ValueError: a part with a weight is missing or outside [0, 1].
        """
        if not all(gates.values()):
            return 0.0
        paid = {part: weight * _in_bounds(parts, part) for part, weight in self.weights(step).items() if weight > 0}
        if self.combine == "answer_gated":
            paid = {part: worth if part == "answer" else worth * parts["answer"] for part, worth in paid.items()}
        return fsum(paid.values())

    def signals(self, scores: Sequence[Score | Unscored], *, step: int) -> list[float | None]:
        """What advantages are taken of, response by response; None where it is unscored."""
        scored = [score for score in scores if isinstance(score, Score)]
        if self.combine != "normalised" or not scored:
            return [score.reward if isinstance(score, Score) else None for score in scores]
        sums = [0.0] * len(scored)
        for part, weight in self.weights(step).items():
            if weight > 0:
                values = [_in_bounds(score.parts, part) if all(score.gates.values()) else 0.0 for score in scored]
                mean, scale = fmean(values), max(pstdev(values), self.spread_floor)
                sums = [total + weight * (value - mean) / scale for total, value in zip(sums, values, strict=True)]
        signals = iter(sums)
        return [next(signals) if isinstance(score, Score) else None for score in scores]


def combination(settings: CombinationSettings) -> Combination:
    """As a config says: the schedule where there is one, else constant weights."""
    constant = [(0, settings.weights)]
    points = [(point.step, point) for point in settings.schedule] or constant
    return Combination(
        points=tuple((step, {part: float(getattr(weights, part)) for part in PARTS}) for step, weights in points),
        combine=settings.combine,
        spread_floor=settings.spread_floor,
    )


def _in_bounds(parts: Mapping[str, float], part: str) -> float:
    value = parts.get(part)
    if value is None or not 0 <= value <= 1:
        raise ValueError(f"part {part!r} is {value}; a part that is paid for lies in [0, 1]")
    return value
