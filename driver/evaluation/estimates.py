"""Estimate means, their errors and differences from the scores of items.

Items are clusters: the languages of one item are asked the same thing, so their scores are not independent. A standard
error is that of a sum over items, in which each item's deviation over all languages counts as one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Scores = Mapping[str, Mapping[str, float]]
"""Language -> item -> score, a mean over the item's samples."""
_AT_ONCE = 500
ONE_LEVEL: Mapping[str, float] = {"": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Hold a number and its standard error."""

    value: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Say of which level each item is, and how much a level weighs in a mean."""

    of_item: Mapping[str, str]
    weights: Mapping[str, float]

    def shares(self, items: Sequence[str]) -> dict[str, float]:
        """Return what each item weighs in the mean of its language: levels are weighed, items within one are equal."""
        levels = {item: self.of_item.get(item, "") for item in items}
        counts = Counter(levels.values())
        total = sum(self.weights.get(level, 1.0) for level in counts)
        return {item: self.weights.get(level, 1.0) / total / counts[level] for item, level in levels.items()}


NO_LEVELS = Levels(of_item={}, weights=ONE_LEVEL)


def combined(scores: Scores, factors: Mapping[str, float], levels: Levels = NO_LEVELS) -> Estimate:
    """Return the sum over languages of factor times mean, with the error of a sum over clustered items.

    Factors of 1/L give the mean over L languages. Factors of 1 for English and -1/L give the gap to English.
    """
    value, deviations = 0.0, defaultdict(float)
    for language, factor in factors.items():
        items = scores[language]
        shares = levels.shares(list(items))
        means = _level_means(items, shares, levels)
        value += factor * sum(shares[item] * score for item, score in items.items())
        for item, score in items.items():
            deviations[item] += factor * shares[item] * (score - means[levels.of_item.get(item, "")])
    return Estimate(value=value, error=math.sqrt(sum(deviation**2 for deviation in deviations.values())))


def _level_means(items: Mapping[str, float], shares: Mapping[str, float], levels: Levels) -> dict[str, float]:
    by_level: dict[str, list[float]] = defaultdict(list)
    for item, score in items.items():
        by_level[levels.of_item.get(item, "")].append(score)
    return {level: sum(found) / len(found) for level, found in by_level.items()}


def mean_over(languages: Sequence[str]) -> dict[str, float]:
    """Return the factors of a mean over languages."""
    return {language: 1 / len(languages) for language in languages}


def pass_at(num: int, correct: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `correct` of `num` samples: 1 - C(n - c, k) / C(n, k).

    Chen et al. 2021 (arXiv 2107.03374), equation 1.
    """
    if k > num:
        raise ValueError(f"pass@{k} of {num} samples")
    return 1.0 - math.comb(num - correct, k) / math.comb(num, k)


def majority_at(answers: Sequence[str], gold: Sequence[bool], k: int) -> float:
    """Return the share of groups of k samples whose most frequent answer is right (Wang et al. 2022, arXiv 2203.11171).

    Groups follow each other, and a rest of fewer than k samples is left out. Equally frequent answers share the vote. A
    sample without an answer does not vote.

    Args:
        answers: of each sample, in canonical form; "" where there is none.
        gold: whether each is right.
        k: size of a group.
    """
    shares = []
    for start in range(0, len(answers) - k + 1, k):
        right = {answers[index]: gold[index] for index in range(start, start + k) if answers[index]}
        counts = Counter(answer for answer in answers[start : start + k] if answer)
        winners = [answer for answer, count in counts.items() if count == max(counts.values())]
        shares.append(sum(right[answer] for answer in winners) / len(winners) if winners else 0.0)
    return sum(shares) / len(shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampled:
    """Hold what a bootstrap says about a difference between two models over the same items."""

    value: float
    low: float  # of the 95% interval, by percentiles
    high: float
    p_value: float  # two-sided: how often a resampled difference has the other sign or is zero, twice


def paired_difference(
    before: Scores,
    after: Scores,
    factors: Mapping[str, float],
    levels: Levels = NO_LEVELS,
    *,
    num_resamples: int = 10_000,
) -> Resampled:
    """Return `after` less `before`, combined over languages, with a paired bootstrap over items (Koehn 2004).

    Items are drawn again with replacement, with all their languages and for both models at once. Items that are in the
    same languages and of the same level are drawn among each other.

    Raises:
        ValueError: the two do not have the same items in every language.
    """
    if any(before[language].keys() != after[language].keys() for language in factors):
        raise ValueError("a paired comparison needs the same items on both sides")
    parts: dict[str, float] = defaultdict(float)
    strata: dict[str, list[str]] = defaultdict(list)
    for language, factor in factors.items():
        for item, share in levels.shares(list(before[language])).items():
            parts[item] += factor * share * (after[language][item] - before[language][item])
            strata[item].append(language)
    by_stratum: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for item, part in parts.items():
        by_stratum[(levels.of_item.get(item, ""), *strata[item])].append(part)
    generator, resampled = np.random.default_rng(0), np.zeros(num_resamples)
    for values in by_stratum.values():
        shares = np.full(len(values), 1 / len(values))
        for start in range(0, num_resamples, _AT_ONCE):  # bounds the memory of a large set
            counts = generator.multinomial(len(values), shares, size=min(_AT_ONCE, num_resamples - start))
            resampled[start : start + _AT_ONCE] += counts @ np.array(values)
    low, high = np.quantile(resampled, (0.025, 0.975))
    share = min(float(np.mean(resampled <= 0)), float(np.mean(resampled >= 0)))
    return Resampled(value=sum(parts.values()), low=float(low), high=float(high), p_value=min(1.0, 2 * share))
