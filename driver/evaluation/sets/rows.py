"""Open the rows of a set in one language: files of a local folder, one file, or a dataset of the Hugging Face hub."""

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import BadInput
from driver.evaluation.tasks.definition import DataPlace, EvaluationTask
from driver.evaluation.tasks.registry import known_tasks
from driver.problems.hub_tables import open_huggingface
from driver.problems.tables import JsonlTable, ParquetTable, Table
from driver.problems.text_tables import CsvTable, TsvTable, open_json

SNAPSHOT = (
    "{subset}/{split}.parquet",
    "{subset}/{split}-*.parquet",
    "data/{subset}/{split}-*.parquet",
    "{subset}/{split}/*.parquet",
    "data/{split}-*.parquet",
    "{subset}/{split}.jsonl",
    "{split}.jsonl",
)
"""Files of a local copy of a hub's dataset, beside those that a task names."""
OWN_COLUMNS = ("item_id", "language", "question", "options", "answer")
"""Columns of a set of the user's own."""


def open_rows(
    task: EvaluationTask, place: DataPlace, folder: Path | None, *, code: str, level: str = ""
) -> list[Table]:
    """Open what holds the rows of one language and level: one table, or several parts in their order.

    Args:
        task: whose columns are read.
        place: the set itself, or its worked examples.
        folder: a local folder or file; None: the hub.
        code: ISO 639 code of the language.
        level: of difficulty; "" where the set has none.

    Raises:
        BadInput: there is no such file or dataset, or it holds another set.
    """
    names = _names(task, place, code=code, level=level)
    if folder is None:
        if not place.hub:
            raise BadInput(
                f"task {task.name}: the set is on no hub; download it ({task.source}) and name its folder: "
                f"--data {task.name}=FOLDER, or evaluation.paths",
                key="evaluation.paths",
            )
        return [open_huggingface(place.hub, subset=names["subset"] or None, split=names["split"])]
    if folder.is_file():
        return [open_single(folder, columns=task.columns, header=place.columns)]
    return [open_single(file, columns=task.columns, header=place.columns) for file in _find(task, place, folder, names)]


def is_there(task: EvaluationTask, folder: Path, *, code: str, level: str) -> bool:
    """Return whether a folder has a file of a task's set in a language."""
    return has_files(task, task.data, folder, code=code, level=level)


def has_files(task: EvaluationTask, place: DataPlace, folder: Path, *, code: str, level: str = "") -> bool:
    """Return whether a folder has a file of the set, or of its worked examples, in a language."""
    return bool(_files(place, folder, _names(task, place, code=code, level=level)))


def _names(task: EvaluationTask, place: DataPlace, *, code: str, level: str) -> dict[str, str]:
    """Return what stands for the placeholders of a file's name."""
    names = {"language": task.languages[code], "code": code, "level": level}
    return names | {"subset": _filled(place.subset, names), "split": _filled(place.split, names)}


def _filled(pattern: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern


def _find(task: EvaluationTask, place: DataPlace, folder: Path, names: Mapping[str, str]) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"task {task.name}: there is no folder {folder}", key="evaluation.paths")
    if found := _files(place, folder, names):
        return found
    other = next((known for known in known_tasks().values() if known.name != task.name and _holds(folder, known)), None)
    hint = f"; it looks like {other.name}" if other is not None else ""
    raise BadInput(
        f"task {task.name}: {folder} has no file of the set in {names['code']!r}, such as "
        f"{_filled(_patterns(place)[0], names)}{hint}",
        key="evaluation.paths",
    )


def _patterns(place: DataPlace) -> tuple[str, ...]:
    """Return the names that a set's files may have: those of the task, then those of a local copy of the hub's."""
    copies = [pattern for pattern in SNAPSHOT if place.hub and ("{subset}" in pattern) == bool(place.subset)]
    return (*place.files, *copies)


def _files(place: DataPlace, folder: Path, names: Mapping[str, str]) -> list[Path]:
    """Return the files of the first pattern that fits, in order; several are parts of one table."""
    for pattern in _patterns(place):
        if found := sorted(path for path in folder.glob(_filled(pattern, names)) if path.is_file()):
            return found
    return []


def _holds(folder: Path, task: EvaluationTask) -> bool:
    """Return whether a folder has files that are named as only this task names them."""
    return any(
        list(folder.glob(_filled(pattern, {"language": "*", "code": "*", "level": "*"})))
        for pattern in task.data.files
        if not pattern.startswith("{language}.")
    )


def open_single(file: Path, *, columns: Sequence[str] = OWN_COLUMNS, header: Sequence[str] = ()) -> Table:
    """Open one file by the ending of its name.

    Args:
        file: to open.
        columns: that are read of a Parquet file.
        header: names of the columns of a .tsv or .csv file that has no line with them.

    Raises:
        BadInput: it is of no known kind, or damaged.
    """
    match file.suffix:
        case ".jsonl":
            return JsonlTable(file)
        case ".parquet":
            return ParquetTable(file, columns=columns)
        case ".json":
            return open_json(file)
        case ".tsv":
            return TsvTable(file, header=header)
        case ".csv":
            return CsvTable(file, header=header)
    raise BadInput(
        f"{file} is of no known kind; known are .jsonl, .json, .parquet, .tsv and .csv", key="evaluation.paths"
    )


def list_of_texts(value: object) -> tuple[str, ...] | None:
    """Return a column that holds a list of texts, also one that is written as JSON or Python text; else None."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = _python_list(str(value))
    if not isinstance(value, list | tuple) or not value:
        return None
    return tuple("" if text is None else str(text) for text in value)


def _python_list(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
