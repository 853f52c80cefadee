"""Compare the evaluations before and after training, and put the outcome of a run into words.

A difference counts where it exceeds twice its standard error.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from driver.evaluation.results import PIVOT_LANGUAGE, EvaluationResult, LanguageResult, Overall, standard_error
from driver.names import percent, points, signed_points
from driver.report.run_record import RunRecord

CLEAR = 2.0
"""Standard errors beyond which a difference is called clear."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Hold a share before and after training. None where it was not measured."""

    before: float | None
    after: float | None
    error: float | None = None  # standard error of the difference; None: unknown

    @property
    def difference(self) -> float | None:
        """Return after less before."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Return whether there is a difference, and it exceeds twice its standard error."""
        difference = self.difference
        return bool(difference) and self.error is not None and abs(difference or 0.0) > CLEAR * self.error

    @property
    def is_unclear(self) -> bool:
        """Return whether there is a difference, and it may be chance."""
        return bool(self.difference) and not self.is_clear

    @property
    def judgement(self) -> str:
        """Return the difference in words."""
        if not self.is_clear:
            return "no clear change"
        return "a clear gain" if (self.difference or 0.0) > 0 else "a clear loss"


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageComparison:
    """Hold the evaluations of one language, before and after training."""

    code: str
    before: LanguageResult | None
    after: LanguageResult | None

    @property
    def accuracy_in_language(self) -> Change:
        """Return the share of responses that are right and in the asked language."""
        return self._change(lambda result: result.accuracy_in_language)

    @property
    def accuracy(self) -> Change:
        """Return the share of responses that are right, in whatever language."""
        return self._change(lambda result: result.accuracy)

    @property
    def language_consistency(self) -> Change:
        """Return the share of responses that are in the asked language."""
        return self._change(lambda result: result.language_consistency)

    def _change(self, share: Callable[[LanguageResult], float | None]) -> Change:
        before, after = (share(result) if result else None for result in (self.before, self.after))
        errors = [
            standard_error(value, result.num_items)
            for result, value in ((self.before, before), (self.after, after))
            if result is not None and value is not None
        ]
        return Change(before=before, after=after, error=math.hypot(*errors))


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Hold the evaluations before and after training, language by language and over all.

    `mean` and `gap` have the same three shares as a language: right and in the language, right, in the language. The
    mean is over the languages other than English; the gap is English less that mean, and language consistency has none.
    """

    languages: tuple[LanguageComparison, ...]
    mean: tuple[Change, Change, Change]
    gap: tuple[Change, Change, Change]


def compare(evaluations: Mapping[str, EvaluationResult]) -> Comparison:
    """Return what changed between the evaluations "before" and "after", of which one may be absent."""
    before, after = evaluations.get("before"), evaluations.get("after")
    by_moment = [{found.language: found for found in result.languages} if result else {} for result in (before, after)]
    right_in_language = (before and before.accuracy_in_language, after and after.accuracy_in_language)
    right = (before and before.accuracy, after and after.accuracy)
    return Comparison(
        languages=tuple(
            LanguageComparison(code=code, before=by_moment[0].get(code), after=by_moment[1].get(code))
            for code in dict.fromkeys(code for found in by_moment for code in found)
        ),
        mean=(
            _mean_change(*right_in_language),
            _mean_change(*right),
            Change(before=_mean_consistency(before), after=_mean_consistency(after)),
        ),
        gap=(_gap_change(*right_in_language), _gap_change(*right), Change(before=None, after=None)),
    )


def _mean_change(before: Overall | None, after: Overall | None) -> Change:
    errors = [overall.others_error or 0.0 for overall in (before, after) if overall]
    return Change(before=before and before.others, after=after and after.others, error=math.hypot(*errors))


def _gap_change(before: Overall | None, after: Overall | None) -> Change:
    return Change(before=before and before.gap, after=after and after.gap)


def _mean_consistency(result: EvaluationResult | None) -> float | None:
    languages = result.languages if result else ()
    found = [
        language.language_consistency
        for language in languages
        if language.language != PIVOT_LANGUAGE and language.language_consistency is not None
    ]
    return fmean(found) if found else None


def verdict(record: RunRecord) -> str:
    """Return what changed, in one or two sentences: the strongest claim that the numbers support."""
    before, after = record.evaluations.get("before"), record.evaluations.get("after")
    if before is not None and after is not None:
        return _compared(before.accuracy_in_language, after.accuracy_in_language)
    if (result := after or before) is not None:
        moment = "After" if after is not None else "Before"
        return f"{moment} training: {_measured_once(result.accuracy_in_language)} {_reward_trend(record)}".strip()
    return _reward_trend(record) or "Nothing has been measured yet."


def _compared(before: Overall, after: Overall) -> str:
    change = _mean_change(before, after)
    if change.difference is None:
        return f"Only English was measured: {percent(before.english)} before, {percent(after.english)} after."
    sentence = (
        f"Right answers in the asked language, mean over the languages other than English: {percent(change.before)} "
        f"before, {percent(change.after)} after ({signed_points(change.difference)} points, standard error "
        f"{100 * (change.error or 0.0):.1f}): {change.judgement}."
    )
    if before.gap is None or after.gap is None:
        return sentence
    return f"{sentence} The gap to English went from {points(before.gap)} to {points(after.gap)} points."


def _measured_once(overall: Overall) -> str:
    shares = [f"{percent(overall.english)} in English"] if overall.english is not None else []
    if overall.others is not None:
        shares.append(f"{percent(overall.others)} in the other languages on average")
    return f"{' and '.join(shares)} of the answers are right and in the asked language."


def _reward_trend(record: RunRecord) -> str:
    """Compare the first tenth of the steps with the last; empty for fewer than four steps, which are too few."""
    rewards = [step.metrics["reward/mean"] for step in record.steps if "reward/mean" in step.metrics]
    if len(rewards) < 4:
        return ""
    size = max(2, len(rewards) // 10)
    first, last = fmean(rewards[:size]), fmean(rewards[-size:])
    return f"Mean reward of the first {size} steps: {first:.3f}; of the last {size}: {last:.3f}."


def status(record: RunRecord) -> str:
    """Return how many steps are done, and how the run ended where its summary says so."""
    planned = record.setting("algorithm", "steps")
    of_all = f" of {planned}" if isinstance(planned, int) else ""
    ended = record.summary.get("status")
    ending = f"; {ended}" if isinstance(ended, str) else "" if record.summary else "; no summary yet"
    return f"{record.num_steps}{of_all} steps done{ending}."
