"""Keep every scored response of a run in samples.parquet, for people to read and for `verify`.

The table survives a kill: each step is a whole file of its own under samples/, and `merge` joins them to
samples.parquet, one row group a step. A step that is written again (after a resume) replaces itself and all steps after
it.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.files import whole_file
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

    def merge(self) -> None:
        """Join all steps to samples.parquet. A kill at any moment loses nothing and doubles nothing."""
        if not _parts(self._path):
            return
        sources = _sources(self._path)
        schema = pa.unify_schemas([pq.read_schema(path) for path, _ in sources])
        _write_tables(self._path, _row_groups(sources, schema), schema)
        shutil.rmtree(self._folder)


def cut_samples(path: Path, *, after_step: int) -> None:
    """Remove the steps after `after_step`, merged or not."""
    for step, part in _parts(path):
        if step > after_step:
            part.unlink()
    if not path.exists():
        return
    if any(step <= after_step for step in sampled_steps(path)):
        schema = pq.read_schema(path)
        _write_tables(path, _row_groups([(path, after_step + 1)], schema), schema)
    else:
        path.unlink()


def check_samples(path: Path) -> None:
    """Check that the merged file can be read; a damaged one would end the next run only when it merges.

    Raises:
        BadInput: it can't be read.
    """
    if path.exists():
        with guarded(f"{path} can't be read", key=path.name, way_out="move it away, or choose another run.name"):
            pq.read_table(path, columns=["step"]).column("step").to_pylist()


def sampled_steps(path: Path) -> list[int]:
    """Return the steps that have samples, in order; merged or not."""
    steps: set[int] = set()
    for file, before_step in _sources(path):
        with guarded(f"{file} can't be read", key=file.name):
            found = pq.read_table(file, columns=["step"]).column("step").unique().to_pylist()
        steps |= {step for step in found if before_step is None or step < before_step}
    return sorted(steps)


def read_samples(path: Path, *, steps: Iterable[int]) -> list[dict[str, Cell]]:
    """Return the rows of some steps, in order, one dictionary a response; merged or not."""
    wanted = sorted(set(steps))
    rows: list[dict[str, Cell]] = []
    for file, before_step in _sources(path):
        here = [step for step in wanted if before_step is None or step < before_step]
        if here:
            with guarded(f"{file} can't be read", key=file.name):
                rows += pq.read_table(file, filters=[("step", "in", here)]).to_pylist()
    return rows


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


def _parts_folder(path: Path) -> Path:
    return path.with_suffix("")


def _parts(path: Path) -> list[tuple[int, Path]]:
    """Return the steps' own files with their steps, in order."""
    files = sorted(_parts_folder(path).glob("step-*.parquet"))
    return [(int(number), file) for file in files if (number := file.stem.removeprefix("step-")).isdecimal()]


def _sources(path: Path) -> list[tuple[Path, int | None]]:
    """Return the files to read, each with the step before which its rows count (None: all count).

    What the merged file holds of steps that have a file of their own, or of later ones, is out of date or was being
    merged when the run was killed.
    """
    parts = _parts(path)
    first_part_step = parts[0][0] if parts else None
    merged: list[tuple[Path, int | None]] = [(path, first_part_step)] if path.exists() else []
    return merged + [(part, None) for _, part in parts]


def _row_groups(sources: list[tuple[Path, int | None]], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield one table a step, in one schema; no more than one row group is in memory."""
    for path, before_step in sources:
        with pq.ParquetFile(path) as file:
            for index in range(file.num_row_groups):
                table = file.read_row_group(index)
                if before_step is not None:
                    table = table.filter(pc.field("step") < before_step)
                yield _in_schema(table, schema)


def _in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with all columns of the schema; null where it has none."""
    columns = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _write_tables(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables of one schema as a file, whole or not at all."""
    with whole_file(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table)
