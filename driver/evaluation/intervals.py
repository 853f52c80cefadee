"""Give 95% intervals of shares and of their differences, which are right at 0% and at 100% too.

The interval of a difference is built from those of its two sides: where one side is 0 of 16, its standard error is 0,
but its interval is not empty.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from driver.evaluation.estimates import Levels, Scores, combined

Z = 1.959964
"""Quantile of the normal distribution for a two-sided interval of 95%."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Hold a number with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Return whether zero is outside: a difference is then told apart from noise."""
        return self.low > 0 or self.high < 0


def wilson(share: float, num_trials: float) -> Interval:
    """Return Wilson's score interval of a share of independent trials (Wilson 1927, JASA 22, p. 209).

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)

    Args:
        share: in [0, 1].
        num_trials: above 0. It need not be a whole number: see `share_interval`.
    """
    spread = Z**2 / num_trials
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / num_trials + spread / (4 * num_trials)) / (1 + spread)
    # Rounding must not put the share itself outside.
    return Interval(value=share, low=max(0.0, min(share, middle - half)), high=min(1.0, max(share, middle + half)))


def share_interval(share: float, error: float, *, num_items: int, num_responses: int) -> Interval:
    """Return Wilson's interval with the number of trials that the standard error is worth: p(1-p) / error^2.

    So clustered items and weighted levels count: it is the effective sample size of Korn and Graubard (1998, Survey
    Methodology 24, p. 193). Where the error is 0, as at 0% and 100%, every item is one trial.

    Args:
        share: in [0, 1].
        error: its standard error.
        num_items: items that were asked, above 0.
        num_responses: all responses to them, in all languages that the share is a mean over: the most trials there are.
    """
    if error <= 0 or not 0 < share < 1:
        return wilson(share, num_items)
    return wilson(share, min(share * (1 - share) / error**2, max(num_items, num_responses)))


def difference(before: Interval, after: Interval, *, correlation: float = 0.0) -> Interval:
    """Return `after` less `before`, with the interval that follows from those of the two.

    The lower limit is d - sqrt(a^2 - 2 r a b + b^2), where a and b are how far the two intervals reach towards each
    other, and r is the correlation of the two estimates (Newcombe 1998, Statistics in Medicine 17, p. 2635, method 10).
    """
    value = after.value - before.value
    low = _reach(after.value - after.low, before.high - before.value, correlation)
    high = _reach(after.high - after.value, before.value - before.low, correlation)
    return Interval(value=value, low=value - low, high=value + high)


def change(
    before: Interval, after: Interval, *, scores: tuple[Scores, Scores], factors: Mapping[str, float], levels: Levels
) -> Interval:
    """Return `after` less `before` over the same items: Newcombe's interval with the correlation of the scores.

    Args:
        before: a share, a mean of shares or a gap, with its interval.
        after: the same of the other evaluation.
        scores: of every item in both, from which it follows how the two go together.
        factors: language -> factor of its mean in that number.
        levels: of the items.
    """
    return difference(before, after, correlation=correlation(*scores, factors, levels))


def _reach(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def correlation(before: Scores, after: Scores, factors: Mapping[str, float], levels: Levels) -> float:
    """Return how the estimates of two moments go together because the same items were asked, in [-1, 1].

    It follows from the clustered errors: (s_a^2 + s_b^2 - s_d^2) / (2 s_a s_b). A positive one is made smaller by
    Newcombe's correction for small numbers, 1 / (2 n^2 s_a s_b) for n items. It is 0 where it can't be known: other
    items were asked, or one of the errors is 0.
    """
    if any(before.get(code, {}).keys() != after.get(code, {}).keys() or code not in before for code in factors):
        return 0.0
    changed = {code: {item: after[code][item] - score for item, score in before[code].items()} for code in factors}
    s_b, s_a, s_d = (combined(scores, factors, levels).error for scores in (before, after, changed))
    if not s_a * s_b:
        return 0.0
    found = (s_a**2 + s_b**2 - s_d**2) / (2 * s_a * s_b)
    if found <= 0:
        return max(-1.0, found)
    num_items = len({item for code in factors for item in before[code]})
    return max(0.0, min(1.0, found) - 1 / (2 * num_items**2 * s_a * s_b))
