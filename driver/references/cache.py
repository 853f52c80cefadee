"""The reference cache: a folder of Parquet files that runs share, of which only an index is held in memory.

Owns what the folder's files are to a run: which it knows, when it looks for new ones, and what becomes of one that is
damaged, written by another version or merged away. Knows no pivot and no key's meaning (driver/references/store.py).

Every file is written aside, renamed and never changed again, so that any number of processes may add to a folder and
read it. Whatever happens to the folder while a run goes on, the run goes on: a reference that can't be read is asked
for again, one that can't be written stays in memory, and both are said.
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
    as_groups,
    read_group,
    read_index,
    reference_at,
    set_aside,
    write_file,
)
from driver.references.merge import MAX_MERGED_ROWS, due_for_merging, merged_groups, sole_merger

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""Between two looks at the folder for files of other processes."""
GROUPS_IN_MEMORY = 32
"""Row groups that were read last; a set of up to 16,384 items is read from disk once."""
_MAX_LOOKS = 10
"""In a row, while files go that were listed a moment ago; a network's file system may list them for longer."""


class ReferenceCache:
    """References by key. Without a folder they are kept in memory, for this run alone."""

    def __init__(
        self,
        folder: Path | None,
        *,
        note: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the keys of all files, not their texts; `note` is told what a person should know.

        Raises:
            BadInput: the folder can't be made, read or written to.
        """
        self._folder = folder
        self._note = note
        self._clock = clock
        self._unsaved: dict[str, Reference] = {}
        self._files: dict[str, FileIndex] = {}  # by name, those with the most rows first
        self._ignored: set[str] = set()  # names of files that are no use and could not be set aside
        self._groups: OrderedDict[tuple[Path, int], pa.Table] = OrderedDict()  # the last read last
        self._troubles: set[str] = set()  # that were said and have not passed yet
        self._next_look = clock() + LOOK_EVERY_S
        if folder is not None:
            check_folder(folder)
            _try_out(folder)
            self._refresh(folder)
            self._merge(folder)

    def __len__(self) -> int:
        """How many keys there are; counted each time."""
        halves = [np.stack([file.high, file.low], axis=1) for file in self._files.values()]
        unsaved = [np.frombuffer(bytes.fromhex(key), dtype=np.uint64).reshape(1, 2) for key in self._unsaved]
        return len(np.unique(np.concatenate(halves + unsaved), axis=0)) if halves or unsaved else 0

    @property
    def num_unsaved(self) -> int:
        """References that no file has yet: added since `save`, or it failed."""
        return len(self._unsaved)

    def get(self, key: str) -> Reference | None:
        """The reference of a key; other processes' new files are seen within LOOK_EVERY_S."""
        if (unsaved := self._unsaved.get(key)) is not None or self._folder is None:
            return unsaved
        if (found := self._find(self._folder, key)) is None and self._clock() >= self._next_look:
            self._refresh(self._folder)
            found = self._find(self._folder, key)
        return found

    def add(self, reference: Reference) -> None:
        """Found from now on, and by others once `save` was called."""
        self._unsaved[reference.key] = reference

    def save(self) -> None:
        """Write what was added since the last call as one new file. Safe to call at any time.

        On a full disk, or without the folder, references stay in memory until a later call can write them.
        """
        if not self._unsaved or self._folder is None:
            return
        try:
            path = write_file(self._folder, as_groups(list(self._unsaved.values())))
            self._files[path.name] = read_index(path)
        except OSError as error:
            self._say_once("write", f"references can't be written ({error}); they are kept in memory meanwhile")
            return
        self._troubles.discard("write")
        self._unsaved.clear()
        self._merge(self._folder)

    def _find(self, folder: Path, key: str) -> Reference | None:
        wanted = bytes.fromhex(key)
        for file in tuple(self._files.values()):
            place = file.place(wanted)
            if place is None or file.path.name not in self._files:
                continue
            try:
                found = reference_at(self._group(file.path, place[0]), place[1])
            except FileNotFoundError:  # merged into another: whatever it held is there
                self._refresh(folder)
                return self._find(folder, key)
            except (UnusableFile, OSError) as trouble:
                self._give_up(file.path, trouble)
                continue
            return found
        return None

    def _group(self, path: Path, group: int) -> pa.Table:
        table = self._groups.pop((path, group), None)
        if table is None:
            table = read_group(path, group)
            while len(self._groups) >= GROUPS_IN_MEMORY:
                self._groups.popitem(last=False)
        self._groups[path, group] = table
        return table

    def _refresh(self, folder: Path) -> None:
        """Know the folder's files as they are now. One that goes while we look was merged: then we look again."""
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
            self._say_once("read", f"references can't be read ({error}); they are asked for again")
            return set()
        self._troubles.discard("read")
        return names

    def _opened(self, path: Path) -> FileIndex | FileNotFoundError | None:
        try:
            return read_index(path)
        except FileNotFoundError as gone:
            return gone
        except (UnusableFile, OSError) as trouble:
            self._give_up(path, trouble)
            return None

    def _give_up(self, path: Path, trouble: UnusableFile | OSError) -> None:
        """Do without a file; its references are asked for again."""
        self._files.pop(path.name, None)
        for place in [place for place in self._groups if place[0] == path]:
            del self._groups[place]
        if isinstance(trouble, OSError):  # of the disk or the network: another time it may be read
            self._ignored.add(path.name)
            self._note(f"{path} can't be read ({trouble}); its references are asked for again")
            return
        try:
            aside = set_aside(path, trouble.ending)
            self._note(f"{path} {trouble}: set aside as {aside.name}; its references are asked for again")
        except OSError as error:
            self._ignored.add(path.name)
            self._note(f"{path} {trouble} and can't be renamed ({error}); its references are asked for again")

    def _merge(self, folder: Path) -> None:
        """Merge small files where there are many, some at a time, unless another process is at it."""
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
                    write_file(folder, merged_groups(sources))
                    for source in sources:
                        source.path.unlink(missing_ok=True)
                except UnusableFile as unusable:
                    self._give_up(unusable.path, unusable)
                except OSError as error:
                    self._say_once("merge", f"the reference cache's small files can't be merged ({error})")
                    return
                self._refresh(folder)

    def _say_once(self, trouble: str, text: str) -> None:
        if trouble not in self._troubles:
            self._troubles.add(trouble)
            self._note(f"{self._folder}: {text}")


def check_folder(folder: Path) -> None:
    """Refuse a folder that can't be made, read or written to, without making it.

    Raises:
        BadInput: naming what is in the way.
    """
    existing = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        raise BadInput(
            f"pivot.cache {folder}: {existing} is no folder that may be read and written to; choose another, or set "
            'pivot.cache = "off" to keep references for one run only'
        )


def _try_out(folder: Path) -> None:
    """Make the folder and write to it: a file system may be read-only, or full, whatever its permissions say.

    Raises:
        BadInput: with what the system said.
    """
    trial = folder / f".{os.getpid()}.trial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(b"a")
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"pivot.cache {folder} can't be written to ({error}); make room, or choose another") from None
