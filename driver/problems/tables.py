"""Read tables on disk one row at a time: JSON lines, Parquet.

Any row can be read without holding the others in memory: at most 8 bytes a row are kept.
"""

import json
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadInput
from contracts.user_files import guarded, parse_user_json

Row = Mapping[str, object]

_BATCH_ROWS = 1024  # rows of a Parquet file that are decoded at once
_NAMING_ROWS = 20  # first rows whose keys are the columns, where every row names its own


class Table(Protocol):
    """Read rows with named columns, numbered from 0."""

    def __len__(self) -> int: ...

    @property
    def columns(self) -> Sequence[str]:
        """Return the names of the columns, in order; of rows that name their own, those of the first ones."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield every row in the file's order."""
        ...

    def row(self, number: int) -> Row:
        """Read one row."""
        ...

    def where(self, number: int) -> str:
        """Return where a row is, as a person finds it, for messages."""
        ...


class LineFile:
    """Read the non-blank lines of a UTF-8 text file on demand, by byte offset."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_text(path)
        self._offsets = array("Q")
        offset = 0
        for line in self._file:
            if line.strip():
                self._offsets.append(offset)
            offset += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def line(self, number: int) -> str:
        """Read a line without its end; a byte order mark before the first line is dropped.

        Raises:
            BadInput: the line is not UTF-8 text.
        """
        self._file.seek(self._offsets[number])
        try:
            return self._file.readline().decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadInput(f"{self.where(number)}: not UTF-8 text", key=self.path.name) from None

    def where(self, number: int) -> str:
        """Return file and line number, counted as editors do: blank lines count."""
        with open_file(self.path) as file:
            offset, line_number = 0, 1
            for line in file:
                if offset >= self._offsets[number]:
                    break
                offset += len(line)
                line_number += 1
        return f"{self.path}, line {line_number}"


class JsonlTable:
    """Read a file with one JSON object in each line."""

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def columns(self) -> Sequence[str]:
        return columns_of(islice(self.rows(), _NAMING_ROWS))

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        line = self._lines.line(number)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # described with its place, which is found only now
            is_list = number == 0 and line.lstrip().startswith("[")
            row = parse_user_json(
                line,
                where=self.where(number),
                key=self._lines.path.name,
                way_out='a file that is one JSON list is read with source = "json"' if is_list else "",
                is_line=True,
            )
        if not isinstance(row, dict):
            raise BadInput(
                f"{self.where(number)}: a {type(row).__name__}; every line must be a JSON object",
                key=self._lines.path.name,
            )
        return row

    def where(self, number: int) -> str:
        return self._lines.where(number)


class ParquetTable:
    """Read a Parquet file through a copy: a memory-mapped temporary Arrow file, written batch by batch.

    A seeded order jumps over all row groups, and a row group may be the whole file: decoding one for every row, or
    keeping several, would cost more than the copy. The copy has no name and is gone when the process ends.
    """

    def __init__(self, path: Path, *, columns: Sequence[str]) -> None:
        """Read these columns, as far as they are there.

        Raises:
            BadInput: there is no such file, or it is damaged.
        """
        open_file(path).close()
        self._path = path
        with guarded(f"{path} can't be read as Parquet", key=path.name, way_out="write the file again"):
            self.columns, self._batches = _arrow_batches(path, columns)
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))  # row number after each batch

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def rows(self) -> Iterator[Row]:
        number = 0
        for batch in self._batches:
            try:
                yield from batch.to_pylist()
            except (ValueError, pa.ArrowException):
                yield from (self.row(number + index) for index in range(batch.num_rows))  # names the damaged row
            number += batch.num_rows

    def row(self, number: int) -> Row:
        which = bisect_right(self._ends, number)
        batch = self._batches[which]
        start = number - self._ends[which] + batch.num_rows
        with guarded(self.where(number), key=self._path.name, way_out="correct this row"):
            return batch.slice(start, 1).to_pylist()[0]

    def where(self, number: int) -> str:
        return f"{self._path}, row {number + 1}"


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns.

    Raises:
        BadInput: there is no such file, or it is damaged.
    """
    open_file(path).close()
    with guarded(f"{path} can't be read as Parquet", key=path.name, way_out="write the file again"):
        return list(pq.read_schema(path).names)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; opening a pipe would wait for a writer.

    Raises:
        BadInput: there is none, or the system refuses.
    """
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise BadInput(f"{path} {what}; give the path of a file", key=path.name)
    with guarded(f"{path} can't be read", key=path.name):
        return path.open("rb")


def open_text(path: Path) -> BinaryIO:
    """Open a text file for reading.

    Raises:
        BadInput: there is none, the system refuses, or it is UTF-16.
    """
    file = open_file(path)
    start = file.read(4)
    file.seek(0)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        file.close()
        raise BadInput(f"{path} is UTF-16 or no text at all; save it as UTF-8", key=path.name)
    return file


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Return the keys of all rows, in the order in which they come."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def _arrow_batches(path: Path, columns: Sequence[str]) -> tuple[list[str], list[pa.RecordBatch]]:
    """Return the file's columns, and its rows in memory-mapped batches, which hold no memory of their own."""
    source = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    names = list(source.schema_arrow.names)
    present = [name for name in names if name in columns]
    schema = pa.schema([source.schema_arrow.field(name) for name in present])
    with tempfile.NamedTemporaryFile(prefix="problems-", suffix=".arrow") as copy:
        with pa.ipc.new_file(copy.name, schema) as writer:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=present):
                writer.write_batch(batch)
        # The mapping outlives the name: no file is left behind, however the process ends.
        reader = pa.ipc.open_file(pa.memory_map(copy.name))
    return names, [reader.get_batch(number) for number in range(reader.num_record_batches)]
