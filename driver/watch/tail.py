"""Read what was added to a file of JSON lines since the last time, while another process writes it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """Hold the objects that were added to a file."""

    records: list[dict]
    starts_over: bool  # they are all that the file holds: it was replaced, or is read for the first time


@dataclass(kw_only=True)
class LineTail:
    """Follow one file. It need not exist yet; a run that goes on from a checkpoint replaces it by a shorter one."""

    path: Path
    num_unreadable: int = 0  # lines that hold no object: torn by a kill, or not written by a run
    _offset: int = field(default=0, init=False)  # of the first byte that was not read, in bytes
    _inode: int | None = field(default=None, init=False)

    def read(self) -> Added:
        """Return the whole lines that were added since the last call, or all of them if the file was replaced."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            starts_over, self._offset, self._inode = self._inode is not None, 0, None
            return Added(records=[], starts_over=starts_over)
        with file:
            inode, size = _identity(file.fileno())
            starts_over = inode != self._inode or size < self._offset
            if starts_over:
                self._offset, self._inode, self.num_unreadable = 0, inode, 0
            file.seek(self._offset)
            whole = file.read()
        whole = whole[: whole.rfind(b"\n") + 1]  # the rest is a line that is being written
        self._offset += len(whole)
        return Added(records=self._records(whole), starts_over=starts_over)

    def _records(self, lines: bytes) -> list[dict]:
        found = []
        for line in lines.split(b"\n"):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                found.append(record)
            elif line.strip():
                self.num_unreadable += 1
        return found


def _identity(descriptor: int) -> tuple[int, int]:
    """Return the number of an open file on its disk, and its size in bytes."""
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size
