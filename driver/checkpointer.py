"""The recipe's `Checkpointer` on a run folder: which steps are followed by a checkpoint, and what is said of one that
could not be written.

Owns what of a run's state goes into one. Knows the ports and the stream; what a checkpoint is made of on a disk is
driver/checkpoints.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driver.checkpoint_files import RunState
from driver.checkpoints import Checkpoints
from driver.errors import CheckpointFailed
from driver.ports import Learner
from driver.problems.stream import ProblemStream
from driver.progress import patiently
from driver.recipes.learning import Progress

POLICY = "policy"
"""Folder of a checkpoint with the policy as transformers and vLLM load it."""


@dataclass(frozen=True, kw_only=True)
class RunCheckpointer:
    """Saves after the steps that are due. A disk that is full doesn't end the run: the checkpoints before stay."""

    checkpoints: Checkpoints
    learner: Learner
    stream: ProblemStream
    last_step: int  # algorithm.steps
    num_ranks: int
    seed: int
    calibration: str  # calibration.json as the scorers use it; empty: none
    waiting: Callable[[str], None]
    failed: Callable[[str], None]  # writes the event and tells a person

    async def after_step(self, progress: Progress) -> None:
        """Called between two steps, when nothing is in flight."""
        if not self.checkpoints.is_due(progress.step, last_step=self.last_step):
            return
        state = RunState(
            step=progress.step,
            policy_version=progress.policy_version,
            optimizer_steps=progress.optimizer_steps,
            skipped_in_a_row=progress.skipped_in_a_row,
            stream=self.stream.state(),
            num_ranks=self.num_ranks,
            seed=self.seed,
            calibration=self.calibration,
        )
        saving = self.checkpoints.save(state, self._write)
        try:
            await patiently(saving, f"the checkpoint of step {progress.step}", report=self.waiting)
        except CheckpointFailed as failure:
            self.failed(str(failure))

    async def _write(self, folder: Path) -> None:
        """The learner's own files, and beside them the policy for everybody else."""
        await self.learner.save(str(folder))
        await self.learner.export(str(folder.parent / POLICY))


def progress_of(state: RunState) -> Progress:
    """Where the recipe's loop goes on."""
    return Progress(
        step=state.step,
        policy_version=state.policy_version,
        optimizer_steps=state.optimizer_steps,
        skipped_in_a_row=state.skipped_in_a_row,
    )
