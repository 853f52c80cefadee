"""Check and open the sinks that a config asks for; a continued run finds its records again by their ids."""

import importlib.util
import secrets
from collections.abc import Callable
from pathlib import Path

from contracts.config.sinks import SinksConfig
from contracts.errors import BadInput
from contracts.files import write_whole
from driver.sinks.background import BackgroundSink
from driver.sinks.services import MlflowSink, WandbSink
from driver.sinks.tensorboard import TensorBoardSink
from driver.tracking.metric_sink import MetricSink

ID = ".id"
"""Ending of a file of a run folder: the id of the run's record at a service."""
TENSORBOARD = "tensorboard"


def check_sinks(config: SinksConfig) -> None:
    """Check that the packages of the services are installed.

    Raises:
        BadInput: one is not.
    """
    for key, package in (("wandb_project", "wandb"), ("mlflow_experiment", "mlflow")):
        if getattr(config, key) and importlib.util.find_spec(package) is None:
            raise BadInput(
                f"sinks.{key} is set, and the package {package} is not installed; install it, or leave the key out",
                key=f"sinks.{key}",
            )


def open_sinks(config: SinksConfig, folder: Path, *, after_step: int, tell: Callable[[str], None]) -> list[MetricSink]:
    """Open TensorBoard's files and the services of the config.

    Args:
        config: the section.
        folder: of the run; its name is that of the records.
        after_step: the last step that an earlier start made; 0: none did.
        tell: shows a person a line.
    """
    sinks: list[MetricSink] = [
        BackgroundSink("TensorBoard", lambda: TensorBoardSink(folder / TENSORBOARD, after_step=after_step), tell=tell)
    ]
    if config.wandb_project:
        sinks.append(BackgroundSink("Weights & Biases", lambda: _wandb(config, folder), tell=tell))
    if config.mlflow_experiment:
        sinks.append(BackgroundSink("MLflow", lambda: _mlflow(config, folder), tell=tell))
    return sinks


def _wandb(config: SinksConfig, folder: Path) -> MetricSink:
    run_id = _known_id(folder, "wandb") or secrets.token_hex(8)
    _keep_id(folder, "wandb", run_id)
    return WandbSink(config, name=folder.name, run_id=run_id, folder=folder)


def _mlflow(config: SinksConfig, folder: Path) -> MetricSink:
    sink = MlflowSink(config, name=folder.name, run_id=_known_id(folder, "mlflow"))
    _keep_id(folder, "mlflow", sink.run_id)
    return sink


def _known_id(folder: Path, service: str) -> str:
    """Return the id of the run's record at a service; empty if it has none yet."""
    path = folder / f"{service}{ID}"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _keep_id(folder: Path, service: str, run_id: str) -> None:
    write_whole(folder / f"{service}{ID}", f"{run_id}\n")
