"""One vLLM engine: requests in, rollouts or answer probabilities out, for a policy the learner's weights in between.

Owns vLLM's arguments and what vLLM has been given. Knows no Ray: a Ray actor owns one and forwards to it.
actors/generation/step_loop.py drives the steps, actors/generation/outputs.py reads what comes of them;
actors/generation/process.py sets what vLLM reads when it is imported.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from actors.generation.outputs import FinishedRequest, read_answer_probability, read_rollout
from actors.generation.process import Device, prepare_process
from actors.generation.requests import check_answer_request, check_request
from actors.generation.step_loop import Outcome, Request, StepLoop
from actors.weight_sync.buckets import WeightBackend, WeightBucket, WeightManifest
from actors.weight_sync.receiver import WeightUpdates
from contracts.config.run import EngineConfig
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

if TYPE_CHECKING:  # vLLM reads its environment when it is imported, so prepare_process comes first
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.llm_engine import LLMEngine

Reader: TypeAlias = Callable[[FinishedRequest], Outcome]

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

    def answer_probabilities(self, request: AnswerProbabilityRequest) -> "Future[tuple[float, ...]]":
        """Mean probability of the answer's tokens after each prompt, in [0, 1], by the weights served meanwhile.

        At temperature 1, whatever samples are drawn at. NaN for a prompt that, with the answer, is too long for
        max_model_len. Raises as `submit`.
        """
        check_answer_request(request)
        return self._loop.submit([request])[0]

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
        """Serve the new weights. Samples under way go on with them; each token is stamped with what drew it."""
        return self._loop.call(lambda decoder: decoder.finish_update(policy_version))

    def abandon_weight_update(self) -> "Future[None]":
        """Clear an update that will not be finished; the engine is stale afterwards."""
        return self._loop.call(lambda decoder: decoder.weights.abandon())

    def weight_checksums(self) -> "Future[dict[str, str]]":
        """Checksum of every tensor of the last update, by the learner's names, read from the model that samples."""
        return self._loop.call(lambda decoder: decoder.weights.checksums())

    def heartbeat(self) -> "Future[None]":
        """Done between two steps: the engine lives and gets on. Raises DeadEngine once it has ended."""
        return self._loop.call(lambda decoder: None)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """A sample that vLLM has."""

    vllm_id: str
    request: Request
    index: int  # of its seed or prompt
    read: Reader


class VllmDecoder:
    """vLLM as the step loop drives it (step_loop.Decoder). Lives in one thread."""

    def __init__(self, config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None) -> None:
        prepare_process(config, device)
        self._max_model_len = config.max_model_len
        self._vllm = _build(config, device=device, weight_backend=weight_backend)
        self._updates = None
        if weight_backend is None:
            self._vllm.set_weight_version(str(FROZEN_VERSION))
        else:
            tensor_parallel_size = config.tensor_parallel_size
            self._updates = WeightUpdates(self._vllm, backend=weight_backend, tensor_parallel_size=tensor_parallel_size)
        self._num_updates = 0  # finished
        self._given: dict[str, _Given] = {}  # samples that vLLM has and has not finished, in the order of their coming
        self._too_long: list[str] = []  # samples that it has not been given

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

    def finish_update(self, policy_version: int) -> None:
        """Serve the new weights. A sample that waits for its first token starts again: its prompt is computed anew."""
        self.weights.finish(policy_version)
        self._num_updates += 1
        states = self._vllm.output_processor.request_states
        waiting = {sample_id: given for sample_id, given in self._given.items() if states[given.vllm_id].is_prefilling}
        self.abort(list(waiting))
        for sample_id, given in waiting.items():
            self.add(sample_id, given.request, index=given.index)

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        from vllm.exceptions import VLLMValidationError

        try:
            if isinstance(request, SamplingRequest):
                parameters, read = _sampling_params(request, request.seeds[index]), read_rollout
                vllm_id = self._give(sample_id, request.prompt_token_ids, parameters)
            else:
                prompt = request.prompts[index] + request.answer_token_ids
                if len(prompt) >= self._max_model_len:  # vLLM always draws a token more
                    self._too_long.append(sample_id)
                    return
                read = partial(read_answer_probability, num_tokens=len(request.answer_token_ids))
                vllm_id = self._give(sample_id, prompt, _answer_params())
        except VLLMValidationError as failure:  # no ValueError
            raise ValueError(f"request {request.request_id}: vLLM refuses it: {failure}") from failure
        self._given[sample_id] = _Given(vllm_id=vllm_id, request=request, index=index, read=read)

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        from vllm import RequestOutput

        finished: list[tuple[str, Outcome | Exception]] = [(sample_id, math.nan) for sample_id in self._too_long]
        self._too_long.clear()
        for output in self._vllm.step():
            if isinstance(output, RequestOutput) and output.finished and output.request_id in self._given:
                finished.append((output.request_id, _read_or_error(output, self._given.pop(output.request_id).read)))
        return finished

    def abort(self, sample_ids: list[str]) -> None:
        for sample_id in sample_ids:
            self._given.pop(sample_id, None)
        self._too_long = [sample_id for sample_id in self._too_long if sample_id not in sample_ids]
        self._vllm.abort_request(sample_ids)

    def _give(self, sample_id: str, prompt: Sequence[int], parameters: "SamplingParams") -> str:
        """vLLM's own id of the sample."""
        from vllm.inputs.engine import tokens_input

        # The salt keeps keys and values from samples that begin under other weights, even those that an update finds
        # half-way. It counts updates: a learner that was restarted may give other weights the number of a version.
        salted = tokens_input(list(prompt), cache_salt=f"update-{self._num_updates}")
        return self._vllm.add_request(sample_id, salted, parameters)

    def close(self) -> None:
        self._vllm.engine_core.shutdown()


def _read_or_error(output: "RequestOutput", read: Reader) -> Outcome | Exception:
    try:
        return read(output)
    except ValueError as failure:
        return RuntimeError(f"sample {output.request_id} can't be used: {failure}")


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


def _answer_params() -> "SamplingParams":
    """A pass over the prompt, with the log-probability of each of its tokens; the one token drawn is thrown away."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=0,  # the prompt's own, at temperature 1; vLLM reads no prefix cache then, it would have none
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _build(config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None) -> "LLMEngine":
    from vllm.config import WeightTransferConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    from actors.generation.vocabulary_mask import mask_padding_rows

    if current_platform.is_cpu() != (device == "cpu"):
        raise RuntimeError(
            f"the run wants {device}, but the installed vLLM is built for {current_platform.device_type}; install the "
            "requirements for this device, or set cluster.device"
        )
    if weight_backend is not None:
        import actors.weight_sync.vllm_transfer  # noqa: F401 - registers object_store with vLLM
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
    mask_padding_rows(arguments)
    return LLMEngine.from_engine_args(arguments)
