"""Build vLLM's engine for a config: its arguments, and what is refused before a model is loaded.

The process must be prepared before vLLM is imported.
"""

from typing import TYPE_CHECKING, get_args

from actors.remote.freed_memory import large_blocks_apart
from contracts.config.device_defaults import Device
from contracts.config.section import decided
from contracts.config.workers import EngineConfig, WeightBackend
from contracts.errors import BadInput
from contracts.model_config import is_yarn, longest_context, read_model_config
from contracts.model_names import name_and_revision

if TYPE_CHECKING:  # vLLM reads its environment when it is imported
    from vllm.config.lora import MaxLoRARanks
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine


def build_engine(
    config: EngineConfig, *, device: Device, weight_backend: WeightBackend | None, lora_rank: int
) -> "LLMEngine":
    """Build vLLM's engine.

    Raises:
        BadInput: the installed vLLM is built for another device, or can't apply adapters to the model.
    """
    from vllm.config import WeightTransferConfig
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    from actors.generation.vocabulary_mask import mask_padding_rows

    if current_platform.is_cpu() != (device == "cpu"):
        raise BadInput(
            f"cluster.device is {device}, but the installed vLLM is built for {current_platform.device_type}; install "
            "the requirements for this device, or change cluster.device",
            key="cluster.device",
        )
    transfer = None
    if weight_backend is not None and weight_backend != "adapters":
        from actors.weight_sync.vllm_engines import VLLM_BACKENDS

        transfer = WeightTransferConfig(backend=VLLM_BACKENDS[weight_backend])
    on_cpu = device == "cpu"
    name, revision = name_and_revision(config.model)
    arguments = EngineArgs(
        model=name,
        revision=revision,
        tokenizer_revision=revision,
        trust_remote_code=config.trust_remote_code,
        dtype=config.dtype,
        max_model_len=config.max_model_len,
        hf_overrides=_extended_context(config),
        max_num_seqs=decided(config.max_num_seqs),
        gpu_memory_utilization=config.gpu_memory_share,
        kv_cache_memory_bytes=int(config.kv_cache_gib * 2**30) if on_cpu else None,
        tensor_parallel_size=config.tensor_parallel_size,
        distributed_executor_backend="uni" if config.tensor_parallel_size == 1 else "mp",
        enforce_eager=on_cpu,
        # With a chunked prompt vLLM 0.32 rewinds the request's random generator, which torch can't do on a CPU.
        enable_chunked_prefill=None if not on_cpu else False,
        max_num_batched_tokens=decided(config.max_num_batched_tokens),
        enable_prefix_caching=True,
        logprobs_mode="processed_logprobs",
        generation_config="vllm",  # a model's own temperature or top-p would change what the log-probabilities mean
        weight_transfer_config=transfer,
        # Imported by each process of the engine: a process that vLLM starts knows no engine of ours before.
        worker_extension_cls="actors.generation.child_process.ChildProcess" if config.tensor_parallel_size > 1 else "",
        enable_lora=weight_backend == "adapters",
        max_lora_rank=_max_rank(lora_rank),
        enable_sleep_mode=weight_backend == "ipc",  # the learner uses the same GPU in turns
        disable_log_stats=True,
    )
    mask_padding_rows(arguments, config.model)
    if weight_backend == "adapters":
        check_takes_adapters(arguments)
    with large_blocks_apart():  # on a CPU vLLM packs every weight anew and frees the one that was loaded
        engine = LLMEngine.from_engine_args(arguments)
        if on_cpu and config.tensor_parallel_size == 1:
            from actors.weight_sync.packed_weights import free_packed_embeddings

            engine.apply_model(free_packed_embeddings)
    return engine


def _max_rank(lora_rank: int) -> "MaxLoRARanks":
    """Return the smallest rank for which vLLM has kernels that is not below `lora_rank`."""
    from vllm.config.lora import MaxLoRARanks

    return next(rank for rank in get_args(MaxLoRARanks) if rank >= lora_rank)


def check_takes_adapters(arguments: "EngineArgs") -> None:
    """Check that vLLM can apply adapters to the model, before it is loaded.

    Raises:
        BadInput: it can't.
    """
    from vllm.model_executor.models import ModelRegistry, supports_lora

    config = arguments.create_model_config()
    model, name = ModelRegistry.resolve_model_cls(config.architectures, config)
    if not supports_lora(model):
        raise BadInput(
            f"weights.lora is adapter, but vLLM can't apply adapters to a {name} ({arguments.model}); set it to merged",
            key="weights.lora",
        )


def _extended_context(config: EngineConfig) -> dict[str, int]:
    """Return the config keys with which vLLM takes a context that YaRN extends.

    vLLM reads `max_position_embeddings` as the length after scaling. Many folders have the length before it.
    """
    facts = read_model_config(config.model, key="model") or {}
    limit, longest = facts.get("max_position_embeddings"), longest_context(facts)
    if is_yarn(facts) and isinstance(limit, int) and longest is not None and limit < config.max_model_len <= longest:
        return {"max_position_embeddings": config.max_model_len}
    return {}
