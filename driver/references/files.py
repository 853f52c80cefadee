"""Read and write one file of the reference cache: its keys as an index, its rows on demand.

A file has a format version, and gets a name that readers look for only when it is complete.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.files import whole_file
from contracts.rollouts import Reference

ENDING = ".parquet"
FORMAT = "2"
"""Version of the columns below and their meaning; a file of another version is not read."""
ROWS_PER_GROUP = 512
"""Rows that are read at once for one reference: about a millisecond, and half a megabyte of text."""
_FORMAT_KEY = b"reference_cache_format"

SCHEMA = pa.schema(
    [
        ("key", pa.binary(16)),
        ("item_id", pa.string()),
        ("text", pa.string()),
        ("num_tokens", pa.int64()),
        ("verdict", pa.string()),
        ("num_votes", pa.int64()),
        ("num_drawn", pa.int64()),
    ],
    metadata={_FORMAT_KEY: FORMAT.encode()},
)


class UnusableFile(Exception):
    """Report a file that can't be used.

    The message completes the sentence "FILE ...". `ending` is added to the file's name when it is renamed.
    """

    def __init__(self, what: str, *, path: Path, ending: str) -> None:
        super().__init__(what)
        self.path = path
        self.ending = ending


@dataclass(frozen=True, kw_only=True, slots=True)
class FileIndex:
    """Hold the row of each key of a file: 20 bytes a row; the texts stay on disk."""

    path: Path
    high: NDArray[np.uint64]  # [N] first halves of the keys, ascending
    low: NDArray[np.uint64]  # [N] second halves of the keys
    rows: NDArray[np.int32]  # [N] rows of the keys in the file
    row_group_starts: NDArray[np.int64]  # [G + 1] first row of each row group, and last the number of rows

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, key: bytes) -> tuple[int, int] | None:
        """Return the row group and the row in it of a key of 16 bytes, or None if the file does not have the key."""
        high, low = np.frombuffer(key, dtype=np.uint64)
        at = int(self.high.searchsorted(high))
        while at < len(self.high) and self.high[at] == high:
            if self.low[at] == low:
                row = int(self.rows[at])
                group = int(self.row_group_starts.searchsorted(row, side="right")) - 1
                return group, row - int(self.row_group_starts[group])
            at += 1
        return None


def write_file(folder: Path, groups: Iterable[pa.Table]) -> Path:
    """Write these row groups as a new file of the folder, whole: a merge deletes the files that it replaces.

    Raises:
        OSError: it could not be written; no part of it is left.
    """
    path = folder / f"{uuid.uuid4().hex}{ENDING}"
    with (
        whole_file(path) as aside,
        pq.ParquetWriter(
            aside, SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
        ) as writer,
    ):
        for group in groups:
            writer.write_table(group)
    return path


def as_row_groups(references: Sequence[Reference]) -> Iterator[pa.Table]:
    """Yield references as row groups."""
    for start in range(0, len(references), ROWS_PER_GROUP):
        rows = [
            {**asdict(reference), "key": bytes.fromhex(reference.key)}
            for reference in references[start : start + ROWS_PER_GROUP]
        ]
        yield pa.Table.from_pylist(rows, schema=SCHEMA)


def read_index(path: Path) -> FileIndex:
    """Return the index of a file, without reading its texts.

    Raises:
        UnusableFile: it is damaged, or was written by another version.
        OSError: it can't be read now; FileNotFoundError if it does not exist any more.
    """
    with _open(path) as file:
        groups = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        try:
            keys = file.read(columns=["key"]).column("key").combine_chunks()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unusable(error, path) from error
    halves = np.frombuffer(keys.buffers()[1] or b"", dtype=np.uint64)
    halves = halves[2 * keys.offset :][: 2 * len(keys)].reshape(-1, 2)
    rows = np.argsort(halves[:, 0], kind="stable").astype(np.int32)
    return FileIndex(
        path=path,
        high=halves[rows, 0],
        low=halves[rows, 1],
        rows=rows,
        row_group_starts=np.cumsum([0, *groups]),
    )


def read_row_group(path: Path, row_group: int) -> pa.Table:
    """Return one row group of a file, with all columns.

    Raises:
        UnusableFile: it is damaged, or was written by another version.
        OSError: it can't be read now; FileNotFoundError if it does not exist any more.
    """
    with _open(path) as file:
        try:
            return file.read_row_group(row_group)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unusable(error, path) from error


def reference_at(table: pa.Table, row: int) -> Reference:
    """Return one row of a row group as a reference."""
    (values,) = table.slice(row, 1).to_pylist()
    return Reference(**{**values, "key": values["key"].hex()})


def rename_unusable(path: Path, ending: str) -> Path:
    """Rename a file so that no reader looks at it again, and return its new name. It may already be renamed.

    Raises:
        OSError: it can't be renamed.
    """
    renamed, number = path.with_name(f"{path.name}.{ending}"), 1
    while renamed.exists():
        number += 1
        renamed = path.with_name(f"{path.name}.{ending}-{number}")
    with suppress(FileNotFoundError):  # another process has renamed it
        os.replace(path, renamed)
    return renamed


def _open(path: Path) -> pq.ParquetFile:
    """Open a file of this format.

    Raises:
        UnusableFile: it is damaged, or was written by another version.
        OSError: it can't be read now.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unusable(error, path) from error
    written_by = (file.schema_arrow.metadata or {}).get(_FORMAT_KEY, b"an earlier one").decode(errors="replace")
    if written_by != FORMAT or not file.schema_arrow.equals(SCHEMA):
        file.close()
        raise UnusableFile(
            f"was written by another version (format {written_by}, this one reads {FORMAT})",
            path=path,
            ending="other-version",
        )
    return file


def _unusable(error: Exception, path: Path) -> Exception:
    """Return the error of a failed read: the system's own error, or that the file is damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return UnusableFile(f"is damaged ({' '.join(str(error).split())})", path=path, ending="damaged")
