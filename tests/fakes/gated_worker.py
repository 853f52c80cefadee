"""A plain Ray actor in an engine's place, in a module of its own: its process imports no engine."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import ray

from actors.remote.process import ProcessInfo, this_process
from contracts.rollouts import Rollout, SamplingRequest


@ray.remote
class GatedWorker:
    """Answers each request with its process's number and seeds, once `gate` exists."""

    def __init__(self, gate: str) -> None:
        self._gate = Path(gate)

    async def process(self) -> ProcessInfo:
        return this_process()

    async def ready(self) -> ProcessInfo:
        return this_process()

    async def heartbeat(self) -> None:
        return

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, tuple[Rollout, ...]]]:
        while not self._gate.exists():
            await asyncio.sleep(0.05)
        for asked in requests:
            yield asked.request_id, tuple(_rollout(f"{os.getpid()} {seed}") for seed in asked.seeds)


def _rollout(text: str) -> Rollout:
    return Rollout(token_ids=(1,), logprobs=(0.0,), text=text, finish_reason="stop", token_versions=(0,))
