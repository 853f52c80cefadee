"""Estimate what a run writes: the size of a checkpoint, the seconds that it takes, and the disk that all need."""

from dataclasses import dataclass

from cluster.estimate.learner import rank_models
from cluster.estimate.shapes import BYTES
from contracts.config.run import Config

DISK_BYTES_PER_S = 1e9
"""Assumed speed of writing to the run folder's disk, in bytes/s."""


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """Hold the sizes of what a run writes, in bytes."""

    state: float  # of the learner, in a checkpoint: every rank writes an equal share
    export: float  # the policy as a Hugging Face folder, in a checkpoint and at the end: rank 0 writes it
    num_checkpoints: int  # at most at the same time

    @property
    def checkpoint(self) -> float:
        """Return the bytes of one checkpoint."""
        return self.state + self.export

    @property
    def seconds(self) -> float:
        """Return the seconds in which a checkpoint is written."""
        return self.checkpoint / DISK_BYTES_PER_S

    @property
    def total(self) -> float:
        """Return the bytes that the run needs at most."""
        return self.checkpoint * self.num_checkpoints + self.export


def disk_need(config: Config) -> DiskNeed | None:
    """Return what a run writes; None if the size of a model is not known.

    A checkpoint has fp32 master weights and AdamW's two moments of all trained parameters, and the policy's weights in
    the model's format. Kept are the newest, the best one, and the one that is being written.
    """
    models = rank_models(config)
    if models is None:
        return None
    state = sum(12 * model.trained for model in models)
    export = BYTES[config.learner.dtype] * models[0].size.parameters
    keeps_best = config.checkpoint.best_metric != "off"
    kept = 0 if config.checkpoint.every_steps == "off" else config.checkpoint.keep_last + keeps_best
    return DiskNeed(state=state, export=export, num_checkpoints=kept + 1)
