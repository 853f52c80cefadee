"""One vLLM engine: sampling requests in, rollouts out, and for a policy the learner's weights in between.

Owns vLLM's process settings, its arguments, and the reading of its outputs. Knows no Ray: actors/policy.py and
actors/pivot.py are the shells around it. The loop that drives the steps is actors/step_loop.py.
"""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

import torch

from actors.step_loop import StepLoop
from actors.weight_buckets import WeightBackend, WeightBucket, WeightManifest
from actors.weight_updates import WeightUpdates
from driver.config import EngineConfig
from driver.schema import Rollout, SamplingRequest

if TYPE_CHECKING:  # vLLM reads its environment when it is imported, so _prepare_process comes first
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput
    from vllm.v1.engine.llm_engine import LLMEngine

Device = Literal["cpu", "cuda"]

FROZEN_VERSION = 0  # of an engine whose weights never change


class GenerationEngine:
    """Samples responses with vLLM. Safe to use from any thread; only the constructor and `close` block."""

    def __init__(self, config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None = None) -> None:
        """Load the model. With a `weight_backend` it is a policy: stale until its first weight update."""
        self._config = config
        self._loop = StepLoop(
            lambda: VllmDecoder(config, device=device, weight_backend=weight_backend), name="vllm-steps"
        )

    def submit(self, request: SamplingRequest) -> "Future[tuple[Rollout, ...]]":
        """Sample one group: its rollouts, in the order of the seeds. Raises StaleEngine, DeadEngine or ValueError."""
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[SamplingRequest]) -> "list[Future[tuple[Rollout, ...]]]":
        """Sample groups that enter the same step, and so are decoded together."""
        for request in requests:
            check_request(request, max_model_len=self._config.max_model_len)
        return self._loop.submit(requests)

    def init_weight_transfer(self, info: Mapping[str, object]) -> "Future[None]":
        """nccl: join the sender's group."""
        return self._loop.call(lambda decoder: decoder.weights.init_transfer(info))

    def start_weight_update(self, manifest: WeightManifest) -> "Future[None]":
        """Pause sampling and expect the tensors of the manifest. Clears an update that was left half-done."""
        return self._loop.call(lambda decoder: decoder.weights.start(manifest))

    def receive_bucket(self, bucket: WeightBucket) -> "Future[None]":
        """object_store: load one bucket."""
        return self.update_weights({"bucket": bucket})

    def update_weights(self, info: Mapping[str, object]) -> "Future[None]":
        """nccl: load what vLLM's own sender announces."""
        return self._loop.call(lambda decoder: decoder.weights.update(info))

    def finish_weight_update(self, policy_version: int) -> "Future[None]":
        """Serve the new weights. Samples under way go on with them, stamped with the version they began with."""
        return self._loop.call(lambda decoder: decoder.weights.finish(policy_version))

    def abandon_weight_update(self) -> "Future[None]":
        """Clear an update that will not be finished; the engine is stale afterwards."""
        return self._loop.call(lambda decoder: decoder.weights.abandon())

    def weight_checksums(self) -> "Future[dict[str, str]]":
        """Checksum of every tensor of the last update, by the learner's names, read from the model that samples."""
        return self._loop.call(lambda decoder: decoder.weights.checksums())

    @property
    def policy_version(self) -> int | None:
        """None while stale."""
        return self._loop.version

    def stats(self) -> dict[str, float]:
        """Counters since the start (tokens of finished samples, seconds in steps) and the load now, in samples."""
        stats = self._loop.stats()
        running = min(stats.num_samples, self._config.max_num_seqs)
        return {
            "tokens": float(stats.tokens),
            "busy_s": stats.busy_s,
            "running": float(running),
            "waiting": float(stats.num_samples - running),
        }

    def close(self) -> None:
        """Free the model; what is under way fails."""
        self._loop.close()


class VllmDecoder:
    """vLLM as the step loop drives it (step_loop.Decoder). Lives in one thread."""

    def __init__(self, config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None) -> None:
        _prepare_process(config, device)
        self._vllm = _build(config, device=device, weight_backend=weight_backend)
        self._updates = None
        if weight_backend is not None:
            tensor_parallel_size = config.tensor_parallel_size
            self._updates = WeightUpdates(self._vllm, backend=weight_backend, tensor_parallel_size=tensor_parallel_size)
        self._versions: dict[str, int] = {}  # of the samples under way

    @property
    def version(self) -> int | None:
        return self._updates.policy_version if self._updates else FROZEN_VERSION

    @property
    def is_paused(self) -> bool:
        return self._updates is not None and self._updates.is_open

    @property
    def weights(self) -> WeightUpdates:
        if self._updates is None:
            raise ValueError("this engine is frozen: its weights can't be updated")
        return self._updates

    def add(self, sample_id: str, request: SamplingRequest, *, seed: int, version: int) -> None:
        from vllm.exceptions import VLLMValidationError
        from vllm.inputs.engine import tokens_input

        # The salt keeps keys and values that one version computed from being reused under another.
        prompt = tokens_input(list(request.prompt_token_ids), cache_salt=f"version-{version}")
        try:
            self._vllm.add_request(sample_id, prompt, _sampling_params(request, seed))
        except VLLMValidationError as failure:  # no ValueError
            raise ValueError(f"request {request.request_id}: vLLM refuses it: {failure}") from failure
        self._versions[sample_id] = version

    def step(self) -> list[tuple[str, Rollout | Exception]]:
        from vllm import RequestOutput

        finished: list[tuple[str, Rollout | Exception]] = []
        for output in self._vllm.step():
            if isinstance(output, RequestOutput) and output.finished and output.request_id in self._versions:
                version = self._versions.pop(output.request_id)
                finished.append((output.request_id, _read_or_error(output.request_id, output.outputs[0], version)))
        return finished

    def abort(self, sample_ids: list[str]) -> None:
        for sample_id in sample_ids:
            self._versions.pop(sample_id, None)
        self._vllm.abort_request(sample_ids)

    def close(self) -> None:
        self._vllm.engine_core.shutdown()


def check_request(request: SamplingRequest, *, max_model_len: int) -> None:
    """Raise ValueError for a request that vLLM would refuse, or cut short without a word."""
    length = len(request.prompt_token_ids)
    if not length or not request.seeds or request.max_tokens < 1 or request.temperature < 0:
        raise ValueError(
            f"request {request.request_id} has {length} prompt tokens, {len(request.seeds)} seeds, max_tokens "
            f"{request.max_tokens} and temperature {request.temperature:g}; the first three must be at least 1, the "
            "temperature at least 0"
        )
    if length + request.max_tokens > max_model_len:
        raise ValueError(
            f"request {request.request_id}: a prompt of {length} tokens leaves no room for a response of "
            f"{request.max_tokens} in max_model_len {max_model_len}; shorten the prompt or raise max_model_len"
        )


def read_rollout(completion: "CompletionOutput", *, policy_version: int) -> Rollout:
    """vLLM's output as a rollout. Raises ValueError where a log-probability is missing or no number."""
    from vllm.logprobs import FlatLogprobs

    if completion.finish_reason not in ("stop", "length"):
        raise ValueError(f"vLLM ended it with finish_reason {completion.finish_reason!r}")
    flat = completion.logprobs
    if not isinstance(flat, FlatLogprobs) or len(flat) != len(completion.token_ids):
        found = "no" if flat is None else str(len(flat))
        raise ValueError(f"vLLM returned {found} log-probabilities for {len(completion.token_ids)} tokens")
    logprobs = []
    for place, (token, start, end) in enumerate(
        zip(completion.token_ids, flat.start_indices, flat.end_indices, strict=True)
    ):
        # By token id, not by rank: the drawn token need not be the first of its position.
        found = [flat.logprobs[at] for at in range(start, end) if flat.token_ids[at] == token]
        if not found or not math.isfinite(found[0]):
            raise ValueError(f"token {token} at place {place} has log-probability {found[0] if found else 'missing'}")
        logprobs.append(float(found[0]))
    return Rollout(
        token_ids=tuple(completion.token_ids),
        logprobs=tuple(logprobs),
        text=completion.text,
        finish_reason=completion.finish_reason,
        policy_version=policy_version,
    )


def _read_or_error(sample_id: str, completion: "CompletionOutput", version: int) -> Rollout | Exception:
    try:
        return read_rollout(completion, policy_version=version)
    except ValueError as failure:
        return RuntimeError(f"sample {sample_id} can't be used: {failure}")


def _sampling_params(request: SamplingRequest, seed: int) -> "SamplingParams":
    """No top-p, no top-k, no penalties: the log-probabilities must be those of the whole distribution."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=request.temperature,
        top_p=1.0,
        top_k=-1,
        seed=seed if request.temperature > 0 else None,
        max_tokens=request.max_tokens,
        logprobs=0,  # the drawn token's alone
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _prepare_process(config: EngineConfig, device: Device) -> None:
    """Settings that vLLM reads from the environment, before it is imported."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if device == "cpu":
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # Ray shares out the cores; pinned actors would collide
        os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)  # whole GiB only, and it would overrule kv_cache_gib
        torch.set_num_threads(max(1, math.floor(config.num_cpus)))
        # Without this vLLM compiles one small helper of its sampler when the first token is drawn: up to half a minute,
        # and a C++ compiler, for less than a millisecond a step.
        torch._dynamo.config.disable = True
        # Linux wants to be asked before a process uses AMX tiles. vLLM's attention uses them without asking, and with a
        # small model nothing else in the process has asked before: it would die of an illegal instruction.
        torch.cpu._init_amx()


def _build(config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None) -> "LLMEngine":
    from vllm.config import WeightTransferConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    if current_platform.is_cpu() != (device == "cpu"):
        raise RuntimeError(
            f"the run wants {device}, but the installed vLLM is built for {current_platform.device_type}; install the "
            "requirements for this device, or set cluster.device"
        )
    if weight_backend is not None:
        import actors.weight_transfer  # noqa: F401 - registers object_store with vLLM
    on_cpu = device == "cpu"
    arguments = EngineArgs(
        model=config.model,
        trust_remote_code=config.trust_remote_code,
        dtype=config.dtype,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        gpu_memory_utilization=config.gpu_memory_utilization,
        kv_cache_memory_bytes=int(config.kv_cache_gib * 2**30) if on_cpu else None,
        tensor_parallel_size=config.tensor_parallel_size,
        distributed_executor_backend="uni" if config.tensor_parallel_size == 1 else "mp",
        enforce_eager=on_cpu,
        # A prompt cut into chunks makes vLLM 0.32 rewind the request's random generator, which torch can't on a CPU.
        enable_chunked_prefill=None if not on_cpu else False,
        max_num_batched_tokens=max(config.max_model_len, 2048) if on_cpu else None,
        enable_prefix_caching=True,
        logprobs_mode="processed_logprobs",
        generation_config="vllm",  # a model's own temperature or top-p would change what the log-probabilities mean
        # One step may still run on the GPU while the next is planned: a policy's weights must not change under it.
        async_scheduling=False if weight_backend else None,
        weight_transfer_config=WeightTransferConfig(backend=weight_backend) if weight_backend else None,
        disable_log_stats=True,
    )
    return LLMEngine.from_engine_args(arguments)
