"""Start the workers of a role with the first request that needs them."""

import asyncio
from collections.abc import Awaitable, Callable

from contracts.ports import Generator
from contracts.rollouts import Rollout, SamplingRequest


class OnDemand:
    """Sample with a generator that the first request starts. All requests wait for the same start."""

    def __init__(self, start: Callable[[], Awaitable[Generator]]) -> None:
        self._start = start
        self._starting: asyncio.Future[Generator] | None = None

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return one rollout per seed. After a start that failed, the next request tries to start again.

        Raises:
            RunFailed: the generator could not be started, or failed.
        """
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.ensure_future(self._start())
        generator = await asyncio.shield(self._starting)  # a request that is cancelled stops no other one's start
        return await generator.sample(request)

    async def close(self) -> None:
        """Give up a start that is under way."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
