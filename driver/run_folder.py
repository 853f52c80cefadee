"""A run's folder: where everything that it writes goes (docs/architecture.md, "The run folder").

Owns names and the promise that a run is never written over.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from driver.config import Config
from driver.config_load import dump_config
from driver.errors import BadInput


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
        self.summary.write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")


def run_name(config: Config, config_path: Path) -> str:
    """The configured name, or the config's own and the time."""
    return config.run.name or f"{config_path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_new(config: Config, name: str) -> Path:
    """Where the run will live.

    Raises:
        BadInput: when that folder holds a run already, and nothing in it is touched; when no folder can be there.
    """
    path = Path(config.run.folder) / name
    existing = next(place for place in (path, *path.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInput(
            f"{path} can't be made: {existing} is no folder that may be written to; choose another run.folder"
        )
    if path.exists() and any(path.iterdir()):
        raise BadInput(
            f"{path} holds a run already, and a run can't be continued yet; choose another run.name or remove it"
        )
    return path


def create(path: Path, config: Config) -> RunFolder:
    """Make the folder and save the resolved config in it."""
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    folder.logs.mkdir(exist_ok=True)
    folder.config.write_text(dump_config(config), encoding="utf-8")
    return folder
