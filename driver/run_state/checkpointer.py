"""The recipe's `Checkpointer` on a run folder: which steps are followed by a checkpoint, and what is said of one that
could not be written.

Owns what of a run's state goes into one. Knows the ports and the buffer; what a checkpoint is made of on a disk is
driver/run_state/checkpoints.py.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.errors import CheckpointFailed
from contracts.ports import Learner
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from contracts.waiting import patiently
from driver.problems.draws import OpenDraws
from driver.run_state.buffered_groups import write_groups
from driver.run_state.checkpoint_files import GROUPS, RunState
from driver.run_state.checkpoints import Checkpoints
from driver.run_state.position import RunPosition

POLICY = "policy"
"""Folder of a checkpoint with the policy as transformers and vLLM load it."""


class Buffer(Protocol):
    """Where a recipe's work comes from (driver/rollouts/buffer.py, driver/rollouts/prompt_buffer.py), as checkpoints
    and steps back see it."""

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]: ...

    def checkpointed(self) -> None: ...

    def step_back(self, *, step: int, version: int) -> None: ...

    async def close(self) -> Sequence[DroppedGroup]: ...


@dataclass(frozen=True, kw_only=True)
class RunCheckpointer:
    """Saves after the steps that are due. A disk that is full doesn't end the run: the checkpoints before stay."""

    checkpoints: Checkpoints
    learner: Learner
    buffer: Buffer
    last_step: int  # algorithm.steps
    num_ranks: int
    seed: int
    calibration: str  # calibration.json as the scorers use it; empty: none
    waiting: Callable[[str], None]
    failed: Callable[[str], None]  # writes the event and tells a person

    async def after_step(self, position: RunPosition) -> None:
        """Called between two steps, when the learner does nothing."""
        if self.checkpoints.is_due(position.step, last_step=self.last_step):
            await self.save(position)
        elif not self.checkpoints.are_made:
            self.buffer.checkpointed()  # nobody will ever step back

    async def save_if_lacking(self, position: RunPosition) -> bool:
        """For a run that ends here, maybe in a hurry: whether there is a checkpoint of the last finished step. One that
        was due is not written again: what groups have become ready since are drawn again."""
        return self.checkpoints.has(position.step) or await self.save(position)

    async def save(self, position: RunPosition) -> bool:
        """Make a checkpoint, due or not; whether it is there. What can't be written is said, and nothing else."""
        open_draws, kept = self.buffer.state()
        state = RunState(
            step=position.step,
            policy_version=position.policy_version,
            optimizer_steps=position.optimizer_steps,
            skipped_in_a_row=position.skipped_in_a_row,
            open=open_draws,
            num_ranks=self.num_ranks,
            seed=self.seed,
            calibration=self.calibration,
        )

        async def write(folder: Path) -> None:
            """The learner's own files; beside them the policy for everybody else, and the groups that are ready."""
            await asyncio.to_thread(write_groups, folder.parent / GROUPS, kept)
            await self.learner.save(str(folder))
            await self.learner.export(str(folder.parent / POLICY))

        saving = self.checkpoints.save(state, write)
        try:
            await patiently(saving, f"the checkpoint of step {position.step}", on_wait=self.waiting)
        except CheckpointFailed as failure:
            self.failed(str(failure))
            return False
        self.buffer.checkpointed()
        return True


def position_of(state: RunState) -> RunPosition:
    """Where the recipe's loop goes on."""
    return RunPosition(
        step=state.step,
        policy_version=state.policy_version,
        optimizer_steps=state.optimizer_steps,
        skipped_in_a_row=state.skipped_in_a_row,
    )
