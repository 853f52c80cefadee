"""Define where the metrics of a run go besides metrics.jsonl, TensorBoard's files and Prometheus."""

from contracts.config.section import Section


class SinksConfig(Section):
    """Services that get the metrics of every step, too. Each needs its package in the environment, and reads its
    address and its key from its own variables (`WANDB_API_KEY`, `WANDB_MODE`, `MLFLOW_TRACKING_URI`, ...)."""

    wandb_project: str = ""
    """Project of Weights & Biases; empty: off. Needs the package wandb. A continued run continues its record there."""
    wandb_entity: str = ""
    """User or team that the project belongs to; empty: that of the key."""
    mlflow_experiment: str = ""
    """Experiment of MLflow; empty: off. Needs the package mlflow or mlflow-skinny. A continued run continues its
    record there."""
