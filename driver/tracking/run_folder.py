"""A run's folder: where everything that it writes goes (docs/architecture.md, "The run folder").

Owns names and the promise that a run is never written over, and never by two at a time. Going on with a run that a
folder holds is driver/run_state/resume.py.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.config.load import dump_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.files import write_whole


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.parquet"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def calibration(self) -> Path:
        """The scale of the reasoning part, as the run used it."""
        return self.path / "calibration.json"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def write_summary(self, summary: dict[str, object]) -> None:
        write_whole(self.summary, json.dumps(summary, ensure_ascii=False, indent=1))


def run_name(config: Config, config_path: Path) -> str:
    """The configured name, or the config's own and the time."""
    return config.run.name or f"{config_path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_new(config: Config, name: str) -> Path:
    """Where something that can't be continued will live.

    Raises:
        BadInput: when that folder holds a run already, and nothing in it is touched; when no folder can be there.
    """
    path = check_place(config, name)
    if holds_something(path):
        raise BadInput(f"{path} holds a run already; choose another run.name or remove it")
    return path


def check_place(config: Config, name: str) -> Path:
    """The path of a run's folder.

    Raises:
        BadInput: no folder can be there.
    """
    path = Path(config.run.folder) / name
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInput(
            f"{path} can't be made: {existing} is no folder that may be written to; choose another run.folder"
        )
    return path


def holds_something(path: Path) -> bool:
    """Whether there is any file; a start that failed early leaves empty folders."""
    return path.exists() and any(not found.is_dir() for found in path.rglob("*"))


def create(path: Path, config: Config) -> RunFolder:
    """Make the folder and save the resolved config in it."""
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    folder.logs.mkdir(exist_ok=True)
    write_config(folder, config)
    return folder


def write_config(folder: RunFolder, config: Config) -> None:
    """Save the resolved config; whole or not at all."""
    write_whole(folder.config, dump_config(config))


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold an existing run folder against a second process; a process that dies lets go of it.

    A file system that has no locks for folders (NFS) lets any number in.

    Raises:
        BadInput: another process holds it.
    """
    place = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            os.close(place)
            raise BadInput(f"{path} holds a run that is still going; wait for it, or choose another run.name") from None
    try:
        yield
    finally:
        os.close(place)
