"""Continue a run that has lost its learner: restart all ranks, and go on from the last checkpoint.

The order is: start new ranks, load their state, cut the record back, push the weights as a new version, and use the
groups again that were learned from since the checkpoint. Policy, pivot and scorers go on meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol, TypeVar

from contracts.errors import BadInput, CheckpointFailed, LearnerLost, RunFailed
from contracts.waiting import patiently
from driver.recipes.loop import Loop
from driver.run_state.checkpointer import Buffer
from driver.run_state.checkpoints import FoundCheckpoint
from driver.run_state.state import RunPosition
from driver.run_state.stopping import Stopped

Result = TypeVar("Result")


class Record(Protocol):
    """Write down what happens."""

    def event(self, kind: str, reason: str, detail: str = "") -> None:
        """Write an event."""
        ...

    def note(self, text: str) -> None:
        """Print a line that stays."""
        ...

    def waiting(self, what: str) -> None:
        """Show what the run waits for."""
        ...

    def cut_back(self, step: int) -> None:
        """Remove the record of all steps after `step`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Restart a lost learner and step the run back to its last checkpoint."""

    loop: Loop
    buffer: Buffer
    record: Record
    next_wait_s: Callable[[], float | None]  # counts a restart and returns the seconds before it; None: too many
    restart: Callable[[], Awaitable[None]]  # starts all ranks with their first weights
    last_checkpoint: Callable[[], FoundCheckpoint | None] | None  # reads files; None: the run saves no checkpoints

    async def train(self, recipe: Callable[[], Awaitable[None]]) -> None:
        """Run the recipe to its end, its last checkpoint included, and restart the learner as often as it is lost.

        Raises:
            Stopped: the run was asked to stop while the learner was lost; it ends at its last checkpoint.
            RunFailed: the learner was lost too often or can't be restored, or the recipe raised it.
        """
        lost: LearnerLost | None = None
        while True:
            try:
                if lost is not None:
                    await self._step_back(lost)
                await recipe()
                return await self.loop.checkpointer.settle()
            except LearnerLost as failure:
                lost = failure

    async def _step_back(self, lost: LearnerLost) -> None:
        self.record.event("learner_lost", str(lost))
        self.loop.is_between_steps = False  # until this is done, the learner's state belongs to no step
        if self.last_checkpoint is None:
            raise RunFailed(
                f"{lost}; there is no checkpoint to go on from, because checkpoint.every_steps is off",
                key="checkpoint.every_steps",
            ) from lost
        if (wait_s := self.next_wait_s()) is None:
            raise RunFailed(
                f"{lost}; it was restarted fleet.max_restarts times already", key="fleet.max_restarts"
            ) from lost
        with suppress(Stopped):
            await self.loop.stop.before(asyncio.sleep(wait_s))
        with suppress(LearnerLost):  # a checkpoint that all ranks had written before becomes whole
            await self.loop.checkpointer.settle()
        try:
            found = await self._patiently(asyncio.to_thread(self.last_checkpoint), "the last checkpoint to be read")
            start = found.state.position if found else RunPosition()
            if found is not None and self.loop.stop.is_asked:
                self._end_at(start, lost)
            self.record.note(f"{lost}; restarting the learner to go on after step {start.step}")
            await self._restore(found)
        except (BadInput, CheckpointFailed) as damage:  # not a user's mistake: the run wrote these files itself
            raise RunFailed(f"{lost}; the learner can't be restored: {damage}", key="learner") from damage
        self.record.cut_back(start.step)
        await self._push(start)
        self.buffer.step_back(step=start.step, version=self.loop.position.policy_version)
        self.loop.is_between_steps = True
        self.record.event("learner_restarted", f"after step {start.step}", found.path.name if found else "")

    def _end_at(self, start: RunPosition, lost: LearnerLost) -> NoReturn:
        """End the run at its last checkpoint, without new ranks: no step will follow.

        Raises:
            Stopped: always.
        """
        self.record.note(f"{lost}; the run was asked to stop: it ends after step {start.step}")
        self.record.cut_back(start.step)
        self.loop.position = start
        raise Stopped

    async def _restore(self, found: FoundCheckpoint | None) -> None:
        """Start the ranks and load their state.

        Raises:
            LearnerLost: a rank died again while it was loading; there is another try while restarts are left.
        """
        try:
            await self.restart()
        except RunFailed as failure:
            raise LearnerLost(f"the learner could not be restarted: {failure}", key="learner") from failure
        if found is not None:
            await self._patiently(self.loop.learner.load(str(found.learner)), f"{found.path.name} to be loaded")

    async def _patiently(self, work: Awaitable[Result], what: str) -> Result:
        return await patiently(work, what, on_wait=self.record.waiting)

    async def _push(self, start: RunPosition) -> None:
        """Push the old weights under a new version, because versions only go up."""
        await self._patiently(self.loop.evaluations.finished(), "the evaluation")
        self.loop.last_version += 1
        version = self.loop.last_version
        await self._patiently(self.loop.learner.push_weights(version), "the weight push")
        self.loop.position = replace(start, policy_version=version)
