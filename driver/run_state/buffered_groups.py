"""Keep the groups that were scored and not yet learned from in one Parquet file of a checkpoint, exact to the last bit.

What a column holds follows from the data types of rollouts alone, so that a field more or less there changes nothing
here: a dataclass is a struct, a tuple a list, a mapping a map, a union of dataclasses a struct of which one member is
set. Text is kept as bytes, because text that an engine decoded may hold lone surrogates, which UTF-8 can't.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, cast, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadInput
from contracts.rollouts import PromptDraw, ScoredGroup
from contracts.user_files import guarded

_ROWS = 64
"""Groups that are converted at once: a group of long responses is some hundred thousand numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """Hold a draw and its group as the file does; the draw's problem is that of the group."""

    number: int
    place: int
    scored: ScoredGroup


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Convert the values of one type to cells of a column, and back."""

    arrow: pa.DataType
    to_cell: Callable[[object], object]
    from_cell: Callable[[object], object]


def write_groups(path: Path, groups: Sequence[tuple[PromptDraw, ScoredGroup]]) -> None:
    """Write the groups, in order, as a new file; its folder counts only when the whole checkpoint is written.

    Raises:
        OSError: the disk is full.
    """
    kind = _kind(_Row)
    with path.open("wb") as file, pq.ParquetWriter(file, _schema(), compression="zstd") as writer:
        for start in range(0, len(groups), _ROWS):
            rows = [kind.to_cell(_row(draw, scored)) for draw, scored in groups[start : start + _ROWS]]
            writer.write_table(pa.Table.from_pylist(cast(list[dict[str, object]], rows), schema=_schema()))


def read_groups(path: Path) -> list[tuple[PromptDraw, ScoredGroup]]:
    """Return the groups that `write_groups` has written.

    Raises:
        BadInput: the file can't be read, or was written by a version of this project whose groups have other fields.
    """
    kind = _kind(_Row)
    with guarded(f"{path} can't be read", key=path.name):
        file = pq.ParquetFile(path)
    with file:
        if not file.schema_arrow.equals(_schema()):
            raise BadInput(
                f"{path} was written by another version of this project, whose groups have other fields; continue the "
                "run with that version, or choose another run.name",
                key=path.name,
            )
        with guarded(f"{path} can't be read", key=path.name):
            cells = [cell for batch in file.iter_batches(batch_size=_ROWS) for cell in batch.to_pylist()]
        return [_draw_and_group(cast(_Row, kind.from_cell(cell))) for cell in cells]


def _row(draw: PromptDraw, scored: ScoredGroup) -> _Row:
    assert draw.group_id == scored.group.group_id, f"draw {draw.group_id} with group {scored.group.group_id}"
    return _Row(number=draw.number, place=draw.epoch_index, scored=scored)


def _draw_and_group(row: _Row) -> tuple[PromptDraw, ScoredGroup]:
    return PromptDraw(number=row.number, epoch_index=row.place, problem=row.scored.group.problem), row.scored


@cache
def _schema() -> pa.Schema:
    return pa.schema(list(cast(pa.StructType, _kind(_Row).arrow)))


# --- types ------------------------------------------------------------------------------------------------------------


@cache
def _kind(hint: object) -> _Kind:
    """Return how values of a type are kept.

    Raises:
        TypeError: the type is none of those that rollouts are made of.
    """
    if kind := _PLAIN.get(hint):
        return kind
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal and all(isinstance(choice, str) for choice in arguments):
        return _PLAIN[str]
    if origin in (Union, UnionType):
        return _choice(arguments)
    if origin is tuple and arguments[1:] == (...,):
        return _list(_kind(arguments[0]))
    if origin is Mapping and arguments[0] is str:
        return _map(_kind(arguments[1]))
    if isinstance(hint, type) and is_dataclass(hint):
        return _struct(hint)
    raise TypeError(f"a checkpoint can't hold a value of type {hint}")


def _as_it_is(value: object) -> object:
    return value


def _text_to_bytes(value: object) -> bytes:
    return cast(str, value).encode("utf-8", "surrogatepass")


def _bytes_to_text(cell: object) -> str:
    return cast(bytes, cell).decode("utf-8", "surrogatepass")


_PLAIN: Mapping[object, _Kind] = {
    int: _Kind(arrow=pa.int64(), to_cell=_as_it_is, from_cell=_as_it_is),
    float: _Kind(arrow=pa.float64(), to_cell=_as_it_is, from_cell=_as_it_is),
    bool: _Kind(arrow=pa.bool_(), to_cell=_as_it_is, from_cell=_as_it_is),
    str: _Kind(arrow=pa.binary(), to_cell=_text_to_bytes, from_cell=_bytes_to_text),
}


def _list(item: _Kind) -> _Kind:
    def to_cell(value: object) -> object:
        values = cast(tuple[object, ...], value)
        return values if item.to_cell is _as_it_is else [item.to_cell(one) for one in values]

    def from_cell(cell: object) -> object:
        cells = cast(list[object], cell)
        return tuple(cells) if item.from_cell is _as_it_is else tuple(item.from_cell(one) for one in cells)

    return _Kind(arrow=pa.list_(item.arrow), to_cell=to_cell, from_cell=from_cell)


def _map(item: _Kind) -> _Kind:
    def to_cell(value: object) -> object:
        return [(_text_to_bytes(key), item.to_cell(one)) for key, one in cast(Mapping[str, object], value).items()]

    def from_cell(cell: object) -> object:
        return {_bytes_to_text(key): item.from_cell(one) for key, one in cast(list[tuple[object, object]], cell)}

    return _Kind(arrow=pa.map_(pa.binary(), item.arrow), to_cell=to_cell, from_cell=from_cell)


def _struct(kind: type) -> _Kind:
    hints = get_type_hints(kind)
    members = {field.name: _kind(hints[field.name]) for field in fields(kind)}

    def to_cell(value: object) -> object:
        return {name: member.to_cell(getattr(value, name)) for name, member in members.items()}

    def from_cell(cell: object) -> object:
        cells = cast(dict[str, object], cell)
        return kind(**{name: member.from_cell(cells[name]) for name, member in members.items()})

    arrow = pa.struct([pa.field(name, member.arrow) for name, member in members.items()])
    return _Kind(arrow=arrow, to_cell=to_cell, from_cell=from_cell)


def _choice(choices: tuple[object, ...]) -> _Kind:
    """Return how a union is kept: several dataclasses as a struct of which one member is set, None as a null."""
    present = [choice for choice in choices if choice is not NoneType]
    if len(present) == 1:
        return _optional(_kind(present[0]))
    members = {cast(type, choice).__name__: _kind(choice) for choice in present}

    def to_cell(value: object) -> object:
        name = type(value).__name__
        return {name: members[name].to_cell(value)}

    def from_cell(cell: object) -> object:
        ((name, one),) = ((name, one) for name, one in cast(dict[str, object], cell).items() if one is not None)
        return members[name].from_cell(one)

    arrow = pa.struct([pa.field(name, member.arrow) for name, member in members.items()])
    return _Kind(arrow=arrow, to_cell=to_cell, from_cell=from_cell)


def _optional(item: _Kind) -> _Kind:
    def to_cell(value: object) -> object:
        return None if value is None else item.to_cell(value)

    def from_cell(cell: object) -> object:
        return None if cell is None else item.from_cell(cell)

    return _Kind(arrow=item.arrow, to_cell=to_cell, from_cell=from_cell)
