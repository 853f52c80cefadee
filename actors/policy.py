"""Ray shell of a policy worker: owns a process with a vLLM engine, and forwards to it.

Imports no vLLM by itself: the driver imports this module to start the workers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import ray

from actors.engine import GenerationEngine
from actors.engine_process import Device
from actors.process import ProcessInfo, this_process
from actors.weight_buckets import WeightBackend, WeightBucket, WeightManifest
from driver.config import PolicyConfig
from driver.schema import AnswerProbabilityRequest, Rollout, SamplingRequest

Samples = tuple[Rollout, ...]


async def as_they_finish(
    engine: GenerationEngine, requests: Sequence[SamplingRequest]
) -> AsyncIterator[tuple[str, Samples]]:
    """Each group with its request's id, as soon as it is finished."""

    async def answer(request_id: str, result: asyncio.Future[Samples]) -> tuple[str, Samples]:
        return request_id, await result

    results = [asyncio.wrap_future(result) for result in engine.submit_all(requests)]
    names = [request.request_id for request in requests]
    for finished in asyncio.as_completed([answer(*pair) for pair in zip(names, results, strict=True)]):
        yield await finished


@ray.remote
class PolicyWorker:
    """An engine that follows the learner's weights; it refuses to sample until it has received them."""

    def __init__(self, config: PolicyConfig, device: Device, weight_backend: WeightBackend) -> None:
        self._start = lambda: GenerationEngine(config, device=device, weight_backend=weight_backend)

    async def process(self) -> ProcessInfo:
        """Answers before the model is loaded: a load that fails leaves its reason in this process's log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the model; to be called once, before anything else is asked."""
        self._engine = self._start()
        return this_process()

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Samples]]:
        """A stream of groups, in the order in which they finish (call it with num_returns="streaming")."""
        async for answer in as_they_finish(self._engine, requests):
            yield answer

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """By the weights served now; the driver asks before it has the learner push new ones."""
        return await asyncio.wrap_future(self._engine.answer_probabilities(request))

    async def stats(self) -> dict[str, float]:
        return self._engine.stats()

    async def policy_version(self) -> int | None:
        """None while stale."""
        return self._engine.policy_version

    async def init_weight_transfer(self, info: Mapping[str, object]) -> None:
        await asyncio.wrap_future(self._engine.init_weight_transfer(info))

    async def start_weight_update(self, manifest: WeightManifest) -> None:
        await asyncio.wrap_future(self._engine.start_weight_update(manifest))

    async def receive_bucket(self, bucket: WeightBucket) -> None:
        await asyncio.wrap_future(self._engine.receive_bucket(bucket))

    async def update_weights(self, info: Mapping[str, object]) -> None:
        await asyncio.wrap_future(self._engine.update_weights(info))

    async def finish_weight_update(self, policy_version: int) -> None:
        await asyncio.wrap_future(self._engine.finish_weight_update(policy_version))

    async def abandon_weight_update(self) -> None:
        await asyncio.wrap_future(self._engine.abandon_weight_update())

    async def checksums(self) -> dict[str, str]:
        return await asyncio.wrap_future(self._engine.weight_checksums())
