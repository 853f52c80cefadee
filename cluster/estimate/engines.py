"""Estimate the memory of a vLLM worker, and how many tokens its cache of keys and values holds."""

from dataclasses import dataclass

from cluster.estimate.parts import (
    CUDA_CONTEXT_GIB,
    CUDA_PROCESS_GIB,
    ENGINE_PROCESS_GIB,
    NCCL_GIB,
    ActorMemory,
    Memory,
    gib,
)
from cluster.estimate.shapes import BYTES, Layers, model_size
from contracts.config.section import decided
from contracts.config.workers import EngineConfig

CUDA_GRAPHS_GIB = 1.0
"""GPU memory of vLLM's captured CUDA graphs. Not measured yet."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Hold the size of a worker's cache of keys and values."""

    gib: float
    tokens: int  # over all of the worker's GPUs

    def sequences(self, max_model_len: int) -> int:
        """Return how many of the longest sequences it holds at once."""
        return self.tokens // max_model_len


def engine_memory(
    engine: EngineConfig, *, key: str, on_gpu: bool, gpu_gib: float | None, adapters_gib: float = 0.0
) -> ActorMemory:
    """Return the memory of one worker. On a GPU vLLM takes its share of it whole: the cache is what is left over.

    Args:
        engine: its section.
        key: the section's name.
        on_gpu: whether it has GPUs.
        gpu_gib: the size of one of them; None: it is not known, and neither is the cache.
        adapters_gib: of LoRA's adapters that it applies beside its weights.
    """
    size = model_size(engine.model, key=f"{key}.model")
    if size is None:
        return ActorMemory(host=None)
    weights = gib(size.weight_bytes(engine.dtype))
    step = step_gib(size.layers, engine)
    if not on_gpu:
        head = gib(size.layers.vocabulary * size.layers.hidden * BYTES[engine.dtype])  # vLLM packs it, and keeps both
        parts = {"weights": weights, "packed head": head, "adapters": adapters_gib, "cache": engine.kv_cache_gib}
        parts |= {"a step": step, "process": ENGINE_PROCESS_GIB}
        return ActorMemory(host=Memory(parts), note=cache_note(cpu_cache(engine, size.layers), engine))
    needed = gpu_parts(engine, weights=weights + adapters_gib, step=step)
    host = Memory({"process": CUDA_PROCESS_GIB * engine.tensor_parallel_size})
    if gpu_gib is None:
        return ActorMemory(host=host, gpu=Memory(needed), note="and its cache")
    cache = gpu_cache(engine, size.layers, free_gib=engine.gpu_memory_share * gpu_gib - sum(needed.values()))
    return ActorMemory(host=host, gpu=Memory(needed | {"cache": cache.gib}), note=cache_note(cache, engine))


def gpu_parts(engine: EngineConfig, *, weights: float, step: float) -> dict[str, float]:
    """Return what a worker holds on each GPU before its cache. Weights and steps are split (arXiv 1909.08053)."""
    parallel = engine.tensor_parallel_size
    return {
        "weights": weights / parallel,
        "a step": step / parallel,
        "CUDA graphs": CUDA_GRAPHS_GIB,
        "context and NCCL": CUDA_CONTEXT_GIB + NCCL_GIB,
    }


def step_gib(layers: Layers, engine: EngineConfig) -> float:
    """Return the GiB of the largest step: a layer's activations of all batched tokens, and logits of all sequences.

    The widest moment of a layer is its MLP: the input, gate and up, and their product. Logits are fp32, twice.
    """
    widest = decided(engine.max_num_batched_tokens) * (layers.hidden + 3 * layers.intermediate) * BYTES[engine.dtype]
    return gib(widest + decided(engine.max_num_seqs) * layers.vocabulary * 4 * 2)


def token_bytes(engine: EngineConfig, layers: Layers) -> float:
    """Return the bytes of one token's keys and values on one GPU. More GPUs than key heads hold copies."""
    heads = max(1, layers.key_heads)
    share = max(1.0, heads / engine.tensor_parallel_size) / heads
    return layers.cached * share * BYTES[engine.dtype]


def gpu_cache(engine: EngineConfig, layers: Layers, *, free_gib: float) -> Cache:
    """Return the cache that is left over of vLLM's share of a GPU."""
    return _cache(max(0.0, free_gib), token_bytes(engine, layers))


def cpu_cache(engine: EngineConfig, layers: Layers) -> Cache:
    """Return the cache that the config gives on a CPU."""
    return _cache(engine.kv_cache_gib, layers.cached * BYTES[engine.dtype])


def cache_note(cache: Cache, engine: EngineConfig) -> str:
    """Return in words what a cache holds."""
    longest = f"{cache.sequences(engine.max_model_len)} sequences of {engine.max_model_len}"
    return f"cache of {cache.gib:.1f} GiB: {cache.tokens:,} tokens, {longest}"


def _cache(size_gib: float, bytes_of_token: float) -> Cache:
    tokens = int(size_gib * 2**30 / bytes_of_token) if bytes_of_token else 0
    return Cache(gib=size_gib, tokens=tokens)
