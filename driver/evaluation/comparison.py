"""Compare evaluations with the first of them, over the same items: differences with their intervals.

The interval that decides is Newcombe's, as in the report of a run: it holds for few items, too. That of a paired
bootstrap stands beside it in the tables, because papers give it. A comparison is made for each task that both have.
Other items in one of the two are refused: a difference would be one of items, too.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from contracts.errors import BadInput
from driver.evaluation.entries import Entry
from driver.evaluation.estimates import Resampled, mean_over, paired_difference
from driver.evaluation.intervals import Interval, change
from driver.evaluation.judging import JudgedRow
from driver.evaluation.measured import BOTH, RIGHT, gap_of, interval_of_average, interval_of_language
from driver.evaluation.results import EvaluationResult, TextResult
from driver.evaluation.summarise import Measure, is_right, is_right_in_language, levels_of, scores
from driver.language_names import language_title
from rewards.reading import PIVOT_LANGUAGE

TRAINED_SKILLS = ("arithmetic", "mathematics")
"""Kinds of skill that a run of this project trains. Tasks of another kind show what training cost elsewhere."""
GAP, MEAN = "gap to English", "mean: all but English"
_MEASURES: Mapping[str, tuple[str, Measure]] = {"Acc": (RIGHT, is_right), "LC&Acc": (BOTH, is_right_in_language)}
_IGNORED = ("model",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedLine:
    """Hold one difference. Shares are in [0, 1]."""

    task: str
    skill: str
    measure: str  # "Acc" or "LC&Acc"
    over: str  # name of a language, or of an average
    first: str  # name of the first evaluation
    second: str
    before: float
    after: float
    difference: Interval
    bootstrap: Resampled

    @property
    def is_retention(self) -> bool:
        """Return whether it shows what training cost elsewhere: other kinds of skill, and English."""
        return self.skill not in TRAINED_SKILLS or self.over == language_title(PIVOT_LANGUAGE)

    @property
    def is_clear(self) -> bool:
        """Return whether the 95% interval leaves zero out."""
        return self.difference.excludes_zero


@dataclass(frozen=True, kw_only=True)
class Variety:
    """Hold how varied the responses of one language are: the share of n-grams that differ, by n."""

    entry: str
    task: str
    language: str
    distinct: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """Hold how probable plain texts of one language are to one model."""

    entry: str
    task: str
    text: TextResult


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Hold all differences to the first evaluation."""

    lines: tuple[ComparedLine, ...]
    variety: tuple[Variety, ...]
    texts: tuple[Perplexity, ...]
    notes: tuple[str, ...]


def compare(entries: Sequence[Entry]) -> Comparison:
    """Compare every evaluation with the first.

    Raises:
        BadInput: there is one evaluation only, none shares a task with the first, or one has other items.
    """
    if len(entries) < 2:
        raise BadInput("one evaluation alone can't be compared; name a second run", key="RUN")
    first, lines, notes = entries[0], [], []
    for other in entries[1:]:
        shared = [task for task in first.results if task in other.results]
        if not shared:
            raise BadInput(
                f"{first.name} and {other.name} have no task in common: {', '.join(first.results)} and "
                f"{', '.join(other.results)}",
                key="RUN",
            )
        for task in shared:
            if first.results[task].texts:
                _check_items(first, other, task)
                continue
            notes += _differing_settings(first, other, task)
            lines += _compare_task(first, other, task)
    variety = [
        Variety(entry=entry.name, task=task, language=found.language, distinct=found.distinct)
        for entry in entries
        for task, result in entry.results.items()
        for found in result.languages
        if found.distinct
    ]
    texts = [
        Perplexity(entry=entry.name, task=task, text=text)
        for entry in entries
        for task, result in entry.results.items()
        for text in result.texts
    ]
    return Comparison(lines=tuple(lines), variety=tuple(variety), texts=tuple(texts), notes=tuple(dict.fromkeys(notes)))


def _differing_settings(first: Entry, other: Entry, task: str) -> Iterator[str]:
    before, after = first.results[task].measured_on, other.results[task].measured_on
    for key in dict.fromkeys((*before, *after)):
        if key not in _IGNORED and before.get(key) != after.get(key):
            yield (
                f"{task}: {key} is {before.get(key)} for {first.name} and {after.get(key)} for {other.name}: the "
                "difference is also one of settings"
            )


def _compare_task(first: Entry, other: Entry, task: str) -> Iterator[ComparedLine]:
    before, after = first.rows[task], other.rows[task]
    _check_items(first, other, task)
    measured_on = first.results[task].measured_on
    levels = levels_of(before, json.loads(measured_on.get("levels", "{}")))
    for name, (kind, measure) in _MEASURES.items():
        both = (scores(before, measure), scores(after, measure))
        for over, factors in _groups(list(both[0])).items():
            values = [_interval(entry.results[task], over, kind) for entry in (first, other)]
            if values[0] is None or values[1] is None:
                continue
            yield ComparedLine(
                task=task,
                skill=measured_on.get("skill", TRAINED_SKILLS[0]),
                measure=name,
                over=over if over in (MEAN, GAP) else language_title(over),
                first=first.name,
                second=other.name,
                before=values[0].value,
                after=values[1].value,
                difference=change(values[0], values[1], scores=both, factors=factors, levels=levels),
                bootstrap=paired_difference(*both, factors, levels),
            )


def _interval(result: EvaluationResult, over: str, kind: str) -> Interval | None:
    """Return a number of one evaluation as its own report shows it; None where it was not measured."""
    if over == MEAN:
        return interval_of_average(result, "all", kind)
    if over == GAP:
        return gap_of(result, kind)
    return interval_of_language(result, over, kind)


def _groups(languages: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the factors of every language by its code, of the mean over all but English, and of the gap to English."""
    groups = {code: {code: 1.0} for code in languages}
    others = [code for code in languages if code != PIVOT_LANGUAGE]
    if len(others) > 1:
        groups[MEAN] = mean_over(others)
    if others and PIVOT_LANGUAGE in languages:
        groups[GAP] = {PIVOT_LANGUAGE: 1.0, **{code: -1 / len(others) for code in others}}
    return groups


def _check_items(first: Entry, other: Entry, task: str) -> None:
    """Check that two evaluations asked the same items.

    Raises:
        BadInput: they did not.
    """
    one, two = (_items(entry.rows[task]) for entry in (first, other))
    if one == two:
        return
    for language in dict.fromkeys((*one, *two)):
        here, there = one.get(language, {}), two.get(language, {})
        only = [item for item in dict.fromkeys((*here, *there)) if here.get(item) != there.get(item)]
        if only:
            raise BadInput(
                f"{task}: {first.name} and {other.name} were not asked the same items: in {language!r} {len(only)} "
                f"differ, such as {only[0]}; evaluate both with the same tasks, languages and items",
                key="RUN",
            )


def _items(rows: Sequence[JudgedRow]) -> dict[str, dict[str, tuple[str, str]]]:
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for row in rows:
        found[row.language][row.item_id] = (row.question, row.gold)
    return found


HEADER = (
    *("task", "measure", "over", "first", "second", "before", "after"),
    *("difference", "95% interval", "clear", "by bootstrap", "p by bootstrap"),
)


def _cells(line: ComparedLine) -> tuple[str, ...]:
    return (
        *(line.task, line.measure, line.over, line.first, line.second),
        *(f"{100 * line.before:.1f}", f"{100 * line.after:.1f}", f"{100 * line.difference.value:+.1f}"),
        _limits(line.difference),
        "yes" if line.is_clear else "no",
        _limits(line.bootstrap),
        f"{line.bootstrap.p_value:.3f}",
    )


def _limits(found: Interval | Resampled) -> str:
    return f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"


def as_csv(comparison: Comparison) -> str:
    """Return all differences as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(map(_cells, comparison.lines))
    return text.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return everything as JSON."""
    return json.dumps(asdict(comparison), ensure_ascii=False, indent=1) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """Return the report: what training was for, then retention in a block of its own."""
    blocks = ["# Comparison", *comparison.notes]
    gained = [line for line in comparison.lines if not line.is_retention]
    kept = [line for line in comparison.lines if line.is_retention]
    blocks += ["## Trained skills", _table(HEADER, map(_cells, gained))] if gained else []
    blocks += ["## Retention: English, and tasks of other kinds", _table(HEADER, map(_cells, kept))] if kept else []
    if comparison.variety:
        rows = (
            (
                *(found.entry, found.task, language_title(found.language)),
                *(f"{100 * found.distinct[n]:.1f}" if n in found.distinct else "" for n in ("1", "2", "3")),
            )
            for found in comparison.variety
        )
        header = ("evaluation", "task", "language", "distinct-1", "distinct-2", "distinct-3")
        blocks += ["## Retention: variety of responses", _table(header, rows)]
    if comparison.texts:
        shown = (
            (
                *(found.entry, found.task, language_title(found.text.language)),
                *(f"{found.text.perplexity:.3f}", f"{found.text.bits_per_byte:.4f}"),
            )
            for found in comparison.texts
        )
        header = ("evaluation", "task", "language", "perplexity", "bits per byte")
        blocks += ["## Retention: perplexity on plain texts", _table(header, shown)]
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
