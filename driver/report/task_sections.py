"""Lay out what was measured on each task: sentences, pictures with 95% intervals, and the rows of tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from driver.evaluation.intervals import Interval
from driver.evaluation.measured import BOTH, IN_LANGUAGE, RIGHT, gap_of, interval_of_language
from driver.evaluation.results import EvaluationResult, LanguageResult, step_of
from driver.evaluation.results import Moment as MomentName
from driver.evaluation.tables import all_results
from driver.names import NOT_MEASURED, language_name, percent, points, signed_points
from driver.outcome.changes import AverageChange, Change, TaskChanges
from driver.outcome.words import Statement, interval_text, moment_name, statements
from driver.report.interval_figures import IntervalRow, Moment, gap_curve, learning_curve, shares
from rewards.reading import PIVOT_LANGUAGE

MEASURE_TITLES: Mapping[str, str] = {
    BOTH: "Right and in the asked language",
    RIGHT: "Right, in whatever language",
    IN_LANGUAGE: "In the asked language",
}
_TRAINED_OR_NOT = {"seen": "Mean of trained languages", "unseen": "Mean of other languages"}
_FEWEST_FOR_CURVES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Hold a number as text, with its 95% interval in small; `tone` is "better", "worse" or empty."""

    text: str
    interval: str = ""
    tone: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """Hold one row of a table."""

    name: str
    cells: tuple[Cell, ...]
    is_total: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveOfLanguage:
    """Hold one language's learning curve."""

    name: str
    picture: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSection:
    """Hold everything that is shown of one task."""

    task: str
    measured_on: Mapping[str, str]
    num_items: str
    statements: tuple[Statement, ...]
    title: str  # of the measure that the task is judged by
    picture: Markup
    gap_picture: Markup  # empty: there are no two evaluations with a gap
    curves: tuple[CurveOfLanguage, ...]
    heads: tuple[str, ...]  # of the table's columns behind the name
    rows: tuple[TableRow, ...]
    more: Mapping[str, tuple[TableRow, ...]]  # tables of the other measures, by title
    languages: tuple[tuple[str, tuple[LanguageResult, ...]], ...]  # name, what was measured at each moment shown
    shown_moments: tuple[str, ...]


def task_sections(
    evaluations: Mapping[MomentName, EvaluationResult], changes: Sequence[TaskChanges]
) -> list[TaskSection]:
    """Return the sections of all tasks; `changes` are those between the first and the last of the evaluations."""
    return [_section(task, evaluations) for task in changes]


def _section(task: TaskChanges, evaluations: Mapping[MomentName, EvaluationResult]) -> TaskSection:
    results = {
        moment: found
        for moment, result in evaluations.items()
        for found in all_results(result)
        if found.task == task.task and found.languages
    }
    latest = results[task.last or task.first or ""]
    counts = sorted({found.num_items for found in latest.languages})
    shown = tuple(moment_name(moment) for moment in (task.first, task.last) if moment is not None)
    tables = {measure: tuple(_table(task, measure)) for measure in MEASURE_TITLES}
    measured = [task.main, *(measure for measure, rows in tables.items() if rows and measure != task.main)]
    title = MEASURE_TITLES[task.main]
    return TaskSection(
        task=task.task,
        measured_on=latest.measured_on,
        num_items=f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
        statements=tuple(statements(task)),
        title=title,
        picture=shares(_picture_rows(task), alt=f"{title}, by language, with 95% intervals"),
        gap_picture=_gap_picture(results, task),
        curves=tuple(_curves(results, task)),
        heads=(*shown, "change") if len(shown) == 2 else tuple(MEASURE_TITLES[measure] for measure in measured),
        rows=tables[task.main] if len(shown) == 2 else _beside([tables[measure] for measure in measured]),
        more={MEASURE_TITLES[measure]: tables[measure] for measure in measured[1:] if len(shown) == 2},
        languages=tuple(
            (language_name(found.code), tuple(side for side in (found.before, found.after) if side is not None))
            for found in task.languages
        ),
        shown_moments=shown,
    )


def _picture_rows(task: TaskChanges) -> list[IntervalRow]:
    rows = [(language_name(found.code), found.changes[task.main], False) for found in task.languages]
    mean = task.mean.get(task.main)
    if mean is not None and sum(found.code != PIVOT_LANGUAGE for found in task.languages) > 1:
        rows.append(("Mean", mean, True))
    return [
        IntervalRow(label=name, before=change.before, after=change.after, is_total=is_total)
        for name, change, is_total in rows
    ]


def _gap_picture(results: Mapping[MomentName, EvaluationResult], task: TaskChanges) -> Markup:
    gaps = {moment: gap_of(result, task.main) for moment, result in results.items()}
    moments = _on_axis({moment: gap for moment, gap in gaps.items() if gap is not None})
    return gap_curve(moments, alt="gap to English, with 95% intervals") if len(moments) > 1 else Markup()


def _curves(results: Mapping[MomentName, EvaluationResult], task: TaskChanges) -> Iterator[CurveOfLanguage]:
    """Yield the learning curve of every language, all on one scale; none of fewer than three evaluations."""
    if len(results) < _FEWEST_FOR_CURVES:
        return
    by_code = {
        found.code: {
            moment: share
            for moment, result in results.items()
            if (share := interval_of_language(result, found.code, task.main)) is not None
        }
        for found in task.languages
    }
    top = 1.05 * max((share.high for found in by_code.values() for share in found.values()), default=1.0)
    english = _on_axis(by_code.get(PIVOT_LANGUAGE, {}))
    for code, found in by_code.items():
        if found:
            name, beside = language_name(code), english if code != PIVOT_LANGUAGE else []
            picture = learning_curve(_on_axis(found), beside, top=top, alt=f"{name} over the steps")
            yield CurveOfLanguage(name=name, picture=picture)


def _on_axis(found: Mapping[MomentName, Interval]) -> list[Moment]:
    """Return the moments at their steps; "after" comes as far behind the last step as the steps are apart."""
    moments = sorted(found, key=step_of)
    numbers = [step_of(moment) for moment in moments if moment != "after"]
    end = 2 * numbers[-1] - numbers[-2] if len(numbers) > 1 else (numbers[-1] + 1 if numbers else 0)
    return [
        Moment(
            label=moment.removeprefix("step-"), at=end if moment == "after" else step_of(moment), value=found[moment]
        )
        for moment in moments
    ]


def _table(task: TaskChanges, measure: str) -> Iterator[TableRow]:
    """Yield a row for each language, each average and the gap; nothing of a measure that was not taken."""
    named = [(language_name(found.code), found.changes[measure], False) for found in task.languages]
    if all(change.before is None and change.after is None for _, change, _ in named):
        return
    named += [(_average_name(found), found.changes[measure], True) for found in _distinct(task.averages)]
    num_moments = sum(moment is not None for moment in (task.first, task.last))
    for name, change, is_total in named:
        yield TableRow(name=name, cells=_cells(change, num_moments=num_moments), is_total=is_total)
    gap = task.gap.get(measure)
    if gap is not None and (gap.before or gap.after):
        yield TableRow(name="Gap to English", cells=_cells(gap, num_moments=num_moments, is_gap=True), is_total=True)


def _beside(tables: Sequence[Sequence[TableRow]]) -> tuple[TableRow, ...]:
    """Return one table of several, each of which has one column of numbers; the first has every row."""
    by_name = [{row.name: row.cells[0] for row in rows} for rows in tables]
    return tuple(
        TableRow(
            name=row.name,
            cells=tuple(found.get(row.name, Cell(text=NOT_MEASURED)) for found in by_name),
            is_total=row.is_total,
        )
        for row in tables[0]
    )


def _distinct(averages: Sequence[AverageChange]) -> list[AverageChange]:
    """Return the averages, "all" first, without those of a single language's script and those of the same languages."""
    whole = next((found for found in averages if found.name == "all"), None)
    others = [
        found
        for found in averages
        if found.name != "all"
        and (whole is None or set(found.languages) != set(whole.languages))
        and (len(found.languages) > 1 or found.name in _TRAINED_OR_NOT)
    ]
    return [whole, *others] if whole else others


def _average_name(found: AverageChange) -> str:
    names = {"all": "Mean without English", **_TRAINED_OR_NOT}
    return names.get(found.name, f"Mean of {found.name} scripts")


def _cells(change: Change, *, num_moments: int, is_gap: bool = False) -> tuple[Cell, ...]:
    found = [change.before, change.after] if num_moments == 2 else [change.before or change.after]
    cells = [_cell(side, is_gap=is_gap) for side in found]
    if num_moments == 2:
        cells.append(_difference_cell(change, lower_is_better=is_gap))
    return tuple(cells)


def _cell(found: Interval | None, *, is_gap: bool) -> Cell:
    if found is None:
        return Cell(text=NOT_MEASURED)
    if is_gap:
        return Cell(text=points(found.value), interval=f"{points(found.low)} to {points(found.high)}")
    return Cell(text=percent(found.value), interval=interval_text(found))


def _difference_cell(change: Change, *, lower_is_better: bool) -> Cell:
    found = change.difference
    if found is None:
        return Cell(text=NOT_MEASURED)
    tone = ""
    if change.is_clear:
        tone = "better" if (found.value > 0) != lower_is_better else "worse"
    interval = f"{signed_points(found.low)} to {signed_points(found.high)}"
    return Cell(text=signed_points(found.value), interval=interval, tone=tone)
