"""Ray shell of a pivot worker: owns a process with a frozen vLLM engine, and forwards to it."""

from collections.abc import AsyncIterator

import ray

from actors.engine import Device, GenerationEngine
from actors.policy import Samples, as_they_finish
from actors.process import ProcessInfo, this_process
from driver.config import PivotConfig
from driver.schema import SamplingRequest


@ray.remote
class PivotWorker:
    """An engine whose weights never change; its rollouts carry version 0."""

    def __init__(self, config: PivotConfig, device: Device) -> None:
        self._engine = GenerationEngine(config, device=device)

    async def ready(self) -> ProcessInfo:
        return this_process()

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Samples]]:
        """A stream of groups, in the order in which they finish (call it with num_returns="streaming")."""
        async for answer in as_they_finish(self._engine, requests):
            yield answer

    async def stats(self) -> dict[str, float]:
        return self._engine.stats()
