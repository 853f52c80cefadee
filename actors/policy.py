"""Ray shell of a policy worker: owns a process with a vLLM engine, and forwards to it.

Imports no vLLM by itself: the driver imports this module to start the workers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future

import ray

from actors.generation.engine import GenerationEngine
from actors.generation.process import Device
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import RequestFailed
from actors.remote.process import ProcessInfo, this_process
from actors.weight_sync.buckets import WeightBackend, WeightBucket, WeightManifest
from contracts.config.run import PolicyConfig
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

Samples = tuple[Rollout, ...]


Outcome = Samples | StaleEngine | DeadEngine | RequestFailed
"""Of one request. An error is a value here: it is this request's alone, the others in the message are answered."""


async def as_they_finish(
    engine: GenerationEngine, requests: Sequence[SamplingRequest]
) -> AsyncIterator[tuple[str, Outcome]]:
    """Each request's id with its group, or with why there is none, as soon as it is finished."""

    async def answer(request: SamplingRequest, result: "Future[Samples] | Exception") -> tuple[str, Outcome]:
        try:
            return request.request_id, await _samples(result)
        except (StaleEngine, DeadEngine) as failure:
            return request.request_id, type(failure)(str(failure))
        except Exception as failure:  # noqa: BLE001 - told to whoever waits; the fleet makes it the caller's error
            return request.request_id, RequestFailed(f"{type(failure).__name__}: {failure}")

    answers = [answer(*pair) for pair in zip(requests, _submit(engine, requests), strict=True)]
    for finished in asyncio.as_completed(answers):
        yield await finished


def _submit(engine: GenerationEngine, requests: Sequence[SamplingRequest]) -> "list[Future[Samples] | Exception]":
    """All into the same step; where one of them is refused, each by itself."""
    try:
        return list(engine.submit_all(requests))
    except ValueError as failure:
        if len(requests) == 1:
            return [failure]
        return [result for request in requests for result in _submit(engine, [request])]
    except (StaleEngine, DeadEngine) as failure:
        return [failure] * len(requests)


async def _samples(result: "Future[Samples] | Exception") -> Samples:
    if isinstance(result, Exception):
        raise result
    return await asyncio.wrap_future(result)


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
        self._engine = await asyncio.to_thread(self._start)
        return this_process()

    async def heartbeat(self) -> None:
        """Answers between two steps of the engine, so that one that hangs is silent. Raises DeadEngine."""
        await asyncio.wrap_future(self._engine.heartbeat())

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Outcome]]:
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
