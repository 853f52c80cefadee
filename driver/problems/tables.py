"""Read tables on disk one row at a time: JSON lines, Parquet, Hugging Face datasets.

Any row can be read without holding the others in memory: at most 8 bytes a row are kept.
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
    """Read rows with named columns, numbered from 0."""

    def __len__(self) -> int: ...

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
        if not path.is_file():
            raise BadInput(f"there is no file {path}", key=path.name)
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
        with self.path.open("rb") as file:
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

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        try:
            row = json.loads(self._lines.line(number))
        except json.JSONDecodeError as error:
            raise BadInput(
                f"{self.where(number)}: broken JSON at column {error.colno}: {error.msg}", key=self._lines.path.name
            ) from None
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
        if not path.is_file():
            raise BadInput(f"there is no file {path}", key=path.name)
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
    """Return the file's rows in memory-mapped batches, which hold no memory of their own."""
    try:
        source = pq.ParquetFile(path, memory_map=True)
        present = [name for name in source.schema_arrow.names if name in columns]
        schema = pa.schema([source.schema_arrow.field(name) for name in present])
        with tempfile.NamedTemporaryFile(prefix="problems-", suffix=".arrow") as copy:
            with pa.ipc.new_file(copy.name, schema) as writer:
                for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=present):
                    writer.write_batch(batch)
            # The mapping outlives the name: no file is left behind, however the process ends.
            reader = pa.ipc.open_file(pa.memory_map(copy.name))
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path} is not a Parquet file: {' '.join(str(error).split())}", key=path.name) from None
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


class HuggingFaceTable:
    """Read one split of a Hugging Face dataset: it is memory-mapped Arrow already, so a row is read on demand."""

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
    """Open a dataset by its hub name, a local folder of data files, or a folder that `save_to_disk` wrote.

    Raises:
        BadInput: no such dataset, no such split, or the library can't read it.
    """
    # The import takes two seconds, and only this source needs it.
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
        raise BadInput(f"the dataset {path!r}, split {split!r}, can't be opened: {cause}", key=path) from None
    if not isinstance(loaded, datasets.Dataset):
        raise BadInput(f"the dataset {path!r} has several splits; choose one, such as data.split=train", key="split")
    return HuggingFaceTable(loaded, name=f"{path}, split {split}")
