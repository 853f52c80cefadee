"""Tables of rows on disk, read one row at a time: JSON lines, Parquet, Hugging Face datasets.

Owns random access to a row without holding the others (8 bytes a row at most) and says where in a file a row stands.
Must not know what a problem is, nor any order but the file's.
"""

import json
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadInput

if TYPE_CHECKING:
    import datasets

Row = Mapping[str, object]

_BATCH_ROWS = 1024  # rows of a Parquet file that are decoded at once


class Table(Protocol):
    """Rows with named columns, numbered from 0."""

    def __len__(self) -> int: ...

    def rows(self) -> Iterator[Row]:
        """Every row in the file's order, for one pass over all of them."""
        ...

    def row(self, number: int) -> Row: ...

    def where(self, number: int) -> str:
        """The place of a row as a person finds it, for messages."""
        ...


class LineFile:
    """The non-blank lines of a UTF-8 text file, read on demand by byte offset."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BadInput(f"there is no file {path}")
        self.path = path
        self._file = path.open("rb")
        self._offsets = array("Q")
        offset = 0
        for line in self._file:
            if line.strip():
                self._offsets.append(offset)
            offset += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def line(self, number: int) -> str:
        """The line without its end; a byte order mark before the first is dropped."""
        self._file.seek(self._offsets[number])
        try:
            return self._file.readline().decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadInput(f"{self.where(number)}: not UTF-8 text") from None

    def where(self, number: int) -> str:
        """File and line number, counted as editors do: blank lines too."""
        with self.path.open("rb") as file:
            offset, line_number = 0, 1
            for line in file:
                if offset >= self._offsets[number]:
                    break
                offset += len(line)
                line_number += 1
        return f"{self.path}, line {line_number}"


class JsonlTable:
    """A JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._lines = LineFile(path)

    def __len__(self) -> int:
        return len(self._lines)

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        try:
            row = json.loads(self._lines.line(number))
        except json.JSONDecodeError as error:
            raise BadInput(f"{self.where(number)}: broken JSON at column {error.colno}: {error.msg}") from None
        if not isinstance(row, dict):
            raise BadInput(f"{self.where(number)}: a {type(row).__name__}; every line must be a JSON object")
        return row

    def where(self, number: int) -> str:
        return self._lines.where(number)


class ParquetTable:
    """A Parquet file, copied once batch by batch into a memory-mapped temporary Arrow file.

    A seeded order jumps over all row groups, and a row group may be the whole file: decoding one for every row, or
    keeping several, would cost more than the copy. The copy has no name and goes with the process.
    """

    def __init__(self, path: Path, *, columns: Sequence[str]) -> None:
        if not path.is_file():
            raise BadInput(f"there is no file {path}")
        self._path = path
        self._batches = _arrow_batches(path, columns)
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))  # row number after each batch

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def rows(self) -> Iterator[Row]:
        for batch in self._batches:
            yield from batch.to_pylist()

    def row(self, number: int) -> Row:
        which = bisect_right(self._ends, number)
        batch = self._batches[which]
        return batch.slice(number - self._ends[which] + batch.num_rows, 1).to_pylist()[0]

    def where(self, number: int) -> str:
        return f"{self._path}, row {number + 1}"


def _arrow_batches(path: Path, columns: Sequence[str]) -> list[pa.RecordBatch]:
    """The file's rows in memory-mapped batches: a batch holds no memory of its own."""
    try:
        source = pq.ParquetFile(path, memory_map=True)
        present = [name for name in source.schema_arrow.names if name in columns]
        schema = pa.schema([source.schema_arrow.field(name) for name in present])
        with tempfile.NamedTemporaryFile(prefix="problems-", suffix=".arrow") as copy:
            with pa.ipc.new_file(copy.name, schema) as writer:
                for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=present):
                    writer.write_batch(batch)
            # The mapping outlives the name: nothing is left behind, whatever becomes of the process.
            reader = pa.ipc.open_file(pa.memory_map(copy.name))
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path} is no Parquet file: {' '.join(str(error).split())}") from None
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


class HuggingFaceTable:
    """One split of a Hugging Face dataset: already memory-mapped Arrow, so a row is read when it is asked for."""

    def __init__(self, dataset: "datasets.Dataset", *, name: str) -> None:
        self._dataset = dataset
        self._name = name

    def __len__(self) -> int:
        return len(self._dataset)

    def rows(self) -> Iterator[Row]:
        return cast("Iterator[Row]", iter(self._dataset))

    def row(self, number: int) -> Row:
        return self._dataset[number]

    def where(self, number: int) -> str:
        return f"dataset {self._name}, row {number + 1}"


def open_huggingface(path: str, *, split: str) -> HuggingFaceTable:
    """A dataset by its hub name, a local folder of data files, or a folder that `save_to_disk` wrote.

    Raises:
        BadInput: no such dataset, no such split, or the library can't read it.
    """
    # Two seconds to import, and only this source needs it.
    import datasets  # noqa: PLC0415
    from datasets.exceptions import DatasetsError  # noqa: PLC0415

    try:
        if (Path(path) / "state.json").exists():
            loaded = datasets.load_from_disk(path)
        elif (Path(path) / split / "state.json").exists():
            loaded = datasets.load_from_disk(str(Path(path) / split))
        else:
            loaded = datasets.load_dataset(path, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise BadInput(f"the dataset {path!r}, split {split!r}, can't be opened: {cause}") from None
    if not isinstance(loaded, datasets.Dataset):
        raise BadInput(f"the dataset {path!r} has several splits; name one, such as data.split=train")
    return HuggingFaceTable(loaded, name=f"{path}, split {split}")
