"""Compare the evaluations of a run at two moments: each language, the averages and the gap to English, with intervals.

The same items are asked at both moments. Where every response was kept, the intervals make use of that.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadInput
from driver.evaluation.estimates import mean_over
from driver.evaluation.intervals import Interval, change
from driver.evaluation.judging import JudgedRow, read_rows
from driver.evaluation.measured import (
    BOTH,
    IN_LANGUAGE,
    MEASURES,
    RIGHT,
    averages_of,
    gap_of,
    interval_of_average,
    language_interval,
    main_measure,
)
from driver.evaluation.results import EvaluationResult, LanguageResult, Moment, step_of
from driver.evaluation.summarise import Measure, is_in_language, is_right, is_right_in_language, levels_of, scores
from driver.evaluation.tables import all_results
from rewards.reading import PIVOT_LANGUAGE

Rows = Mapping[Moment, Sequence[JudgedRow]]
"""Every judged response of the moments where they could be read."""
_OF_ROWS: Mapping[str, Measure] = {BOTH: is_right_in_language, RIGHT: is_right, IN_LANGUAGE: is_in_language}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Hold a number at two moments, and its difference. None where it was not measured."""

    before: Interval | None
    after: Interval | None
    difference: Interval | None = None

    @property
    def is_clear(self) -> bool:
        """Return whether the 95% interval of the difference leaves zero out."""
        return self.difference is not None and self.difference.excludes_zero

    @property
    def is_unclear(self) -> bool:
        """Return whether there is a difference, and it may be chance."""
        return self.difference is not None and self.difference.value != 0 and not self.is_clear


NOT_MEASURED = Change(before=None, after=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageChange:
    """Hold what was measured in one language at two moments."""

    code: str
    before: LanguageResult | None
    after: LanguageResult | None
    changes: Mapping[str, Change]  # by measure


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageChange:
    """Hold a mean over languages at two moments."""

    name: str  # "seen", "unseen", "all", or a script family
    languages: tuple[str, ...]
    changes: Mapping[str, Change]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChanges:
    """Hold what changed on one task between two moments, of which one may be absent."""

    task: str
    first: Moment | None
    last: Moment | None
    main: str  # the measure that the task is judged by
    languages: tuple[LanguageChange, ...]
    averages: tuple[AverageChange, ...]
    gap: Mapping[str, Change]  # English less the mean over the other languages

    @property
    def mean(self) -> Mapping[str, Change]:
        """Return the mean over the languages other than English, by measure."""
        found = next((average for average in self.averages if average.name == "all"), None)
        return found.changes if found else {}


def first_and_last(evaluations: Mapping[Moment, object]) -> tuple[Moment | None, Moment | None]:
    """Return the moments to compare: the earliest and the latest. A single one is either "before" or the last."""
    moments = sorted(evaluations, key=step_of)
    if not moments:
        return None, None
    if len(moments) == 1:
        return (moments[0], None) if step_of(moments[0]) == 0 else (None, moments[0])
    return moments[0], moments[-1]


def compare_moments(evaluations: Mapping[Moment, EvaluationResult], rows: Rows | None = None) -> list[TaskChanges]:
    """Return what changed on each task between the first and the last evaluation; nothing without an evaluation.

    `rows` of both moments make the intervals of differences as narrow as the same items allow.
    """
    first, last = first_and_last(evaluations)
    by_task: list[dict[str, EvaluationResult]] = [
        {found.task: found for found in all_results(evaluations[moment])} if moment else {} for moment in (first, last)
    ]
    found = []
    for task in dict.fromkeys((*by_task[0], *by_task[1])):
        sides = (by_task[0].get(task), by_task[1].get(task))
        kept = [
            [row for row in (rows or {}).get(moment or "", ()) if not task or row.task == task]
            for moment in (first, last)
        ]
        if any(side is not None and side.languages for side in sides):
            found.append(_TaskComparison(task, sides, (kept[0], kept[1])).changes(first, last))
    return found


def kept_rows(folder: Path, evaluations: Mapping[Moment, object]) -> Rows:
    """Return the judged responses of the first and the last evaluation, from a run's folder `evaluations`.

    A moment whose responses are missing or damaged is left out: its numbers are compared without them, with wider
    intervals.
    """
    found: dict[Moment, Sequence[JudgedRow]] = {}
    for moment in first_and_last(evaluations):
        if moment is not None:
            with suppress(BadInput):
                found[moment] = read_rows(folder / f"{moment}.parquet")
    return found


class _TaskComparison:
    """Compare two results of one task."""

    def __init__(
        self,
        task: str,
        sides: tuple[EvaluationResult | None, EvaluationResult | None],
        rows: tuple[Sequence[JudgedRow], Sequence[JudgedRow]],
    ) -> None:
        self._task = task
        self._sides = sides
        known = next(side for side in sides if side is not None)
        self._levels = levels_of(rows[0], json.loads(known.measured_on.get("levels") or "{}"))
        self._scores = {
            name: (scores(rows[0], measure), scores(rows[1], measure)) for name, measure in _OF_ROWS.items()
        }

    def changes(self, first: Moment | None, last: Moment | None) -> TaskChanges:
        results = [side for side in self._sides if side is not None]
        codes = dict.fromkeys(found.language for side in results for found in side.languages)
        averages = [averages_of(side) if side else {} for side in self._sides]
        return TaskChanges(
            task=self._task,
            first=first if self._sides[0] else None,
            last=last if self._sides[1] else None,
            main=main_measure(results[-1]),
            languages=tuple(map(self._language, codes)),
            averages=tuple(
                self._average(name, average.languages)
                for name, average in {**averages[0], **averages[1]}.items()
                if name != "gap"
            ),
            gap={measure: self._gap(measure) for measure in (BOTH, RIGHT)},
        )

    def _language(self, code: str) -> LanguageChange:
        before, after = (
            next((found for found in side.languages if found.language == code), None) if side else None
            for side in self._sides
        )
        return LanguageChange(
            code=code,
            before=before,
            after=after,
            changes={
                measure: self._change(
                    measure, {code: 1.0}, *(found and language_interval(found, measure) for found in (before, after))
                )
                for measure in MEASURES
            },
        )

    def _average(self, name: str, languages: Sequence[str]) -> AverageChange:
        return AverageChange(
            name=name,
            languages=tuple(languages),
            changes={
                measure: self._change(
                    measure,
                    mean_over(languages),
                    *(side and interval_of_average(side, name, measure) for side in self._sides),
                )
                for measure in MEASURES
            },
        )

    def _gap(self, measure: str) -> Change:
        known = next(side for side in self._sides if side is not None)
        others = [found.language for found in known.languages if found.language != PIVOT_LANGUAGE]
        factors = {PIVOT_LANGUAGE: 1.0, **{code: -factor for code, factor in mean_over(others).items()}}
        return self._change(measure, factors, *(side and gap_of(side, measure) for side in self._sides))

    def _change(
        self, measure: str, factors: Mapping[str, float], before: Interval | None, after: Interval | None
    ) -> Change:
        if before is None or after is None:
            return Change(before=before, after=after)
        moved = change(before, after, scores=self._scores[measure], factors=factors, levels=self._levels)
        return Change(before=before, after=after, difference=moved)
