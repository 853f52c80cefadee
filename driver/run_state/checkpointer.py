"""Save a run's state after the steps that are due, while the next step is under way.

The run waits only until the state is fixed: the open draws, the ready groups, and the learner's weights, which the next
optimiser step changes and which the learner holds until they are written. One checkpoint is written at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypeAlias

from contracts.errors import CheckpointFailed
from contracts.ports import Learner
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from contracts.waiting import patiently
from driver.problems.draws import OpenDraws
from driver.run_state.buffered_groups import write_groups
from driver.run_state.checkpoints import Checkpoints, OpenCheckpoint
from driver.run_state.state import RunPosition, RunState

Groups: TypeAlias = list[tuple[PromptDraw, ScoredGroup]]


class Buffer(Protocol):
    """Give a recipe its work, and keep it in checkpoints."""

    def state(self) -> tuple[OpenDraws, Groups]:
        """Return the open draws, and the groups that are ready to be learned from."""
        ...

    def checkpointed(self, step: int) -> None:
        """Forget what was kept for a step back behind `step`: it has a whole checkpoint, or none will ever be made."""
        ...

    def step_back(self, *, step: int, version: int) -> None:
        """Go back to the state after `step`, with weights of `version`."""
        ...

    async def close(self) -> Sequence[DroppedGroup]:
        """Stop all work, and return the groups that were under way."""
        ...


@dataclass(kw_only=True)
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
    _writing: "asyncio.Future[None] | None" = field(default=None, init=False)  # what `settle` waits for

    async def after_step(self, position: RunPosition) -> None:
        """Begin a checkpoint where one is due; to be called between two steps, while the learner is idle."""
        if self.checkpoints.is_due(position.step, last_step=self.last_step):
            await self._begin(position)
        elif not self.checkpoints.are_made:
            self.buffer.checkpointed(position.step)  # without checkpoints the run never steps back

    async def save_if_lacking(self, position: RunPosition) -> bool:
        """Make a checkpoint of the last finished step if there is none, and return whether there is one now.

        A checkpoint that was due is not written again: groups that have become ready since then are sampled again.
        """
        await self.settle()
        return self.checkpoints.has(position.step) or await self.save(position)

    async def save(self, position: RunPosition) -> bool:
        """Make a checkpoint, due or not, and return whether it was written; a failure is reported and not raised."""
        await self._begin(position)
        await self.settle()
        return self.checkpoints.has(position.step)

    async def settle(self) -> None:
        """Wait until no checkpoint is being written; one that failed was reported.

        Raises:
            LearnerLost: a rank was lost before it had written its files.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await patiently(writing, "the checkpoint to be written", on_wait=self.on_wait)

    async def _begin(self, position: RunPosition) -> None:
        """Fix the state of a step, and go on writing it when this has returned."""
        await self.settle()
        open_draws, ready = self.buffer.state()
        state = RunState(
            **asdict(position),
            open=open_draws,
            num_ranks=self.num_ranks,
            seed=self.seed,
            calibration=self.calibration,
        )
        try:
            begun = await asyncio.to_thread(self.checkpoints.begin, state)
        except OSError as failure:
            await self._give_up(position.step, failure)
            return
        fixing = self.learner.save(str(begun.learner), policy=str(begun.policy))
        await patiently(fixing, f"the learner's state of step {position.step}", on_wait=self.on_wait)
        self._writing = asyncio.ensure_future(self._write(begun, ready))
        self._writing.add_done_callback(_heard)

    async def _write(self, begun: OpenCheckpoint, ready: Groups) -> None:
        """Wait for the learner's files, write the rest beside them, and give the checkpoint its name."""
        try:
            sums = await self.learner.saved()
            await asyncio.to_thread(write_groups, begun.groups, ready)
            saved = await asyncio.to_thread(self.checkpoints.finish, begun, sums)
        except (OSError, CheckpointFailed) as failure:
            await self._give_up(begun.step, failure)
            return
        self.on_saved(saved.name)
        self.buffer.checkpointed(begun.step)

    async def _give_up(self, step: int, failure: Exception) -> None:
        self.on_failure(str(await asyncio.to_thread(self.checkpoints.give_up, step, failure)))


def _heard(writing: "asyncio.Future[None]") -> None:
    """Let a failure pass that nobody waits for: the run was left, and its learner with it."""
    if not writing.cancelled():
        writing.exception()
