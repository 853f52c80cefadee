"""Merging the reference cache's small files, so that a folder which many runs added to is opened quickly.

Owns which files are merged, in what order rows end up, and the lock that keeps two processes from merging at once.
Readers and writers need no lock: a merged file is there before its sources go.
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

from driver.references.files import ROWS_PER_GROUP, SCHEMA, FileIndex, read_group

FILES_TO_MERGE = 8
"""Of about one size. Every row is so written again at most once for each eightfold growth of its file."""
MAX_SOURCE_ROWS = FILES_TO_MERGE**4
"""Files of so many rows stay as they are: a million references are some dozens of files."""
MAX_MERGED_ROWS = FILES_TO_MERGE * MAX_SOURCE_ROWS
"""Written at a time: well below a second of a run's, also in a folder where nobody has merged for long."""


def due_for_merging(files: Iterable[FileIndex]) -> list[FileIndex]:
    """Files of the smallest size that has enough of them; empty where nothing is to be done."""
    by_size: dict[int, list[FileIndex]] = defaultdict(list)
    for file in files:
        if len(file) < MAX_SOURCE_ROWS:
            by_size[int(math.log(max(1, len(file)), FILES_TO_MERGE) + 1e-9)].append(file)
    alike = next((by_size[size] for size in sorted(by_size) if len(by_size[size]) >= FILES_TO_MERGE), [])
    rows = accumulate(map(len, alike))
    return [file for file, so_far in zip(alike, rows, strict=True) if so_far <= MAX_MERGED_ROWS]


def merged_groups(files: Sequence[FileIndex]) -> Iterator[pa.Table]:
    """The rows of all files in full row groups, every key once.

    Raises:
        UnusableFile: one of them is no use.
        OSError: one of them can't be read now.
    """
    waiting: list[pa.Table] = []
    for file, is_first in zip(files, _first_of_keys(files), strict=True):
        for group, (start, end) in enumerate(pairwise(file.group_starts)):
            waiting.append(read_group(file.path, group).filter(pa.array(is_first[start:end])))
            if sum(map(len, waiting)) >= ROWS_PER_GROUP:
                rows = pa.concat_tables(waiting)
                full = len(rows) // ROWS_PER_GROUP * ROWS_PER_GROUP
                for at in range(0, full, ROWS_PER_GROUP):
                    yield rows.slice(at, ROWS_PER_GROUP)
                waiting = [rows.slice(full)]
    yield pa.concat_tables(waiting) if waiting else SCHEMA.empty_table()


def _first_of_keys(files: Sequence[FileIndex]) -> list[NDArray[np.bool_]]:
    """For every file and row [N], whether no row before it has its key."""
    keys = np.concatenate([np.stack([file.high, file.low], axis=1)[np.argsort(file.rows)] for file in files])
    is_first = np.zeros(len(keys), dtype=bool)
    is_first[np.unique(keys, axis=0, return_index=True)[1]] = True
    return np.split(is_first, np.cumsum([len(file) for file in files])[:-1])


@contextmanager
def sole_merger(folder: Path) -> Iterator[bool]:
    """Hold the folder against other mergers; False where one is at work, or where the file system has no locks.

    The lock goes with the process that holds it, however it ends.
    """
    try:
        place = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(place)
