"""Stand for a disk whose power is cut: what was not synced is gone, or is there in part.

The files are real. Only `os.fsync` is replaced: it notes the content of a file, or the names in a folder, as kept. So a
power cut can be tried at every moment of a run without mounting anything.
"""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

Names = dict[str, int]  # in a folder: the inode by name


@dataclass(frozen=True)
class State:
    """Hold files and folders by inode."""

    files: dict[int, bytes] = field(default_factory=dict)
    folders: dict[int, Names] = field(default_factory=dict)

    def copy(self) -> "State":
        return State(dict(self.files), dict(self.folders))

    def write(self, inode: int, place: Path) -> None:
        """Make the folder `inode` as a new folder; a file without content was never synced."""
        place.mkdir()
        for name, inside in self.folders.get(inode, {}).items():
            if inside in self.folders:
                self.write(inside, place / name)
            else:
                (place / name).write_bytes(self.files.get(inside, b""))


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Hold what a disk has at one moment: what is synced, and all that was written."""

    root: int
    synced: State
    written: State

    def after_power_cut(self, place: Path) -> None:
        """Write what is left in the worst case: nothing but what was synced."""
        self.synced.write(self.root, place)

    def after_partial_loss(self, place: Path, random: Random) -> None:
        """Write a state in which some unsynced files and names have reached the disk, and others not."""
        left = self.synced.copy()
        for inode, content in self.written.files.items():
            kept = self.synced.files.get(inode, b"")
            if content.startswith(kept):
                left.files[inode] = content[: random.randint(len(kept), len(content))]
        for inode, names in self.written.folders.items():
            left.folders[inode] = names if random.random() < 0.5 else self.synced.folders.get(inode, {})
        left.write(self.root, place)


class ForgetfulDisk:
    """Watch a folder, and keep the moment before each sync."""

    def __init__(self, root: Path, *, never_syncs: frozenset[str] = frozenset()) -> None:
        """Take an empty folder; files of these names are never kept, whatever is synced."""
        self.moments: list[Moment] = []
        self._root = root
        self._synced = State(folders={root.stat().st_ino: {}})
        self._never = never_syncs
        self._pins: dict[int, int] = {}  # an open file each, so that no inode is used again
        self._lock = threading.Lock()

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Replace `os.fsync` while the body runs."""
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", self._fsync)
            yield
        self._keep_moment()
        for pin in self._pins.values():
            os.close(pin)

    def _fsync(self, place: int) -> None:
        with self._lock:
            self._keep_moment()
            inode, path = os.fstat(place).st_ino, Path(os.readlink(f"/proc/self/fd/{place}"))
            if inode not in self._pins:
                self._pins[inode] = os.dup(place)
            if stat.S_ISDIR(os.fstat(place).st_mode):
                self._synced.folders[inode] = _names(path)
            elif path.name not in self._never:
                self._synced.files[inode] = path.read_bytes()

    def _keep_moment(self) -> None:
        written = State()
        for folder in (self._root, *(found for found in self._root.rglob("*") if found.is_dir())):
            written.folders[folder.stat().st_ino] = _names(folder)
            written.files.update({file.stat().st_ino: file.read_bytes() for file in folder.iterdir() if file.is_file()})
        self._folders_are_folders(written)
        self.moments.append(Moment(root=self._root.stat().st_ino, synced=self._synced.copy(), written=written))

    def _folders_are_folders(self, written: State) -> None:
        """Let a folder whose names were never synced be an empty folder, not an empty file."""
        for inode in written.folders:
            self._synced.folders.setdefault(inode, {})


def _names(folder: Path) -> Names:
    return {found.name: found.stat().st_ino for found in folder.iterdir()}
