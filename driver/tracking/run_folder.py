"""Name the files of a run's folder, and keep two processes from writing into one.

A folder that holds a run is never written over: the run in it is continued, or refused.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.config.load import dump_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.files import WRITING, make_folder, sync_file, sync_folder, write_whole
from driver.evaluation.results import EVALUATIONS, RESPONSES
from driver.tracking.line_logs import Event, cut_events, cut_metrics
from driver.tracking.samples_file import cut_samples

TARGETS = ".prometheus"
"""Folder beside the run folders: a file for each run that goes on names the addresses of its metrics. They lie together
because Prometheus looks for such files in one folder."""


@dataclass(frozen=True)
class RunFolder:
    """Hold the path of a run's folder, and name what lies in it."""

    path: Path

    @property
    def config(self) -> Path:
        """Return the path of the resolved config."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """Return the path of the metrics: one line a step."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """Return the path of the events: failures, restarts, skips and drops."""
        return self.path / "events.jsonl"

    @property
    def samples(self) -> Path:
        """Return the path of every scored response."""
        return self.path / "samples.parquet"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def evaluation(self) -> Path:
        """Return the path of the evaluations before and after training."""
        return self.path / EVALUATIONS

    @property
    def evaluations(self) -> Path:
        """Return the folder of every evaluated response: `before.parquet`, `after.parquet`."""
        return self.path / RESPONSES

    @property
    def calibration(self) -> Path:
        """Return the path of the calibration of the reasoning component, as the run used it."""
        return self.path / "calibration.json"

    @property
    def summary(self) -> Path:
        """Return the path of the summary, which is written when a command ends."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """Return the path of the report, which is written when a run ends."""
        return self.path / "report.html"

    @property
    def trace(self) -> Path:
        """Return the path of the trace of the steps that `trace.steps` names."""
        return self.path / "trace.json"

    @property
    def targets(self) -> Path:
        """Return the path of the addresses for Prometheus, which is there while the run goes on."""
        return self.path.parent / TARGETS / f"{self.path.name}.json"

    @property
    def logs(self) -> Path:
        """Return the folder of the processes' logs."""
        return self.path / "logs"

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Write the summary, whole or not at all."""
        write_whole(self.summary, json.dumps(summary, ensure_ascii=False, indent=1))


def run_name(config: Config, config_path: Path) -> str:
    """Return the configured name of the run; where it is empty, the config file's name with the time."""
    return config.run.name or f"{config_path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_new(config: Config, name: str, *, continues: str = "") -> Path:
    """Return the path of a folder for a command that starts no run; nothing is touched.

    Args:
        config: with an absolute run.folder.
        name: of the folder.
        continues: what a folder holds that the command can go on with; "" if it never goes on.

    Raises:
        BadInput: the folder holds a run already, or no folder can be made there.
    """
    path = check_place(config, name)
    if continues and (path / continues).exists():
        return path
    if holds_something(path):
        raise BadInput(f"{path} already holds a run; choose another run.name, or remove the folder", key="run.name")
    return path


def check_place(config: Config, name: str) -> Path:
    """Return the path of a run's folder.

    Raises:
        BadInput: no folder can be made there.
    """
    path = Path(config.run.folder) / name
    for place in (path, *path.parents):
        refuse_dangling(place, key="run.name" if place == path else "run.folder")
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInput(
            f"{path} can't be made: {existing} is not a folder that may be written to; choose another run.folder",
            key="run.folder",
        )
    return path


def refuse_dangling(path: Path, *, key: str) -> None:
    """Refuse a link whose target is missing, as that of a disk that is not mounted.

    Raises:
        BadInput: `path` is such a link.
    """
    if path.is_symlink() and not path.exists():
        raise BadInput(
            f"{path} is a link to {os.readlink(path)}, which does not exist; mount that disk, or put the link right",
            key=key,
        )


def holds_something(path: Path) -> bool:
    """Return whether there is any file under `path`.

    A start that failed early leaves empty folders, and perhaps a config that was being written.
    """
    half_written = RunFolder(path).config.with_name(f"{RunFolder(path).config.name}{WRITING}")
    return path.exists() and any(not found.is_dir() and found != half_written for found in path.rglob("*"))


def create(path: Path, config: Config) -> RunFolder:
    """Make the folder and save the resolved config in it; the config is on the disk before anything else is there."""
    folder = RunFolder(path)
    make_folder(folder.path)
    write_config(folder, config)
    make_folder(folder.checkpoints)
    make_folder(folder.logs)
    return folder


def write_config(folder: RunFolder, config: Config) -> None:
    """Save the resolved config, whole or not at all."""
    write_whole(folder.config, dump_config(config))


def sync_record(folder: RunFolder) -> None:
    """Wait until all that the run has recorded is on the disk: a checkpoint counts only after what it rests on.

    Files are synced before the folders that name them. Each step's samples are synced when they are written.

    Raises:
        OSError: the disk failed or is full.
    """
    files = (folder.metrics, folder.events, folder.samples, folder.calibration, folder.evaluation, folder.config)
    for file in files:
        if file.exists():
            sync_file(file)
    for place in (folder.samples.with_suffix(""), folder.path):
        if place.is_dir():
            sync_folder(place)


def cut_record(folder: RunFolder, *, after_step: int) -> list[Event]:
    """Remove later steps from metrics, samples and events; events of the run itself stay.

    Returns:
        An event for each damaged file of samples, which was set aside; they are to be written.
    """
    cut_metrics(folder.metrics, after_step=after_step)
    aside = cut_samples(folder.samples, after_step=after_step)
    cut_events(folder.events, after_step=after_step)
    return [samples_damaged(folder, file) for file in aside]


def samples_damaged(folder: RunFolder, file: Path) -> Event:
    """Return the event of a file of samples that could not be read and was set aside."""
    name = file.relative_to(folder.path)
    return Event(
        kind="samples_damaged", reason=f"{name} can't be read: it is kept, and the run goes on without its responses"
    )


def keep_record(folder: RunFolder) -> Path:
    """Copy the record of a run that starts anew to a folder of its own in the run folder, and return that folder.

    Raises:
        OSError: the disk is full; nothing was changed.
    """
    number = 1
    while (kept := folder.path / f"before-{number}").exists():
        number += 1
    aside = folder.path / f"{kept.name}{WRITING}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    files = (folder.metrics, folder.events, folder.samples, folder.evaluation, folder.summary, folder.config)
    for file in files:
        if file.exists():
            shutil.copy2(file, aside / file.name)
            sync_file(aside / file.name)
    if (parts := folder.samples.with_suffix("")).is_dir():
        shutil.copytree(parts, aside / parts.name)
        for part in (aside / parts.name).iterdir():
            sync_file(part)
        sync_folder(aside / parts.name)
    sync_folder(aside)
    aside.rename(kept)
    sync_folder(folder.path)
    return kept


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Lock an existing run folder against a second process; a process that dies releases its lock.

    A file system that has no locks for folders (NFS) lets any number of processes in.

    Raises:
        BadInput: another process has the lock.
    """
    place = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            os.close(place)
            raise BadInput(
                f"{path} holds a run that is still going; wait until it ends, or choose another run.name",
                key="run.name",
            ) from None
    try:
        yield
    finally:
        os.close(place)
