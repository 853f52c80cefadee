"""Pass the metrics of every step on to Weights & Biases or MLflow.

Their packages are imported when a sink is opened. Addresses and keys come from their own environment variables, and
none of them is written anywhere.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from contracts.config.sinks import SinksConfig


class WandbSink:
    """Write into one run of Weights & Biases; in the mode "offline" into files that `wandb sync` sends later."""

    def __init__(self, config: SinksConfig, *, name: str, run_id: str, folder: Path) -> None:
        """Open the run with this id, or make it.

        Raises:
            Exception: whatever the package raises where there is no key or no connection.
        """
        import wandb  # pyright: ignore[reportMissingImports] - only where the user has installed it

        self._run = wandb.init(
            project=config.wandb_project,
            entity=config.wandb_entity or None,
            name=name,
            id=run_id,
            resume="allow",
            dir=str(folder),
            # Neither code, nor what the console shows, nor what the machine does: metrics alone.
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                silent=True,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass a finished step on."""
        self._run.log(dict(metrics), step=step)

    def cut_back(self, step: int) -> None:
        """Do nothing: the service keeps the first form of a step, and takes no earlier ones."""

    def close(self) -> None:
        """Wait until everything was sent."""
        self._run.finish()


class MlflowSink:
    """Write into one run of MLflow, on the server or in the store of MLFLOW_TRACKING_URI."""

    def __init__(self, config: SinksConfig, *, name: str, run_id: str) -> None:
        """Open the run with this id; empty: make one.

        Raises:
            Exception: whatever the package raises where the store can't be reached or has no such run.
        """
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports] - as above
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        self._metric, self._client = Metric, MlflowClient()
        if run_id:
            self._client.update_run(run_id, status="RUNNING")
        self.run_id = run_id or self._new_run(config.mlflow_experiment, name)

    def _new_run(self, experiment: str, name: str) -> str:
        known = self._client.get_experiment_by_name(experiment)
        number = known.experiment_id if known is not None else self._client.create_experiment(experiment)
        return self._client.create_run(number, run_name=name).info.run_id

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass a finished step on."""
        now_ms = int(time.time() * 1000)
        values = [self._metric(name, value, now_ms, step) for name, value in metrics.items()]
        for start in range(0, len(values), 1000):  # the most that one call takes
            self._client.log_batch(self.run_id, metrics=values[start : start + 1000])

    def cut_back(self, step: int) -> None:
        """Do nothing: a step that is done again is one more point at its number."""

    def close(self) -> None:
        """Mark the run as ended; a start that continues it marks it as running again."""
        self._client.set_terminated(self.run_id)
