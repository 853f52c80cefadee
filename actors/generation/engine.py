"""Run one vLLM engine: requests in, rollouts or answer probabilities out; a policy also gets the learner's weights.

Keeps which samples vLLM has. The process must be prepared before vLLM is imported. Must not import Ray: a Ray actor
owns an engine and forwards to it.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from actors.generation.outputs import (
    FinishedRequest,
    read_answer_likelihood,
    read_answer_probability,
    read_rollout,
)
from actors.generation.process import prepare_process
from actors.generation.requests import check_answer_request, check_request
from actors.generation.sleep import SleepLevel, free_host_bytes, sleep_level
from actors.generation.step_loop import Outcome, Request, StepLoop
from actors.generation.texts import ResponseTexts
from actors.generation.thinking import ThinkingReader, Tokenizer
from actors.generation.vllm_build import build_engine
from actors.remote.freed_memory import give_back_freed_memory
from actors.remote.progress import Progress
from actors.weight_sync.adapter_layout import ADAPTER_ID
from actors.weight_sync.adapter_receiver import AdapterUpdates
from actors.weight_sync.buckets import WeightBucket, WeightManifest
from actors.weight_sync.receiver import WeightUpdates
from actors.weight_sync.updates import EngineUpdates
from contracts.config.device_defaults import Device
from contracts.config.section import decided
from contracts.config.workers import EngineConfig, WeightBackend
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from contracts.stop_tokens import token_ids_of

if TYPE_CHECKING:  # vLLM reads its environment when it is imported, so prepare_process comes first
    from torch import nn
    from vllm import RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.tokenizers import TokenizerLike
    from vllm.v1.engine.core_client import InprocClient

Reader: TypeAlias = Callable[[FinishedRequest], Outcome]

FROZEN_VERSION = 0  # the policy version of an engine whose weights never change


class GenerationEngine:
    """Sample responses with vLLM. Safe to use from any thread; only the constructor and `close` block."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        device: Device,
        weight_backend: WeightBackend | None = None,
        lora_rank: int = 0,
    ) -> None:
        """Load the model. With a `weight_backend` it is a policy engine: stale until its first weight update.

        `lora_rank` is the rank of the adapters that it gets (adapters).

        Raises:
            BadInput: the installed vLLM is built for another device, or can't apply adapters to the model.
        """
        self._config = config
        self._loop = StepLoop(
            lambda: VllmDecoder(config, device=device, weight_backend=weight_backend, lora_rank=lora_rank),
            name="vllm-steps",
            most_running=decided(config.max_num_seqs),
        )

    def submit(self, request: SamplingRequest) -> "Future[tuple[Rollout, ...]]":
        """Sample one group; the result is its rollouts in the order of the seeds.

        Raises:
            StaleEngine: the engine waits for weights.
            DeadEngine: the engine must be restarted.
            ValueError: the request is empty or too long.
        """
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[SamplingRequest]) -> "list[Future[tuple[Rollout, ...]]]":
        """Sample groups that enter the same step, and so are decoded together. Raises as `submit`."""
        for request in requests:
            check_request(request, max_model_len=self._config.max_model_len)
        return self._loop.submit(requests)

    def answer_probabilities(self, request: AnswerProbabilityRequest) -> "Future[tuple[float, ...]]":
        """Return how probable the answer is after each prompt [N], by the request's measure, with the served weights.

        It is taken at temperature 1, whatever temperature samples are drawn at. It is NaN if prompt and answer together
        are too long for max_model_len. Raises as `submit`.
        """
        check_answer_request(request)
        return self._loop.submit([request])[0]

    def init_weight_transfer(self, info: Mapping[str, object]) -> "Future[None]":
        """Join the sender's transfer group (nccl)."""
        return self._loop.call(lambda decoder: decoder.weights.init_transfer(info))

    def start_weight_update(self, manifest: WeightManifest) -> "Future[None]":
        """Pause sampling and expect the tensors of the manifest. Clears an unfinished update."""
        return self._loop.call(lambda decoder: decoder.weights.start(manifest), drains=True)

    def receive_bucket(self, bucket: WeightBucket) -> "Future[None]":
        """Load one bucket (object_store)."""
        return self.update_weights({"bucket": bucket})

    def update_weights(self, info: Mapping[str, object]) -> "Future[None]":
        """Load what vLLM's own sender announces (nccl), or one bucket."""
        return self._loop.call(lambda decoder: decoder.weights.update(info))

    def finish_weight_update(self, policy_version: int) -> "Future[None]":
        """Serve the new weights. Running samples go on with them; each token keeps the version that drew it."""
        return self._loop.call(lambda decoder: decoder.finish_update(policy_version))

    def abandon_weight_update(self) -> "Future[None]":
        """Clear an unfinished update, also one that waits for a sender who is gone. The engine is stale afterwards.

        Raises:
            DeadEngine: the update could not be interrupted; the engine must be restarted.
        """
        self._loop.interrupt()
        return self._loop.call(lambda decoder: decoder.weights.abandon())

    def sleep(self) -> "Future[bool]":
        """Give up the GPU's memory; the result says whether the weights were kept. Running samples go on afterwards."""
        return self._loop.call(lambda decoder: decoder.sleep(), drains=True)

    def wake_weights(self) -> "Future[None]":
        """Take memory for the weights, which may be updated then."""
        return self._loop.call(lambda decoder: decoder.wake_weights())

    def wake_cache(self) -> "Future[None]":
        """Take memory for the cache, and go on sampling."""
        return self._loop.call(lambda decoder: decoder.wake_cache())

    def weight_checksums(self) -> "Future[dict[str, str]]":
        """Return the checksum of every tensor of the last update in the engine's model, by the learner's names."""
        return self._loop.call(lambda decoder: decoder.weights.checksums())

    def heartbeat(self) -> "Future[Progress]":
        """Return a future that is done between two steps: it shows that the engine is alive, and how far it is.

        Raises:
            DeadEngine: the engine has ended.
        """
        return self._loop.progress()

    @property
    def policy_version(self) -> int | None:
        """Return the version of the served weights; None while stale."""
        return self._loop.version

    def stats(self) -> dict[str, float]:
        """Return counters since the start (tokens of finished samples, seconds in steps) and the load in samples."""
        stats = self._loop.stats()
        running = min(stats.num_samples, decided(self._config.max_num_seqs))
        return {
            "tokens": float(stats.tokens),
            "busy_s": stats.busy_s,
            "running": float(running),
            "waiting": float(stats.num_samples - running),
        }

    def close(self) -> None:
        """Free the model; running requests fail."""
        self._loop.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """Hold a sample that vLLM has."""

    vllm_id: str
    request: Request
    index: int  # of its seed or prompt
    read: Reader
    num_context: int | None = None  # tokens [P] before an answer, where they may come from the prefix cache

    def lacks_logprobs(self, num_cached_tokens: int) -> bool:
        """Return whether that many tokens from the prefix cache left out a log-probability of the answer.

        vLLM gives none for tokens behind which it computed nothing. Those of the answer need the places from P - 1 on.
        """
        return self.num_context is not None and num_cached_tokens >= self.num_context


class VllmDecoder:
    """Drive vLLM for the step loop, as its `Decoder`. Used by one thread only."""

    def __init__(
        self, config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None, lora_rank: int = 0
    ) -> None:
        prepare_process(config, device)
        self._max_model_len = config.max_model_len
        self._vllm = build_engine(config, device=device, weight_backend=weight_backend, lora_rank=lora_rank)
        if config.tensor_parallel_size > 1:
            self._vllm.collective_rpc("end_with_parent", args=(os.getpid(),))
        tokenizer = cast("Tokenizer", self._vllm.get_tokenizer())
        self._texts = _response_texts(self._vllm.get_tokenizer())
        self._thinking = ThinkingReader.of(tokenizer, config.thinking_markers)
        self._stop_token_ids = token_ids_of(tokenizer, config.stop_tokens)
        self._updates = self._make_updates(weight_backend, config.tensor_parallel_size, lora_rank=lora_rank)
        if self._updates is None:
            self._vllm.set_weight_version(str(FROZEN_VERSION))
        self._adapters = _policy_adapters() if weight_backend == "adapters" else None
        if self._adapters is not None and device == "cpu" and config.tensor_parallel_size == 1:
            from actors.generation.one_adapter import use_one_adapter

            self._vllm.apply_model(use_one_adapter)
        self._num_updates = 0  # finished
        self._num_engines = config.num_workers
        self._is_asleep = False
        self._sleep_level: SleepLevel | None = None  # chosen at the first sleep
        self._samples: dict[str, _Sample] = {}  # that vLLM has and has not finished, in the order of arrival
        self._too_long: list[str] = []  # ids of samples that vLLM does not get

    def _make_updates(
        self, backend: WeightBackend | None, tensor_parallel_size: int, *, lora_rank: int
    ) -> EngineUpdates | None:
        if backend is None:
            return None
        if backend == "adapters":
            return AdapterUpdates(
                self._vllm, load=self._load_adapters, rank=lora_rank, tensor_parallel_size=tensor_parallel_size
            )
        return WeightUpdates(self._vllm, backend=backend, tensor_parallel_size=tensor_parallel_size)

    @property
    def version(self) -> int | None:
        """Return the version of the weights; None if stale."""
        return self._updates.policy_version if self._updates else FROZEN_VERSION

    @property
    def is_paused(self) -> bool:
        """Return whether a weight update is open, or the engine has no GPU memory."""
        return self._is_asleep or (self._updates is not None and self._updates.is_open)

    @property
    def is_broken(self) -> bool:
        """Return whether a failed weight update has left vLLM's processes out of step."""
        return self._updates is not None and self._updates.is_broken

    def interrupt(self) -> bool:
        """Make an update that waits for its sender end with an error; return False if that can't be done."""
        return self._updates is None or self._updates.interrupt()

    @property
    def weights(self) -> EngineUpdates:
        """Return the engine's weight updates.

        Raises:
            ValueError: the engine is frozen.
        """
        if self._updates is None:
            raise ValueError("this engine is frozen: its weights can't be updated")
        return self._updates

    def finish_update(self, policy_version: int) -> None:
        """Serve the new weights. A sample that has no token yet starts again: its prompt is computed with them."""
        self.weights.finish(policy_version)
        self._num_updates += 1
        states = self._vllm.output_processor.request_states
        waiting = {name: sample for name, sample in self._samples.items() if states[sample.vllm_id].is_prefilling}
        self.abort(list(waiting))
        for sample_id, sample in waiting.items():
            self.add(sample_id, sample.request, index=sample.index)
        give_back_freed_memory()

    def sleep(self) -> bool:
        """Give up the GPU's memory; return whether the weights were kept. vLLM computes running samples' caches again.

        Without weights the engine is stale until an update.
        """
        self.weights.abandon()
        if self._sleep_level is None:
            (weight_bytes,) = self._vllm.apply_model(_num_parameter_bytes)
            self._sleep_level = sleep_level(
                weight_bytes=weight_bytes, num_copies=self._num_engines, free_bytes=free_host_bytes()
            )
        self._is_asleep = True
        self._vllm.sleep(level=self._sleep_level, mode="keep")
        if self._sleep_level == 2:
            self.weights.forget()
        return self._sleep_level == 1

    def wake_weights(self) -> None:
        """Take memory for the weights."""
        self._vllm.wake_up(tags=["weights"])

    def wake_cache(self) -> None:
        """Take memory for the cache, and go on."""
        self._vllm.wake_up(tags=["kv_cache"])
        self._is_asleep = False

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        """Give vLLM one sample: the request's seed or prompt with this index.

        Raises:
            ValueError: vLLM refuses it.
        """
        self._add(sample_id, request, index=index, reads_cache=True)

    def _add(self, sample_id: str, request: Request, *, index: int, reads_cache: bool) -> None:
        """Give vLLM one sample; `reads_cache` lets a log-likelihood take its context from the prefix cache."""
        from vllm.exceptions import VLLMValidationError

        num_context = None
        try:
            if isinstance(request, SamplingRequest):
                parameters = _sampling_params(request, request.seeds[index], stop_token_ids=self._stop_token_ids)
                read = partial(self._read_rollout, prompt_token_ids=request.prompt_token_ids)
                vllm_id = self._give(sample_id, request.prompt_token_ids, parameters)
            else:
                prompt = request.prompts[index] + request.answer_token_ids
                if len(prompt) >= self._max_model_len:  # vLLM always draws one more token
                    self._too_long.append(sample_id)
                    return
                is_likelihood = request.measure == "log_likelihood"
                reader = read_answer_likelihood if is_likelihood else read_answer_probability
                read = partial(reader, num_tokens=len(request.answer_token_ids))
                num_context = len(request.prompts[index]) if is_likelihood and reads_cache else None
                vllm_id = self._give(sample_id, prompt, _answer_params(reads_cache=num_context is not None))
        except VLLMValidationError as failure:  # not a ValueError
            raise ValueError(f"request {request.request_id}: vLLM refuses it: {failure}") from failure
        self._samples[sample_id] = _Sample(
            vllm_id=vllm_id, request=request, index=index, read=read, num_context=num_context
        )

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        """Run one step of vLLM and return the finished samples, by id."""
        from vllm import RequestOutput

        finished: list[tuple[str, Outcome | Exception]] = [(sample_id, math.nan) for sample_id in self._too_long]
        self._too_long.clear()
        for output in self._vllm.step():
            if not isinstance(output, RequestOutput) or not output.finished or output.request_id not in self._samples:
                continue
            sample = self._samples.pop(output.request_id)
            if sample.lacks_logprobs(output.num_cached_tokens or 0):
                self._add(output.request_id, sample.request, index=sample.index, reads_cache=False)
            else:
                finished.append((output.request_id, _read_or_error(output, sample.read)))
        return finished

    def drain(self) -> list[tuple[str, Outcome | Exception]]:
        """Finish the steps that vLLM has planned ahead, and return the finished samples, by id.

        What they draw is drawn with the weights of now, and vLLM notes the version when it returns a token.
        """
        core = cast("InprocClient", self._vllm.engine_core).engine_core
        finished: list[tuple[str, Outcome | Exception]] = []
        if core.batch_queue:
            core.pause_scheduler(mode="keep", clear_cache=False)  # plan nothing more
            while core.batch_queue:
                finished += self.step()
            core.resume_scheduler()
        return finished

    def _read_rollout(self, output: FinishedRequest, *, prompt_token_ids: Sequence[int]) -> Rollout:
        """Return vLLM's output as a rollout, its thinking apart; raises as `read_rollout`."""
        decode = partial(self._texts.of_response, prompt_token_ids)
        return self._thinking.divided(read_rollout(output, decode), prompt_token_ids)

    def abort(self, sample_ids: list[str]) -> None:
        """Remove these samples from vLLM."""
        for sample_id in sample_ids:
            self._samples.pop(sample_id, None)
        self._too_long = [sample_id for sample_id in self._too_long if sample_id not in sample_ids]
        self._vllm.abort_request(sample_ids)

    def _give(self, sample_id: str, prompt: Sequence[int], parameters: "SamplingParams") -> str:
        """Give vLLM a prompt [P], and return vLLM's own id of the sample."""
        from vllm.inputs.engine import tokens_input

        # The salt keeps a sample from using cached keys and values of other weights, even of a sample that runs through
        # an update. It counts updates: after a restart the learner may give other weights the same version number.
        salted = tokens_input(list(prompt), cache_salt=f"update-{self._num_updates}")
        return self._vllm.add_request(sample_id, salted, parameters, lora_request=self._adapters)

    def _load_adapters(self, folder: Path) -> None:
        """Replace the policy's adapters by those of a folder; running samples go on with them."""
        self._vllm.add_lora(_policy_adapters(folder))

    def close(self) -> None:
        """Free the model."""
        self._vllm.engine_core.shutdown()


def _policy_adapters(folder: Path | None = None) -> "LoRARequest":
    """Return vLLM's name of the policy's adapters; with a folder, the request to load them from it, over the old ones.

    A sample names them without a folder: vLLM reads it only where it does not hold the adapters yet.
    """
    from vllm.lora.request import LoRARequest

    path = "held by the engine" if folder is None else str(folder)
    return LoRARequest("policy", ADAPTER_ID, path, load_inplace=folder is not None)


def _num_parameter_bytes(model: "nn.Module") -> int:
    return sum(parameter.numel() * parameter.itemsize for parameter in model.parameters())


def _response_texts(tokenizer: "TokenizerLike") -> ResponseTexts:
    from transformers import TokenizersBackend

    fast = tokenizer.backend_tokenizer if isinstance(tokenizer, TokenizersBackend) else None
    return ResponseTexts(fast=fast, one_by_one=partial(_decode_one_by_one, tokenizer))


def _decode_one_by_one(tokenizer: "TokenizerLike", prompt_token_ids: Sequence[int], token_ids: Sequence[int]) -> str:
    """Decode token by token with vLLM's own class."""
    from vllm import SamplingParams
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer

    request = EngineCoreRequest(
        request_id="",
        prompt_token_ids=list(prompt_token_ids),
        mm_features=None,
        sampling_params=SamplingParams(),
        pooling_params=None,
        arrival_time=0.0,
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )
    detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, request)
    detokenizer.update(list(token_ids), stop_terminated=False)
    return detokenizer.get_next_output_text(finished=True, delta=False)


def _read_or_error(output: "RequestOutput", read: Reader) -> Outcome | Exception:
    try:
        return read(output)
    except ValueError as failure:
        return RuntimeError(f"sample {output.request_id} can't be used: {failure}")


def _sampling_params(request: SamplingRequest, seed: int, *, stop_token_ids: Sequence[int]) -> "SamplingParams":
    """Return vLLM's parameters for one seed; `stop_token_ids` end a response, too.

    There is no top-p, no top-k and no penalty: log-probabilities must be those of the whole distribution.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=request.temperature,
        top_p=1.0,
        top_k=-1,
        seed=seed if request.temperature > 0 else None,
        max_tokens=request.max_tokens,
        stop_token_ids=list(stop_token_ids),
        logprobs=0,  # of the drawn token only
        flat_logprobs=True,
        detokenize=False,  # once, when the response is finished; no text ends a response, only tokens
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _answer_params(*, reads_cache: bool) -> "SamplingParams":
    """Return the parameters of one pass over a prompt with its log-probabilities; the drawn token is not used.

    Tokens that `reads_cache` takes from the prefix cache have no log-probabilities. vLLM would not read it by itself.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=0,  # of the prompt's tokens, at temperature 1
        skip_reading_prefix_cache=not reads_cache,
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
