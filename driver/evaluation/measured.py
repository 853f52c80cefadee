"""Read shares with their 95% intervals from an evaluation: of a language, of an average, and of the gap to English."""

from collections.abc import Mapping
from statistics import fmean

from driver.evaluation.intervals import Interval, difference, share_interval, wilson
from driver.evaluation.results import PIVOT_LANGUAGE, Average, EvaluationResult, LanguageResult

BOTH, RIGHT, IN_LANGUAGE = "both", "right", "in_language"
"""Names of the measures: right and in the asked language (LC&Acc), right (Acc), in the asked language (LC)."""
MEASURES = (BOTH, RIGHT, IN_LANGUAGE)


def main_measure(result: EvaluationResult) -> str:
    """Return the measure that a task is judged by: right and in the language, or right where that was not measured."""
    return BOTH if any(found.accuracy_in_language is not None for found in result.languages) else RIGHT


def interval_of_language(result: EvaluationResult, code: str, measure: str) -> Interval | None:
    """Return the share of one language; None where it was not measured."""
    found = next((found for found in result.languages if found.language == code), None)
    return language_interval(found, measure) if found else None


def language_interval(found: LanguageResult, measure: str) -> Interval | None:
    """Return the share of one language; None where it was not measured."""
    if measure == IN_LANGUAGE:
        share = found.language_consistency
        return None if share is None else wilson(share, found.num_items)
    share, error = (
        (found.accuracy_in_language, found.accuracy_in_language_error)
        if measure == BOTH
        else (found.accuracy, found.accuracy_error)
    )
    if share is None:
        return None
    return share_interval(
        share, error or 0.0, num_items=found.num_items, num_responses=found.num_items * found.num_samples
    )


def averages_of(result: EvaluationResult) -> Mapping[str, Average]:
    """Return the averages by name; "all" also where only languages were recorded."""
    found = {average.name: average for average in result.averages}
    others = [language for language in result.languages if language.language != PIVOT_LANGUAGE]
    if "all" in found or not others:
        return found
    right, both = result.accuracy, result.accuracy_in_language
    consistent = [share for language in others if (share := language.language_consistency) is not None]
    return {
        "all": Average(
            name="all",
            languages=tuple(language.language for language in others),
            accuracy=right.others or 0.0,
            accuracy_error=right.others_error or 0.0,
            language_consistency=fmean(consistent) if len(consistent) == len(others) else None,
            accuracy_in_language=both.others if len(consistent) == len(others) else None,
            accuracy_in_language_error=both.others_error,
        ),
        **found,
    }


def interval_of_average(result: EvaluationResult, name: str, measure: str) -> Interval | None:
    """Return the mean share over the languages of an average; None where it was not measured."""
    average = averages_of(result).get(name)
    if average is None:
        return None
    share, error = _share_and_error(average, measure)
    if share is None:
        return None
    members = [found for found in result.languages if found.language in average.languages]
    return share_interval(
        share,
        error or 0.0,
        num_items=min((found.num_items for found in members), default=1),
        num_responses=sum(found.num_items * found.num_samples for found in members),
    )


def _share_and_error(average: Average, measure: str) -> tuple[float | None, float | None]:
    if measure == BOTH:
        return average.accuracy_in_language, average.accuracy_in_language_error
    if measure == RIGHT:
        return average.accuracy, average.accuracy_error
    return average.language_consistency, None


def gap_of(result: EvaluationResult, measure: str) -> Interval | None:
    """Return English less the mean over the other languages; None where one of them was not measured."""
    english, mean = (
        interval_of_language(result, PIVOT_LANGUAGE, measure),
        interval_of_average(result, "all", measure),
    )
    if english is None or mean is None:
        return None
    return difference(mean, english, correlation=_correlation(result, measure))


def _correlation(result: EvaluationResult, measure: str) -> float:
    """Return how English and the mean go together, from the recorded errors of both and of the gap; 0 if unknown."""
    english = next(found for found in result.languages if found.language == PIVOT_LANGUAGE)
    s_english = english.accuracy_error if measure == RIGHT else english.accuracy_in_language_error
    averages = averages_of(result)
    s_mean, s_gap = (
        _share_and_error(averages[name], measure)[1] if name in averages else None for name in ("all", "gap")
    )
    if not s_english or not s_mean or s_gap is None:
        return 0.0
    return max(-1.0, min(1.0, (s_english**2 + s_mean**2 - s_gap**2) / (2 * s_english * s_mean)))
