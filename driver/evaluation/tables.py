"""Lay out evaluations as tables: for the terminal, and as CSV, LaTeX and Markdown.

Every table has the same rows and columns: a row for each model, task and language, then the averages. Shares are in
percent with one decimal place, errors are standard errors.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from driver.evaluation.intervals import Interval
from driver.evaluation.measured import RIGHT, gap_of, interval_of_average, language_interval
from driver.evaluation.results import Average, EvaluationResult, LanguageResult
from driver.language_names import language_title
from driver.names import NOT_MEASURED

Results = Mapping[str, Sequence[EvaluationResult]]
"""Model -> its results, one for each task."""

COLUMNS = (
    *(
        "model",
        "task",
        "language",
        "items",
        "Acc",
        "Acc s.e.",
        "LC",
        "LC&Acc",
        "LC&Acc s.e.",
        "LC by lingua",
        "LC by langdetect",
        "by length",
    ),
    *("declared", "switched lines", "cut off", "tokens", "thinking", "distinct-2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Hold one row of a table, with every cell as text."""

    model: str
    task: str
    name: str  # of a language or of an average
    is_average: bool
    interval: str  # of 95% around Acc
    cells: tuple[str, ...]  # of the columns behind the name


def all_results(result: EvaluationResult) -> tuple[EvaluationResult, ...]:
    """Return the results of all tasks that were measured at one moment."""
    return (result, *result.more)


def lines(results: Results) -> list[Line]:
    """Return the rows of all models and tasks."""
    found: list[Line] = []
    for model, by_task in results.items():
        for result in by_task:
            found += [_of_language(model, result.task, language) for language in result.languages]
            found += [_of_average(model, result, average) for average in result.averages]
    return found


def _of_language(model: str, task: str, found: LanguageResult) -> Line:
    return Line(
        model=model,
        task=task,
        name=language_title(found.language),
        is_average=False,
        interval=_limits(language_interval(found, RIGHT)),
        cells=(
            str(found.num_items),
            _percent(found.accuracy),
            _percent(found.accuracy_error),
            _percent(found.language_consistency),
            _percent(found.accuracy_in_language),
            _percent(found.accuracy_in_language_error),
            _percent(found.consistency_by_lingua),
            _percent(found.consistency_by_langdetect),
            _percent(found.accuracy_by_length),
            _percent(found.declared_rate),
            _percent(found.switched_lines),
            _percent(found.truncated_rate),
            f"{found.mean_length:.0f}",
            f"{found.mean_thinking_length:.0f}",
            _percent(found.distinct.get("2")),
        ),
    )


def _of_average(model: str, result: EvaluationResult, found: Average) -> Line:
    is_gap = found.name == "gap"
    interval = gap_of(result, RIGHT) if is_gap else interval_of_average(result, found.name, RIGHT)
    measured = (
        "" if is_gap else _num_languages(len(found.languages)),
        _percent(found.accuracy),
        _percent(found.accuracy_error),
        _percent(found.language_consistency),
        _percent(found.accuracy_in_language),
        _percent(found.accuracy_in_language_error),
    )
    empty = ("",) * (len(COLUMNS) - 3 - len(measured))
    return Line(
        model=model,
        task=result.task,
        name="gap to English" if is_gap else f"mean: {found.name}",
        is_average=True,
        interval=_limits(interval),
        cells=(*measured, *empty),
    )


def _num_languages(num: int) -> str:
    return f"{num} language{'s' if num > 1 else ''}"


def _limits(interval: Interval | None) -> str:
    return NOT_MEASURED if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f}"


def as_csv(results: Results) -> str:
    """Return the table as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([line.model, line.task, line.name, *line.cells] for line in lines(results))
    return text.getvalue()


def as_markdown(results: Results) -> str:
    """Return the table as Markdown."""
    rows = [[line.model, line.task, line.name, *line.cells] for line in lines(results)]
    numbers = ["---"] * 3 + ["---:"] * (len(COLUMNS) - 3)
    table = "\n".join(_piped(row) for row in ([*COLUMNS], numbers, *rows)) + "\n"
    return "\n".join([table, *_edition_tables(results), *_text_tables(results)])


def _text_tables(results: Results) -> Iterator[str]:
    """Yield a table for each task of plain texts."""
    for model, by_task in results.items():
        for result in by_task:
            if not result.texts:
                continue
            header = ["language", "texts", "tokens", "perplexity", "bits per byte"]
            rows = [
                [
                    *(language_title(found.language), str(found.num_texts), str(found.num_tokens)),
                    *(f"{found.perplexity:.3f}", f"{found.bits_per_byte:.4f}"),
                ]
                for found in result.texts
            ]
            title = f"{model}: {result.task}, perplexity on plain texts"
            yield "\n".join([title, "", *map(_piped, (header, ["---"] * len(header), *rows)), ""])


def _edition_tables(results: Results) -> Iterator[str]:
    """Yield a table for each corrected set that was measured beside its original."""
    for model, by_task in results.items():
        for result in by_task:
            if not result.editions:
                continue
            header = ["language", "items", "replaced", "original", "corrected", "original*", "corrected*"]
            rows = [
                [
                    *(language_title(found.language), str(found.num_items), str(found.num_replaced)),
                    *(_percent(found.original), _percent(found.corrected)),
                    *(_percent(found.original_replaced), _percent(found.corrected_replaced)),
                ]
                for found in result.editions
            ]
            title = f"{model}: {result.task} beside its original, Acc over the items of both; *: over the replaced ones"
            yield "\n".join([title, "", *map(_piped, (header, ["---"] * len(header), *rows)), ""])


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_latex(results: Results) -> str:
    """Return, for each task, a tabular of the booktabs package: languages in rows, Acc, LC and LC&Acc of each model."""
    tasks = dict.fromkeys(line.task for line in lines(results))
    return "\n".join(_tabular(task, results) for task in tasks)


def _tabular(task: str, results: Results) -> str:
    found = [line for line in lines(results) if line.task == task]
    by_place = {(line.model, line.name): line for line in found}
    models = [model for model in results if any(line.model == model for line in found)]
    heads = " & ".join(rf"\multicolumn{{3}}{{c}}{{{_latex(model)}}}" for model in models)
    body: list[str] = []
    for name, is_average in dict.fromkeys((line.name, line.is_average) for line in found):
        if is_average and r"\midrule" not in body:
            body.append(r"\midrule")
        cells = [cell for model in models for cell in _latex_cells(by_place.get((model, name)))]
        body.append(" & ".join([_latex(name), *cells]) + r" \\")
    columns = f"l{'rrr' * len(models)}"
    return "\n".join(
        [
            f"% {task}: accuracy, language consistency, and both, in percent, with standard errors",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{_latex(task)} & {heads} \\",
            " & ".join(["", *[_latex(head) for _ in models for head in ("Acc", "LC", "LC&Acc")]]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex_cells(line: Line | None) -> tuple[str, str, str]:
    if line is None:
        return ("--", "--", "--")
    accuracy, accuracy_error, consistency, both, both_error = line.cells[1:6]
    return (_with_error(accuracy, accuracy_error), _latex(consistency), _with_error(both, both_error))


def _with_error(share: str, error: str) -> str:
    return "--" if share == NOT_MEASURED else rf"{share} \scriptsize{{$\pm${error}}}"


def _latex(text: str) -> str:
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in text).replace(NOT_MEASURED, "--")


_SHOWN = {"in language": "LC", "both": "LC&Acc", "declared": "declared", "cut off": "cut off", "tokens": "tokens"}
"""Heads of a table on the terminal -> columns of the files."""


def as_tables(results: Results) -> Iterator[Table]:
    """Yield the tables for the terminal: one of each model and task, then plain texts; files have more columns."""
    by_task: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines(results):
        by_task[line.model, line.task].append(line)
    for (model, task), found in by_task.items():
        table = _narrow_table("language", "items", "right", "95% interval", *_SHOWN, title=f"{model}: {task}")
        for line in found:
            cells = dict(zip(COLUMNS[3:], line.cells, strict=True))
            items = "" if line.is_average else cells["items"]
            shown = (cells[name] for name in _SHOWN.values())
            table.add_row(
                line.name, items, cells["Acc"], line.interval, *shown, style="bold" if line.is_average else None
            )
        yield table
    texts = [(model, result, text) for model, by_task in results.items() for result in by_task for text in result.texts]
    if texts:
        table = _narrow_table("model", "task", "language", "texts", "perplexity", "bits per byte", title="plain texts")
        for model, result, text in texts:
            numbers = (str(text.num_texts), f"{text.perplexity:.3f}", f"{text.bits_per_byte:.4f}")
            table.add_row(model, result.task, language_title(text.language), *numbers)
        yield table


def _narrow_table(first: str, *others: str, title: str) -> Table:
    """Return an empty table that fits 80 columns: no lines between its cells, and numbers to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for head in others:
        table.add_column(head, justify="right", no_wrap=head == "95% interval")
    return table
