"""One file of the reference cache: what is in it, which keys it holds, and one row read on demand.

Owns the files' format and its version, and that a file is whole before it has a name a reader looks for. Knows nothing
of the folder's other files (driver/references/cache.py) nor of who asks.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
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
"""Of the columns below and their meaning; a file of another is not read."""
ROWS_PER_GROUP = 512
"""What is read at once for one reference: about a millisecond, and half a megabyte of text."""
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
    """A file that is no use: its message completes "FILE ...", `ending` is what its name gets when it is set aside."""

    def __init__(self, what: str, *, path: Path, ending: str) -> None:
        super().__init__(what)
        self.path = path
        self.ending = ending


@dataclass(frozen=True, kw_only=True, slots=True)
class FileIndex:
    """Where each key of a file stands: 20 bytes a row; the texts stay on disk."""

    path: Path
    high: NDArray[np.uint64]  # [N] first halves of the keys, ascending
    low: NDArray[np.uint64]  # [N] their second halves
    rows: NDArray[np.int32]  # [N] their rows in the file
    group_starts: NDArray[np.int64]  # [G + 1] first row of each row group, and the number of rows

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, key: bytes) -> tuple[int, int] | None:
        """Row group and row in it of a key of 16 bytes; None where the file does not have it."""
        high, low = np.frombuffer(key, dtype=np.uint64)
        at = int(self.high.searchsorted(high))
        while at < len(self.high) and self.high[at] == high:
            if self.low[at] == low:
                row = int(self.rows[at])
                group = int(self.group_starts.searchsorted(row, side="right")) - 1
                return group, row - int(self.group_starts[group])
            at += 1
        return None


def write_file(folder: Path, groups: Iterable[pa.Table]) -> Path:
    """Write these row groups as a new file of the folder, whole: a merge deletes the files that it replaces.

    Raises:
        OSError: it could not be written; nothing of it is left.
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


def as_groups(references: Sequence[Reference]) -> Iterator[pa.Table]:
    """References as row groups."""
    for start in range(0, len(references), ROWS_PER_GROUP):
        rows = [
            {**asdict(reference), "key": bytes.fromhex(reference.key)}
            for reference in references[start : start + ROWS_PER_GROUP]
        ]
        yield pa.Table.from_pylist(rows, schema=SCHEMA)


def read_index(path: Path) -> FileIndex:
    """The keys of a file, without its texts.

    Raises:
        UnusableFile: it is damaged, or another version wrote it.
        OSError: it can't be read now; FileNotFoundError where it is gone.
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
        group_starts=np.cumsum([0, *groups]),
    )


def read_group(path: Path, group: int) -> pa.Table:
    """One row group of a file, all columns.

    Raises:
        UnusableFile, OSError: as above.
    """
    with _open(path) as file:
        try:
            return file.read_row_group(group)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unusable(error, path) from error


def reference_at(table: pa.Table, row: int) -> Reference:
    """One row of a row group."""
    (values,) = table.slice(row, 1).to_pylist()
    return Reference(**{**values, "key": values["key"].hex()})


def set_aside(path: Path, ending: str) -> Path:
    """Rename a file so that no reader looks at it again; one that another process renamed already is left to it.

    Raises:
        OSError: it can't be renamed.
    """
    aside, number = path.with_name(f"{path.name}.{ending}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{ending}-{number}")
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return aside
    return aside


def _open(path: Path) -> pq.ParquetFile:
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
    """What a failed read means: an error of the system is passed on, all else is in the file's bytes."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return UnusableFile(f"is damaged ({' '.join(str(error).split())})", path=path, ending="damaged")
