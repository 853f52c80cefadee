"""Run one vLLM engine in a Ray actor: a policy worker with the learner's weights, or one whose weights never change.

Imports no vLLM by itself: the driver imports this module to start the workers.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

import ray

from actors.generation.engine import GenerationEngine
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import RequestFailed
from actors.remote.memory import ProcessMemory, this_process_memory
from actors.remote.process import ProcessInfo, this_process
from actors.remote.progress import Progress
from actors.weight_sync.buckets import WeightBucket, WeightManifest
from contracts.config.device_defaults import Device
from contracts.config.workers import EngineConfig, WeightBackend
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

Samples = tuple[Rollout, ...]

Outcome = Samples | StaleEngine | DeadEngine | RequestFailed
"""The result of one request. An error is a value here: it concerns this request only, and the others in the message
are answered."""


class SamplingEngine(Protocol):
    """The part of a generation engine that takes samplings."""

    def submit_all(self, requests: Sequence[SamplingRequest]) -> "list[Future[Samples]]": ...


async def as_they_finish(
    engine: SamplingEngine, requests: Sequence[SamplingRequest]
) -> AsyncIterator[tuple[str, Outcome]]:
    """Yield each request's id with its samples, or with the reason why there are none, as soon as it is finished."""

    async def answer(request: SamplingRequest, result: "Future[Samples] | Exception") -> tuple[str, Outcome]:
        try:
            return request.request_id, await _samples(result)
        except (StaleEngine, DeadEngine) as failure:
            return request.request_id, type(failure)(str(failure))
        except Exception as failure:  # noqa: BLE001 - the caller gets it as the error of this request
            return request.request_id, RequestFailed(f"{type(failure).__name__}: {failure}")

    answers = [answer(*pair) for pair in zip(requests, _submit(engine, requests), strict=True)]
    for finished in asyncio.as_completed(answers):
        yield await finished


def _submit(engine: SamplingEngine, requests: Sequence[SamplingRequest]) -> "list[Future[Samples] | Exception]":
    """Submit all requests into the same step; one by one if the engine refuses one of them."""
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
class EngineWorker:
    """Own a process with one engine and forward calls to it.

    With a `weight_backend` the engine follows the learner's weights, and refuses to sample until it has received them:
    all weights, or (adapters) LoRA adapters of rank `lora_rank`.
    Without one it keeps the weights of its model, and its rollouts carry version 0: the pivot, or the policy of an
    evaluation.
    """

    def __init__(
        self, config: EngineConfig, device: Device, weight_backend: WeightBackend | None = None, lora_rank: int = 0
    ) -> None:
        self._start = lambda: GenerationEngine(
            config, device=device, weight_backend=weight_backend, lora_rank=lora_rank
        )

    async def process(self) -> ProcessInfo:
        """Return where this process runs, also before the model is loaded: a failed load is explained in its log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the model. Call it once, before any other question."""
        self._engine = await asyncio.to_thread(self._start)
        return this_process()

    async def heartbeat(self) -> Progress:
        """Answer between two steps of the engine, so that an engine that hangs is silent.

        Raises:
            DeadEngine: the engine has ended.
        """
        return await asyncio.wrap_future(self._engine.heartbeat())

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Outcome]]:
        """Stream the samples in the order in which requests finish (call it with num_returns="streaming")."""
        async for answer in as_they_finish(self._engine, requests):
            yield answer

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """Return [N] probabilities under the weights served now; the driver asks before it pushes new weights."""
        return await asyncio.wrap_future(self._engine.answer_probabilities(request))

    async def memory(self) -> ProcessMemory:
        """Return the memory of this process."""
        return this_process_memory(with_children=True)

    async def stats(self) -> dict[str, float]:
        """Return the engine's counters since the start and its load now."""
        return self._engine.stats()

    async def policy_version(self) -> int | None:
        """Return the version of the weights that are served; None while the engine is stale."""
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

    async def sleep(self) -> bool:
        """Give up the GPU's memory. Returns whether the weights were kept, in host memory."""
        return await asyncio.wrap_future(self._engine.sleep())

    async def wake_weights(self) -> bool:
        """Take memory for the weights: they are those of before, or must be sent. Returns True."""
        await asyncio.wrap_future(self._engine.wake_weights())
        return True

    async def wake_cache(self) -> bool:
        """Take memory for the cache, and go on sampling. Returns True."""
        await asyncio.wrap_future(self._engine.wake_cache())
        return True

    async def checksums(self) -> dict[str, str]:
        """Return the checksum of every tensor of the last update, by the learner's names."""
        return await asyncio.wrap_future(self._engine.weight_checksums())
