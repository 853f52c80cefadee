"""A run that outlives its learner: when a rank is lost, all are started again, and the run goes on from the last
checkpoint.

Owns the order of that: new ranks, their state, the record cut back, a new version pushed, and the groups that were
learned from since handed out again. Policy, pivot and scorers go on meanwhile. Knows the ports and the run's parts; who
starts ranks is handed in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol, TypeVar

from contracts.errors import BadInput, CheckpointFailed, LearnerLost, RunFailed
from contracts.waiting import patiently
from driver.recipes.loop import Loop
from driver.run_state.checkpointer import Feed, position_of
from driver.run_state.checkpoints import FoundCheckpoint
from driver.run_state.position import RunPosition
from driver.run_state.stopping import Stopped

Result = TypeVar("Result")


class Record(Protocol):
    """Where it is written down (driver/tracking/recorder.py)."""

    def event(self, kind: str, reason: str, detail: str = "") -> None: ...

    def note(self, text: str) -> None: ...

    def waiting(self, what: str) -> None: ...

    def cut_back(self, step: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Everything that a step back needs."""

    loop: Loop
    feed: Feed
    record: Record
    next_wait_s: Callable[[], float | None]  # before the next restart, which is counted; None: there were too many
    restart: Callable[[], Awaitable[None]]  # all ranks, with their first weights
    last_checkpoint: Callable[[], FoundCheckpoint | None] | None  # reads files; None: the run makes none

    async def train(self, recipe: Callable[[], Awaitable[None]]) -> None:
        """The recipe to its end, however often the learner has to be started again on the way.

        Raises:
            Stopped: the run was asked to stop, and its last checkpoint is all that is left of it.
            RunFailed: anything else that the recipe raises; the learner was lost too often, or can't be put back.
        """
        lost: LearnerLost | None = None
        while True:
            try:
                if lost is not None:
                    await self._step_back(lost)
                return await recipe()
            except LearnerLost as failure:
                lost = failure

    async def _step_back(self, lost: LearnerLost) -> None:
        self.record.event("learner_lost", str(lost))
        self.loop.is_between_steps = False  # whatever the learner holds until this is through, it is of no step
        if self.last_checkpoint is None:
            raise RunFailed(f"{lost}; with checkpoint.every_steps 0 there is nothing to go on from") from lost
        if (wait_s := self.next_wait_s()) is None:
            raise RunFailed(f"{lost}; it was started again fleet.max_restarts times before") from lost
        with suppress(Stopped):
            await self.loop.stop.before(asyncio.sleep(wait_s))
        try:
            found = await self._patiently(asyncio.to_thread(self.last_checkpoint), "the last checkpoint to be read")
            start = position_of(found.state) if found else RunPosition()
            if found is not None and self.loop.stop.is_asked:
                self._end_at(start, lost)
            self.record.note(f"{lost}; the learner is started again and goes on after step {start.step}")
            await self._put_back(found)
        except (BadInput, CheckpointFailed) as damage:  # nobody gave us those files: the run wrote them itself
            raise RunFailed(f"{lost}; the learner can't be put back: {damage}") from damage
        self.record.cut_back(start.step)
        await self._push(start)
        self.feed.step_back(step=start.step, version=self.loop.position.policy_version)
        self.loop.is_between_steps = True
        self.record.event("learner_restarted", f"after step {start.step}", found.path.name if found else "")

    def _end_at(self, start: RunPosition, lost: LearnerLost) -> NoReturn:
        """No step will follow: what the next start goes on from is there, and ranks would be started for nothing."""
        self.record.note(f"{lost}; the run was asked to stop: it ends after step {start.step}")
        self.record.cut_back(start.step)
        self.loop.position = start
        raise Stopped

    async def _put_back(self, found: FoundCheckpoint | None) -> None:
        try:
            await self.restart()
        except RunFailed as failure:  # a rank died again while it was loading: one more try, within the budget
            raise LearnerLost(f"the learner could not be started again: {failure}") from failure
        if found is not None:
            await self._patiently(self.loop.learner.load(str(found.learner)), f"{found.path.name} to be loaded")

    async def _patiently(self, work: Awaitable[Result], what: str) -> Result:
        return await patiently(work, what, on_wait=self.record.waiting)

    async def _push(self, start: RunPosition) -> None:
        """The old weights under a new version: versions only go up."""
        self.loop.last_version += 1
        version = self.loop.last_version
        await self._patiently(self.loop.learner.push_weights(version), "the weight push")
        self.loop.position = replace(start, policy_version=version)
