"""Combine named parts and gates into one reward, and a group's rewards into the inputs of its advantages.

There are three ways to combine parts x_p with the weights w_p of a step:

    sum            R = 0 where a gate is shut, else sum of w_p * x_p
    answer_gated   R = 0 where a gate is shut, else w_answer * A + A * (sum of the other w_p * x_p)
    normalised     as sum; but advantages are taken of  sum of w_p * (x_p - mean_p) / max(std_p, floor)

A is the part "answer". mean_p and std_p are over the scored responses of the group: this is GDPO (arXiv 2601.05242)
without its normalisation over the batch. If parts of different spread were summed first, the widest would hide the
others. A part of a response that a gate shuts out is 0. With w_answer above the sum of the other weights, a wrong
answer never outranks a right one in `sum`; in `answer_gated` a wrong answer earns nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from statistics import fmean, pstdev

from contracts.config.reward import RewardConfig, RewardWeights
from contracts.rollouts import Score, Unscored

PARTS = tuple(RewardWeights.model_fields)
"""Parts that may have a weight. Other parts of a score are recorded and have no effect on the reward."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Combine components as a reward's config says."""

    config: RewardConfig

    def weights(self, step: int) -> dict[str, float]:
        """Return the weights by part: linear between two points, constant before the first and after the last."""
        points = [(point.step, _by_part(point)) for point in self.config.schedule] or [
            (0, _by_part(self.config.weights))
        ]
        before = [point for point in points if point[0] <= step]
        after = [point for point in points if point[0] > step]
        if not before or not after:
            return dict(before[-1][1] if before else after[0][1])
        (start, low), (end, high) = before[-1], after[0]
        share = (step - start) / (end - start)
        return {part: (1 - share) * low[part] + share * high[part] for part in low}

    def reward(self, parts: Mapping[str, float], gates: Mapping[str, bool], *, step: int) -> float:
        """Return the reward in [0, 1]; 0 where a gate is shut.

        Raises:
            ValueError: a part with a weight is missing or outside [0, 1].
        """
        if not all(gates.values()):
            return 0.0
        paid = {part: weight * _in_bounds(parts, part) for part, weight in self.weights(step).items() if weight > 0}
        if self.config.combine == "answer_gated":
            paid = {part: worth if part == "answer" else worth * parts["answer"] for part, worth in paid.items()}
        return fsum(paid.values())

    def shaped_rewards(self, scores: Sequence[Score | Unscored], *, step: int) -> list[float | None]:
        """Return what advantages are taken of, one number per response; None for an unscored response.

        Raises:
            ValueError: a part with a weight is missing or outside [0, 1].
        """
        scored = [score for score in scores if isinstance(score, Score)]
        if self.config.combine != "normalised" or not scored:
            return [score.reward if isinstance(score, Score) else None for score in scores]
        sums = [0.0] * len(scored)
        for part, weight in self.weights(step).items():
            if weight > 0:
                values = [_in_bounds(score.parts, part) if all(score.gates.values()) else 0.0 for score in scored]
                mean, scale = fmean(values), max(pstdev(values), self.config.spread_floor)
                sums = [total + weight * (value - mean) / scale for total, value in zip(sums, values, strict=True)]
        shaped = iter(sums)
        return [next(shaped) if isinstance(score, Score) else None for score in scores]


def _by_part(weights: RewardWeights) -> dict[str, float]:
    return {part: float(getattr(weights, part)) for part in PARTS}


def _in_bounds(parts: Mapping[str, float], part: str) -> float:
    value = parts.get(part)
    if value is None or not 0 <= value <= 1:
        raise ValueError(f"part {part!r} is {value}; a part that is paid for lies in [0, 1]")
    return value
