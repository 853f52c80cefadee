"""Read what folders hold of evaluations: models that `evaluate` measured, and the moments of a training run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.errors import BadInput
from driver.evaluation.judging import JudgedRow, read_rows
from driver.evaluation.record import JSON, read_record, slug_of
from driver.evaluation.results import EVALUATIONS, RESPONSES, EvaluationResult, read_evaluations, step_of
from driver.evaluation.tables import all_results


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Hold one evaluation of one model: its numbers and every judged response, by task."""

    name: str
    results: Mapping[str, EvaluationResult]
    rows: Mapping[str, Sequence[JudgedRow]]


def entries_of(folders: Sequence[Path]) -> list[Entry]:
    """Return the evaluations of all folders, in order. Where names are alike, each gets the name of its folder, too.

    Raises:
        BadInput: a folder holds none or is named twice, its responses are missing, or two evaluations have the same
            name in folders of the same name.
    """
    found = [(folder, entry) for folder in folders for entry in _entries(folder)]
    counts = Counter(entry.name for _, entry in found)
    entries = [
        replace(entry, name=f"{folder.name}: {entry.name}") if counts[entry.name] > 1 else entry
        for folder, entry in found
    ]
    names = Counter(entry.name for entry in entries)
    if twice := next((name for name, count in names.items() if count > 1), None):
        raise BadInput(f"two evaluations are named {twice!r}; name each folder once, or rename one", key="RUN")
    return entries


def _entries(folder: Path) -> list[Entry]:
    if (folder / JSON).exists():
        measured = {name: (found.result, slug_of(name)) for name, found in read_record(folder).items()}
    else:
        moments = read_evaluations(folder / EVALUATIONS)
        measured = {f"{folder.name} {moment}": (moments[moment], moment) for moment in sorted(moments, key=step_of)}
    if not measured:
        raise BadInput(
            f"{folder} holds no evaluation: neither {JSON} of `evaluate` nor {EVALUATIONS} of a run", key="RUN"
        )
    return [_entry(name, result, folder / RESPONSES / f"{file}.parquet") for name, (result, file) in measured.items()]


def _entry(name: str, result: EvaluationResult, file: Path) -> Entry:
    """Return one evaluation.

    Raises:
        BadInput: the file of its responses is missing, damaged, or of another evaluation.
    """
    results = {found.task: found for found in all_results(result)}
    rows: dict[str, list[JudgedRow]] = {task: [] for task in results}
    for row in read_rows(file):
        rows.setdefault(row.task, []).append(row)
    if without := next((task for task in results if task and not rows[task]), None):
        raise BadInput(f"{file} holds no response to {without}: it is of another evaluation", key=file.name)
    return Entry(name=name, results=results, rows=rows)
