"""Cache references in a folder of Parquet files that runs share; only an index of the files is held in memory.

The cache looks for new files of other processes, and handles files that are damaged, of another version, or merged.
Every file is written under another name, renamed and never changed again. So any number of processes may add to a
folder and read it. Whatever happens to the folder during a run, the run goes on: a reference that can't be read is
asked for again, one that can't be written stays in memory, and a note tells the user.
"""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.errors import BadInput
from contracts.rollouts import Reference
from driver.references.files import (
    ENDING,
    FileIndex,
    UnusableFile,
    as_row_groups,
    read_index,
    read_row_group,
    reference_at,
    rename_unusable,
    write_file,
)
from driver.references.merge import MAX_MERGED_ROWS, due_for_merging, merged_row_groups, sole_merger
from driver.references.origins import Origin, keep_origin, origin_note

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""Seconds between two looks at the folder for files of other processes."""
ROW_GROUPS_IN_MEMORY = 32
"""Row groups kept in memory, the last used ones: a set of up to 16,384 items is read from disk once."""
_MAX_LOOKS = 10
"""Looks in a row while listed files disappear; a network file system may list deleted files for longer."""


class ReferenceCache:
    """Keep references by key. Without a folder they are in memory, for this run only."""

    def __init__(
        self,
        folder: Path | None,
        *,
        note: Callable[[str], None] = _log.warning,
        origin: Origin | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the keys of all files, not their texts. `note` is called with what the user should know.

        `origin` is what decides the references that are added: where all others are of another origin, a note says so.

        Raises:
            BadInput: the folder can't be created, read or written to.
        """
        self._folder = folder
        self._note = note
        self._origin = origin
        self._clock = clock
        self._unsaved: dict[str, Reference] = {}
        self._files: dict[str, FileIndex] = {}  # by name, files with the most rows first
        self._ignored: set[str] = set()  # names of unusable files that could not be renamed
        self._row_groups: OrderedDict[tuple[Path, int], pa.Table] = OrderedDict()  # the last used one last
        self._troubles: set[str] = set()  # problems that were noted and still last
        self._next_look = clock() + LOOK_EVERY_S
        if folder is not None:
            check_folder(folder)
            _create_and_test(folder)
            self._refresh(folder)
            self._merge(folder)
            num_rows = sum(map(len, self._files.values()))
            if origin is not None and (text := origin_note(folder, origin, num_references=num_rows)) is not None:
                note(text)

    def __len__(self) -> int:
        """Return the number of keys; it is counted at every call."""
        halves = [np.stack([file.high, file.low], axis=1) for file in self._files.values()]
        unsaved = [np.frombuffer(bytes.fromhex(key), dtype=np.uint64).reshape(1, 2) for key in self._unsaved]
        return len(np.unique(np.concatenate(halves + unsaved), axis=0)) if halves or unsaved else 0

    @property
    def num_unsaved(self) -> int:
        """Return the number of references that are in no file: added since the last `save`, or it failed."""
        return len(self._unsaved)

    def get(self, key: str) -> Reference | None:
        """Return the reference of a key, or None. New files of other processes are seen within LOOK_EVERY_S seconds."""
        if (unsaved := self._unsaved.get(key)) is not None or self._folder is None:
            return unsaved
        if (found := self._find(self._folder, key)) is None and self._clock() >= self._next_look:
            self._refresh(self._folder)
            found = self._find(self._folder, key)
        return found

    def add(self, reference: Reference) -> None:
        """Add a reference; other processes find it after `save`."""
        self._unsaved[reference.key] = reference

    def save(self) -> None:
        """Write the added references as one new file. Safe to call at any time.

        If the disk is full or the folder is missing, references stay in memory until a later call can write them.
        """
        if not self._unsaved or self._folder is None:
            return
        try:
            path = write_file(self._folder, as_row_groups(list(self._unsaved.values())))
            self._files[path.name] = read_index(path)
            if self._origin is not None:
                keep_origin(self._folder, self._origin)
        except OSError as error:
            self._note_once("write", f"references can't be written ({error}); they are kept in memory until they can")
            return
        self._troubles.discard("write")
        self._unsaved.clear()
        self._merge(self._folder)

    def _find(self, folder: Path, key: str) -> Reference | None:
        """Return the reference of a key from the files, or None."""
        wanted = bytes.fromhex(key)
        for file in tuple(self._files.values()):
            found_at = file.find(wanted)
            if found_at is None or file.path.name not in self._files:
                continue
            row_group, row = found_at
            try:
                found = reference_at(self._row_group(file.path, row_group), row)
            except FileNotFoundError:  # merged into another file, which holds its rows now
                self._refresh(folder)
                return self._find(folder, key)
            except (UnusableFile, OSError) as trouble:
                self._drop_file(file.path, trouble)
                continue
            return found
        return None

    def _row_group(self, path: Path, row_group: int) -> pa.Table:
        """Return a row group from memory or from disk."""
        table = self._row_groups.pop((path, row_group), None)
        if table is None:
            table = read_row_group(path, row_group)
            while len(self._row_groups) >= ROW_GROUPS_IN_MEMORY:
                self._row_groups.popitem(last=False)
        self._row_groups[path, row_group] = table
        return table

    def _refresh(self, folder: Path) -> None:
        """Update the known files. A file that disappears meanwhile was merged: then look again."""
        self._next_look = self._clock() + LOOK_EVERY_S
        for _ in range(_MAX_LOOKS):
            names = self._listed(folder)
            known = {name: file for name, file in self._files.items() if name in names}
            opened = [self._opened(folder / name) for name in sorted(names - known.keys() - self._ignored)]
            known |= {file.path.name: file for file in opened if isinstance(file, FileIndex)}
            self._files = dict(sorted(known.items(), key=lambda item: -len(item[1])))
            if not any(isinstance(file, FileNotFoundError) for file in opened):
                return

    def _listed(self, folder: Path) -> set[str]:
        try:
            names = {entry.name for entry in os.scandir(folder) if entry.name.endswith(ENDING) and entry.is_file()}
        except OSError as error:
            self._note_once("read", f"references can't be read ({error}); they are asked for again")
            return set()
        self._troubles.discard("read")
        return names

    def _opened(self, path: Path) -> FileIndex | FileNotFoundError | None:
        try:
            return read_index(path)
        except FileNotFoundError as gone:
            return gone
        except (UnusableFile, OSError) as trouble:
            self._drop_file(path, trouble)
            return None

    def _drop_file(self, path: Path, trouble: UnusableFile | OSError) -> None:
        """Stop using a file, and rename it if it is unusable; its references are asked for again."""
        self._files.pop(path.name, None)
        for kept in [kept for kept in self._row_groups if kept[0] == path]:
            del self._row_groups[kept]
        if isinstance(trouble, OSError):  # a problem of the disk or the network: the file may be readable later
            self._ignored.add(path.name)
            self._note(f"{path} can't be read ({trouble}); its references are asked for again")
            return
        try:
            renamed = rename_unusable(path, trouble.ending)
            self._note(f"{path} {trouble}: renamed to {renamed.name}; its references are asked for again")
        except OSError as error:
            self._ignored.add(path.name)
            self._note(f"{path} {trouble} and can't be renamed ({error}); its references are asked for again")

    def _merge(self, folder: Path) -> None:
        """Merge small files if there are many, some at a time, unless another process is merging."""
        if not due_for_merging(self._files.values()):
            return
        with sole_merger(folder) as is_held:
            if not is_held:
                return
            self._refresh(folder)  # another process may have merged them a moment ago
            num_rows = 0
            while num_rows < MAX_MERGED_ROWS and (sources := due_for_merging(self._files.values())):
                num_rows += sum(map(len, sources))
                try:
                    write_file(folder, merged_row_groups(sources))
                    for source in sources:
                        source.path.unlink(missing_ok=True)
                except UnusableFile as unusable:
                    self._drop_file(unusable.path, unusable)
                except OSError as error:
                    self._note_once("merge", f"the reference cache's small files can't be merged ({error})")
                    return
                self._refresh(folder)

    def _note_once(self, trouble: str, text: str) -> None:
        """Note a problem, but not again while it lasts."""
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            self._note(f"{self._folder}: {text}")


def check_folder(folder: Path) -> None:
    """Refuse a folder that can't be created, read or written to, without creating it.

    Raises:
        BadInput: the message names the path that is the reason.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        raise BadInput(
            f"pivot.cache {folder}: {existing} is not a folder with read and write permission; choose another, or set "
            'pivot.cache = "off" to keep references for one run only',
            key="pivot.cache",
        )


def _create_and_test(folder: Path) -> None:
    """Create the folder and write to it: a file system may be read-only or full in spite of its permissions.

    Raises:
        BadInput: it can't be written to.
    """
    trial = folder / f".{os.getpid()}.trial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(b"a")
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(
            f"pivot.cache {folder} can't be written to ({error}); free disk space, or choose another folder",
            key="pivot.cache",
        ) from None
