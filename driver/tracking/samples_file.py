"""Keep every scored response of a run in samples.parquet, for people to read and for `verify`.

The table survives a kill: each step is a whole file of its own under samples/, and `merge` joins them to
samples.parquet, one row group a step. A step that is written again (after a resume) replaces itself and all steps after
it. A file that can't be read is set aside: it is renamed and kept, and the rest goes on without it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.files import sync_folder, whole_file
from contracts.rollouts import Reference, Rollout, Score, ScoredGroup, Unscored
from contracts.user_files import guarded

_COLUMNS = pa.schema(
    [
        ("step", pa.int64()),
        ("group_id", pa.string()),
        ("item_id", pa.string()),
        ("language", pa.string()),
        ("question", pa.string()),
        ("response", pa.string()),  # without thinking
        ("thinking", pa.string()),  # null: none
        ("finish_reason", pa.string()),
        ("num_tokens", pa.int64()),
        ("num_thinking_tokens", pa.int64()),  # of these
        ("policy_version", pa.int64()),  # that drew the oldest token
        ("last_policy_version", pa.int64()),  # that drew the newest
        ("learned", pa.bool_()),
        ("learner_version", pa.int64()),  # of the weights that learned from it; null: not learned from
        ("reward", pa.float64()),  # null: unscored
        ("unscored_reason", pa.string()),  # null: scored
        ("answer", pa.string()),  # null: none declared, or unscored
        ("reference", pa.string()),
    ]
)
"""There are also a `part_<name>` (float) for each reward component and a `gate_<name>` (bool, False is shut) for each
gate."""

Cell = str | int | float | bool | None

DAMAGED = ".damaged"
"""What the name of a file ends with that was set aside."""

_PART = re.compile(r"step-(\d{8,})\.parquet")
_UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""Errors of a file that is cut off, changed, of another kind, or that the disk does not give back."""


class SamplesLog:
    """Write a run's samples step by step. When `append` returns, the step is on the disk."""

    def __init__(self, path: Path) -> None:
        """Take the path of the merged file, samples.parquet; the steps' files go to samples/ beside it."""
        self._path = path
        self._folder = _parts_folder(path)

    def append(self, step: int, groups: Iterable[ScoredGroup], *, learned_by: Mapping[str, int]) -> None:
        """Write a step's scored groups.

        `learned_by` is the version of the weights that learned from a group, by group id; the others were dropped.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for later_step, part in _parts(self._path):
            if later_step > step:
                part.unlink()
        rows = [row for group in groups for row in _rows(step, group, learned_by.get(group.group.group_id))]
        table = pa.Table.from_pylist(rows, schema=_schema(rows))
        _write_tables(self._folder / f"step-{step:08d}.parquet", [table], table.schema)

    def merge(self) -> list[Path]:
        """Join all steps to samples.parquet. A kill at any moment loses nothing and doubles nothing.

        Returns:
            The damaged files, under the names that they have now.

        Raises:
            OSError: the disk is full.
        """
        return _without_damaged(self._path, lambda: _join(self._path))


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSamples:
    """Hold which steps have samples, merged or not, and which files can't be read."""

    steps: tuple[int, ...]  # in order
    damaged: tuple[Path, ...]  # unreadable, or set aside before

    def knows(self, step: int) -> bool:
        """Return whether the step has samples, or may have them in a damaged file."""
        return step in self.steps or any(
            (part := _PART.match(file.name)) is None or int(part[1]) == step for file in self.damaged
        )


def cut_samples(path: Path, *, after_step: int) -> list[Path]:
    """Remove the steps after `after_step`, merged or not.

    Returns:
        The damaged files, under the names that they have now.
    """
    for step, part in _parts(path):
        if step > after_step:
            part.unlink()
    return _without_damaged(path, lambda: _cut_merged(path, after_step))


def find_samples(path: Path) -> FoundSamples:
    """Return what there is, without a change to any file."""
    steps: set[int] = set()
    folder, name = _parts_folder(path), f"{path.name}{DAMAGED}"
    damaged = sorted([*path.parent.glob(f"{name}*"), *folder.glob(f"step-*{DAMAGED}*")])
    for file, before_step in _sources(path):
        try:
            found = _steps_in(file)
        except _UNREADABLE:
            damaged.append(file)
            continue
        steps |= {step for step in found if before_step is None or step < before_step}
    return FoundSamples(steps=tuple(sorted(steps)), damaged=tuple(damaged))


def check_samples(path: Path) -> None:
    """Check that the merged file can be read.

    Raises:
        BadInput: it can't be.
    """
    if path.exists():
        way_out = f"put a copy of it back, or rename it to {path.name}{DAMAGED} to go on without its responses"
        with guarded(f"{path} can't be read", key=path.name, way_out=way_out):
            _steps_in(path)


def sampled_steps(path: Path) -> list[int]:
    """Return the steps that have samples that can be read, in order; merged or not."""
    return list(find_samples(path).steps)


def read_samples(path: Path, *, steps: Iterable[int]) -> list[dict[str, Cell]]:
    """Return the rows of some steps, in order, one dictionary a response; merged or not, without damaged files."""
    wanted = sorted(set(steps))
    rows: list[dict[str, Cell]] = []
    for file, before_step in _sources(path):
        here = [step for step in wanted if before_step is None or step < before_step]
        if here:
            with suppress(*_UNREADABLE):
                rows += pq.read_table(file, filters=[("step", "in", here)], page_checksum_verification=True).to_pylist()
    return rows


def last_samples(path: Path) -> list[dict[str, Cell]]:
    """Return the rows of the last step that can be read; no other step is read. Empty where there is none."""
    for _, part in reversed(_parts(path)):
        with suppress(*_UNREADABLE):
            return pq.read_table(part, page_checksum_verification=True).to_pylist()
    with suppress(*_UNREADABLE), pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read_row_group(file.num_row_groups - 1).to_pylist() if file.num_row_groups else []
    return []


# --- files that can't be read -----------------------------------------------------------------------------------------


def _without_damaged(path: Path, work: Callable[[], None]) -> list[Path]:
    """Do the work; where a damaged file prevents it, set all damaged files aside, do it again, and return those files.

    Raises:
        OSError: it fails for another reason, such as a full disk.
    """
    aside: list[Path] = []
    try:
        work()
    except _UNREADABLE:
        aside = _set_aside_damaged(path)
        if not aside:
            raise
        work()
    return aside


def _set_aside_damaged(path: Path) -> list[Path]:
    """Rename the files that can't be read to the end, and return them; what can be read of samples.parquet stays."""
    aside = [_set_aside(part) for step, part in _parts(path) if not _is_whole(part, step)]
    if path.exists() and not _is_whole(path):
        kept = _set_aside(path)
        tables = list(_readable_tables(kept))
        if tables:
            schema = pa.unify_schemas([table.schema for table in tables])
            _write_tables(path, (_in_schema(table, schema) for table in tables), schema)
        aside.append(kept)
    return aside


def _is_whole(path: Path, step: int | None = None) -> bool:
    """Return whether every row can be read, and all are of the step if one is given."""
    try:
        for _ in _row_groups([(path, None, step)], _read_schema(path)):
            pass
    except _UNREADABLE:
        return False
    return True


def _set_aside(path: Path) -> Path:
    number, aside = 1, path.with_name(f"{path.name}{DAMAGED}")
    while aside.exists():
        number, aside = number + 1, path.with_name(f"{path.name}{DAMAGED}-{number}")
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _readable_tables(path: Path) -> Iterator[pa.Table]:
    """Yield the steps of a damaged file that can be read."""
    with suppress(*_UNREADABLE), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for index in range(file.num_row_groups):
            with suppress(*_UNREADABLE):
                yield file.read_row_group(index)


# --- rows -------------------------------------------------------------------------------------------------------------


def _rows(step: int, scored: ScoredGroup, learned_by: int | None) -> Iterator[dict[str, Cell]]:
    group = scored.group
    for rollout, score in zip(group.rollouts, scored.scores, strict=True):
        yield {
            "step": step,
            "group_id": group.group_id,
            "item_id": group.problem.item_id,
            "language": group.problem.language,
            "question": storable(group.problem.question),
            # An unscored response leaves the loss, whatever becomes of its group.
            "learned": learned_by is not None and isinstance(score, Score),
            "learner_version": learned_by,
            **_response_cells(rollout, scored.reference),
            **_score_cells(score),
        }


def _response_cells(rollout: Rollout, reference: Reference) -> dict[str, Cell]:
    return {
        "response": storable(rollout.text),
        "thinking": storable(rollout.thinking) if rollout.num_thinking_tokens else None,
        "num_thinking_tokens": rollout.num_thinking_tokens,
        "finish_reason": rollout.finish_reason,
        "num_tokens": len(rollout.token_ids),
        "policy_version": rollout.policy_version,
        "last_policy_version": rollout.last_policy_version,
        "reference": storable(reference.text),
    }


def storable(text: str) -> str:
    """Return the text with lone surrogates as escapes: UTF-8 can't hold those of an engine or of a user's file."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _score_cells(score: Score | Unscored) -> dict[str, Cell]:
    if isinstance(score, Unscored):
        return {"unscored_reason": score.reason}
    parts = {f"part_{name}": float(value) for name, value in score.parts.items()}
    gates = {f"gate_{name}": bool(is_open) for name, is_open in score.gates.items()}
    return {"reward": score.reward, "answer": score.answer, **parts, **gates}


def _schema(rows: list[dict[str, Cell]]) -> pa.Schema:
    """Return the fixed columns and those of the components and gates that occur, in the order of their names."""
    names = sorted({name for row in rows for name in row})
    parts = [(name, pa.float64()) for name in names if name.startswith("part_")]
    gates = [(name, pa.bool_()) for name in names if name.startswith("gate_")]
    return pa.schema([*_COLUMNS, *(pa.field(name, kind) for name, kind in [*parts, *gates])])


# --- files ------------------------------------------------------------------------------------------------------------


def _parts_folder(path: Path) -> Path:
    return path.with_suffix("")


def _parts(path: Path) -> list[tuple[int, Path]]:
    """Return the steps' own files with their steps, in order."""
    files = ((_PART.fullmatch(file.name), file) for file in _parts_folder(path).glob("step-*.parquet"))
    return sorted((int(name[1]), file) for name, file in files if name)


def _sources(path: Path) -> list[tuple[Path, int | None]]:
    """Return the files to read, each with the step before which its rows count (None: all count).

    What the merged file holds of steps that have a file of their own, or of later ones, is out of date or was being
    merged when the run was killed.
    """
    parts = _parts(path)
    first_part_step = parts[0][0] if parts else None
    merged: list[tuple[Path, int | None]] = [(path, first_part_step)] if path.exists() else []
    return merged + [(part, None) for _, part in parts]


def _join(path: Path) -> None:
    """Write all steps into the merged file, and remove their own files, the first one first: see `_sources`."""
    parts = _parts(path)
    if not parts:
        return
    sources = [(file, before_step, None) for file, before_step in _sources(path) if file == path]
    sources += [(part, None, step) for step, part in parts]
    schema = pa.unify_schemas([_read_schema(file) for file, _, _ in sources])
    _write_tables(path, _row_groups(sources, schema), schema)
    folder = _parts_folder(path)
    for file in (*(part for _, part in parts), *folder.glob("step-*.parquet.writing")):
        file.unlink()
    with suppress(OSError):  # files that were set aside, or are not ours, stay
        folder.rmdir()


def _cut_merged(path: Path, after_step: int) -> None:
    if not path.exists():
        return
    steps = _steps_in(path)
    if all(step > after_step for step in steps):
        path.unlink()
    elif any(step > after_step for step in steps):
        schema = _read_schema(path)
        _write_tables(path, _row_groups([(path, after_step + 1, None)], schema), schema)


def _steps_in(path: Path) -> list[int]:
    return pq.read_table(path, columns=["step"], page_checksum_verification=True).column("step").unique().to_pylist()


def _read_schema(path: Path) -> pa.Schema:
    """Return the schema of a file of samples.

    Raises:
        ValueError: it is not one of a run's samples.
    """
    schema = pq.read_schema(path)
    known = {field.name: field.type for field in _COLUMNS}
    for field in schema:
        kind = pa.float64() if field.name.startswith("part_") else pa.bool_()
        if field.type != known.get(field.name, kind):
            raise ValueError(f"{path} has a column {field.name} of type {field.type}")
    if "step" not in schema.names:
        raise ValueError(f"{path} has no column step")
    return schema


def _row_groups(sources: Iterable[tuple[Path, int | None, int | None]], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield one table a step, in one schema; no more than one row group is in memory.

    A source is a file, the step before which its rows count, and the step that all of them must be of.

    Raises:
        ValueError: a file has rows of another step.
    """
    for path, before_step, only_step in sources:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for index in range(file.num_row_groups):
                table = file.read_row_group(index)
                if before_step is not None:
                    table = table.filter(pc.field("step") < before_step)
                if only_step is not None and table.column("step").unique().to_pylist() != [only_step]:
                    raise ValueError(f"{path} has rows of other steps")
                yield _in_schema(table, schema)


def _in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with all columns of the schema; null where it has none."""
    columns = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _write_tables(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables of one schema as a file, whole or not at all; its pages have checksums."""
    with (
        whole_file(path) as aside,
        pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in tables:
            if table.num_rows:
                writer.write_table(table)
