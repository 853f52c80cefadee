"""Evaluate while training goes on: after every so many steps, beside the rollouts and the learning of the next one.

An evaluation needs the same weights from its first response to its last. So new weights are pushed only when it is
over: `finished` is awaited before every push.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

from contracts.config.data import EvaluationData
from driver.evaluation.results import Moment, moment_of


@dataclass(kw_only=True)
class StepEvaluations:
    """Evaluate the policy after some of the steps."""

    settings: EvaluationData
    last_step: int
    measure: Callable[[Moment], Coroutine[None, None, None]]
    push: Callable[[], Awaitable[None]] | None = None
    """Sends the weights before an evaluation, where training itself sends none (SFT): the steps wait for it."""
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    async def after_step(self, step: int) -> None:
        """Begin an evaluation if one is due; where training pushes no weights, also end it.

        Raises:
            RunFailed: the policy's workers failed.
        """
        if not self.is_due(step):
            return
        await self.finished()
        if self.push is None:
            self._running = asyncio.create_task(self.measure(moment_of(step)))
            return
        await self.push()
        await self.measure(moment_of(step))

    def is_due(self, step: int) -> bool:
        """Return whether the policy is to be evaluated after a step; after the last one, "after" does it."""
        every, is_last = self.settings.every_steps, step >= self.last_step
        return every != "off" and step > 0 and step % every == 0 and not (is_last and self.settings.after)

    async def finished(self) -> None:
        """Wait until no evaluation is running.

        Raises:
            RunFailed: the policy's workers failed.
        """
        if self._running is not None:
            await self._running
            self._running = None

    async def cancel(self) -> None:
        """End a running evaluation without a result: the run ends."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._running
            self._running = None
