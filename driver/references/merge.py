"""Merge small files of the reference cache, so that a folder that many runs have added to opens quickly.

A lock keeps two processes from merging at the same time. Readers and writers need no lock: a merged file exists before
its sources are deleted.
"""

import fcntl
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver.references.files import ROWS_PER_GROUP, SCHEMA, FileIndex, read_row_group

FILES_TO_MERGE = 8
"""Files of about one size that are merged at once. A row is rewritten at most once per eightfold growth of its file."""
MAX_SOURCE_ROWS = FILES_TO_MERGE**4
"""Files with so many rows are not merged again: a million references are some dozens of files."""
MAX_MERGED_ROWS = FILES_TO_MERGE * MAX_SOURCE_ROWS
"""Rows that are written at a time: well below a second of a run, even in a folder with many small files."""


def due_for_merging(files: Iterable[FileIndex]) -> list[FileIndex]:
    """Return the files to merge: those of the smallest size that has enough files. Empty if none are due."""
    by_size: dict[int, list[FileIndex]] = defaultdict(list)
    for file in files:
        if len(file) < MAX_SOURCE_ROWS:
            by_size[int(math.log(max(1, len(file)), FILES_TO_MERGE) + 1e-9)].append(file)
    alike = next((by_size[size] for size in sorted(by_size) if len(by_size[size]) >= FILES_TO_MERGE), [])
    rows = accumulate(map(len, alike))
    return [file for file, so_far in zip(alike, rows, strict=True) if so_far <= MAX_MERGED_ROWS]


def merged_row_groups(files: Sequence[FileIndex]) -> Iterator[pa.Table]:
    """Yield the rows of all files in full row groups, each key once.

    Raises:
        UnusableFile: a file can't be used.
        OSError: a file can't be read now.
    """
    waiting: list[pa.Table] = []
    for file, is_first in zip(files, _first_of_keys(files), strict=True):
        for row_group, (start, end) in enumerate(pairwise(file.row_group_starts)):
            waiting.append(read_row_group(file.path, row_group).filter(pa.array(is_first[start:end])))
            if sum(map(len, waiting)) >= ROWS_PER_GROUP:
                rows = pa.concat_tables(waiting)
                full = len(rows) // ROWS_PER_GROUP * ROWS_PER_GROUP
                for at in range(0, full, ROWS_PER_GROUP):
                    yield rows.slice(at, ROWS_PER_GROUP)
                waiting = [rows.slice(full)]
    yield pa.concat_tables(waiting) if waiting else SCHEMA.empty_table()


def _first_of_keys(files: Sequence[FileIndex]) -> list[NDArray[np.bool_]]:
    """Return for every file whether each of its rows [N] is the first one with its key, over all files."""
    keys = np.concatenate([np.stack([file.high, file.low], axis=1)[np.argsort(file.rows)] for file in files])
    is_first = np.zeros(len(keys), dtype=bool)
    is_first[np.unique(keys, axis=0, return_index=True)[1]] = True
    return np.split(is_first, np.cumsum([len(file) for file in files])[:-1])


@contextmanager
def sole_merger(folder: Path) -> Iterator[bool]:
    """Lock the folder for merging; yields False if another process has the lock, or the file system has no locks.

    The lock ends with the process that holds it, however it ends.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
