"""Save a run's state after the steps that are due, and report a checkpoint that could not be written."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from contracts.errors import CheckpointFailed
from contracts.ports import Learner
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from contracts.waiting import patiently
from driver.problems.draws import OpenDraws
from driver.run_state.buffered_groups import write_groups
from driver.run_state.checkpoint_files import GROUPS
from driver.run_state.checkpoints import Checkpoints
from driver.run_state.state import RunPosition, RunState

POLICY = "policy"
"""Folder of a checkpoint with the policy as transformers and vLLM load it."""


class Buffer(Protocol):
    """Give a recipe its work, and keep it in checkpoints."""

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        """Return the open draws, and the groups that are ready to be learned from."""
        ...

    def checkpointed(self) -> None:
        """Forget what was kept for a step back: a checkpoint has been made, or none ever will be."""
        ...

    def step_back(self, *, step: int, version: int) -> None:
        """Go back to the state after `step`, with weights of `version`."""
        ...

    async def close(self) -> Sequence[DroppedGroup]:
        """Stop all work, and return the groups that were under way."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunCheckpointer:
    """Save a run's state after the steps that are due. A full disk does not end the run: earlier checkpoints stay."""

    checkpoints: Checkpoints
    learner: Learner
    buffer: Buffer
    last_step: int  # algorithm.steps
    num_ranks: int
    seed: int
    calibration: str  # calibration.json as the scorers use it; empty: none
    on_wait: Callable[[str], None]  # prints what is waited for
    on_failure: Callable[[str], None]  # writes an event and prints it
    on_saved: Callable[[str], None] = lambda name: None  # writes an event with the checkpoint's name

    async def after_step(self, position: RunPosition) -> None:
        """Make a checkpoint where one is due; to be called between two steps, while the learner is idle."""
        if self.checkpoints.is_due(position.step, last_step=self.last_step):
            await self.save(position)
        elif not self.checkpoints.are_made:
            self.buffer.checkpointed()  # without checkpoints the run never steps back

    async def save_if_lacking(self, position: RunPosition) -> bool:
        """Make a checkpoint of the last finished step if there is none, and return whether there is one now.

        A checkpoint that was due is not written again: groups that have become ready since then are sampled again.
        """
        return self.checkpoints.has(position.step) or await self.save(position)

    async def save(self, position: RunPosition) -> bool:
        """Make a checkpoint, due or not, and return whether it was written; a failure is reported and not raised."""
        open_draws, ready = self.buffer.state()
        state = RunState(
            **asdict(position),
            open=open_draws,
            num_ranks=self.num_ranks,
            seed=self.seed,
            calibration=self.calibration,
        )

        async def write(folder: Path) -> None:
            """Write the learner's own files, and beside them the exported policy and the groups that are ready."""
            await asyncio.to_thread(write_groups, folder.parent / GROUPS, ready)
            await self.learner.save(str(folder))
            await self.learner.export(str(folder.parent / POLICY))

        saving = self.checkpoints.save(state, write)
        try:
            saved = await patiently(saving, f"the checkpoint of step {position.step}", on_wait=self.on_wait)
        except CheckpointFailed as failure:
            self.on_failure(str(failure))
            return False
        self.on_saved(saved.name)
        self.buffer.checkpointed()
        return True
