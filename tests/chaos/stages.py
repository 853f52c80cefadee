"""Tell from a run's folder alone in which stage of its writing it is, and stop the driver in that stage.

Where the driver can't be held at the moment when it opens a file (`gate`), it is let run for a fraction of a
millisecond at a time, and the folder is read while it stands still. A quick disk's stages may be too short for that.
"""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from contracts.sealed_folder import MANIFEST
from driver.run_state.checkpoints import LATEST, whole_checkpoints
from driver.tracking.run_folder import RunFolder
from tests.chaos.plan import Stage
from tests.chaos.signals import send

_PARTIAL = "step-*.partial"
_SLICE_S = 0.0003
_STOPS_WITHIN_S = 0.0001


class StageWatch:
    """Watch one run's folder for a stage. What lies there from earlier on does not count."""

    def __init__(self, folder: RunFolder, *, keep_last: int) -> None:
        """Take the run's folder and its checkpoint.keep_last."""
        self._folder = folder
        self._keep_last = keep_last
        self._newest_before = self._newest()
        self._left_over = {_identity(path) for path in self._folder.checkpoints.glob(_PARTIAL)}
        self._exported_before = self._exported_files()
        self._merged_before = self._merged_files()

    def is_close(self) -> bool:
        """Return whether a checkpoint is being written; before, nothing of one can be looked for."""
        return bool(self._new_partial())

    def is_over(self) -> bool:
        """Return whether no checkpoint is being written, named, pointed to or removed."""
        is_pruned = len(self._whole()) <= self._keep_last and not self._partial()
        return is_pruned and self._newest() == self._pointed()

    def is_in(self, stage: Stage) -> bool:
        """Return whether the run is in the stage."""
        reached: Mapping[Stage, Callable[[], bool]] = {
            "kill_shards": lambda: any(next((path / "learner").rglob("*.pt"), None) for path in self._new_partial()),
            "kill_manifest": lambda: any(next(path.glob(f"{MANIFEST}*"), None) for path in self._new_partial()),
            "kill_rename": lambda: self._newest() > max(self._pointed(), self._newest_before),
            "kill_pointer": lambda: self._newest() == self._pointed() and len(self._whole()) > self._keep_last,
            "kill_pruning": lambda: any(step < self._newest() for step in self._partial()),
            "kill_export": lambda: self._exported_files() != self._exported_before,
            "kill_merge": lambda: self._merged_files() != self._merged_before,
        }
        return reached[stage]()

    def _whole(self) -> dict[int, Path]:
        return whole_checkpoints(self._folder.checkpoints)

    def _newest(self) -> int:
        return max(self._whole(), default=0)

    def _pointed(self) -> int:
        """Return the step that `latest` names; 0 without the file."""
        try:
            return int((self._folder.checkpoints / LATEST).read_text(encoding="utf-8").strip().removeprefix("step-"))
        except (FileNotFoundError, ValueError):
            return 0

    def _partial(self) -> dict[int, Path]:
        """Return the checkpoints that are being written or removed, by step; not what a kill has left."""
        found = [path for path in self._folder.checkpoints.glob(_PARTIAL) if _identity(path) not in self._left_over]
        return {int(path.name.removeprefix("step-").removesuffix(".partial")): path for path in found}

    def _new_partial(self) -> list[Path]:
        """Return the folder of a checkpoint that is being written, not removed."""
        return [path for step, path in self._partial().items() if step > self._newest()]

    def _exported_files(self) -> frozenset[tuple[str, int]]:
        """Return the files of the exported policy, finished or not, with their times."""
        return _files(self._folder.checkpoints, "final*/*")

    def _merged_files(self) -> frozenset[tuple[str, int]]:
        """Return the merged samples, finished or not, with their times."""
        return _files(self._folder.path, "samples.parquet*")


def _identity(path: Path) -> tuple[str, int]:
    """Return name and inode of a folder; 0 where it is gone."""
    try:
        return path.name, path.stat().st_ino
    except FileNotFoundError:
        return path.name, 0


def _files(folder: Path, pattern: str) -> frozenset[tuple[str, int]]:
    """Return files with their times, in nanoseconds."""
    found = set[tuple[str, int]]()
    for path in folder.glob(pattern):
        try:
            found.add((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue  # renamed meanwhile
    return frozenset(found)


def stop_in(pid: int, is_reached: Callable[[], bool], *, until: Callable[[], bool]) -> bool:
    """Let a process run in slices until the stage is reached, and leave it stopped there.

    Return False, with the process running, where `until` says that the stage is over or the process is gone.
    """
    while True:
        if not send(pid, signal.SIGSTOP):
            return False
        time.sleep(_STOPS_WITHIN_S)
        if is_reached():
            return True
        is_over = until()
        send(pid, signal.SIGCONT)
        if is_over:
            return False
        time.sleep(_SLICE_S)
