"""Ray shell of a pivot worker: owns a process with a frozen vLLM engine, and forwards to it."""

import asyncio
from collections.abc import AsyncIterator

import ray

from actors.generation.engine import GenerationEngine
from actors.generation.process import Device
from actors.policy import Outcome, as_they_finish
from actors.remote.process import ProcessInfo, this_process
from contracts.config.run import PivotConfig
from contracts.rollouts import SamplingRequest


@ray.remote
class PivotWorker:
    """An engine whose weights never change; its rollouts carry version 0."""

    def __init__(self, config: PivotConfig, device: Device) -> None:
        self._start = lambda: GenerationEngine(config, device=device)

    async def process(self) -> ProcessInfo:
        """Answers before the model is loaded: a load that fails leaves its reason in this process's log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the model; to be called once, before anything else is asked."""
        self._engine = await asyncio.to_thread(self._start)
        return this_process()

    async def heartbeat(self) -> None:
        """Answers between two steps of the engine, so that one that hangs is silent. Raises DeadEngine."""
        await asyncio.wrap_future(self._engine.heartbeat())

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Outcome]]:
        """A stream of groups, in the order in which they finish (call it with num_returns="streaming")."""
        async for answer in as_they_finish(self._engine, requests):
            yield answer

    async def stats(self) -> dict[str, float]:
        return self._engine.stats()
