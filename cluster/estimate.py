"""Estimate how much memory an actor needs, from the files of its model. Nothing is loaded.

Parameters are counted from the headers of safetensors files. A model that is not on this machine has no estimate.
"""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.layout import Role
from contracts.config.device_defaults import Device
from contracts.config.learning import LearnerConfig, PolicyGradientConfig
from contracts.config.run import Config
from contracts.config.section import decided
from contracts.config.workers import EngineConfig
from contracts.user_files import guarded, read_user_text

GIB = float(1 << 30)
ENGINE_OVERHEAD_GIB = 1.4
"""Rough memory of a vLLM process before its weights: interpreter, torch, vLLM and its buffers."""
PROCESS_OVERHEAD_GIB = 0.9
"""Rough memory of a learner rank or a scorer before its weights."""
GATHERED_AHEAD = 50_000_000
"""Parameters that ZeRO-3 gathers before they are needed, as the learner sets it."""
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Hold the memory of one actor, in GiB. `total_gib` is None if the size of its model is not known here."""

    formula: str
    total_gib: float | None


def estimate(config: Config, device: Device) -> dict[Role, Memory]:
    """Return one estimate per role: the memory of the GPU on cuda, of the process on a CPU."""
    return {
        "policy": _engine(config.policy, device),
        "pivot": _engine(config.pivot, device),
        "scorer": _scorer(config),
        "learner": _learner(config),
    }


def _engine(config: EngineConfig, device: Device) -> Memory:
    if device == "cuda":
        return Memory(formula=f"vLLM takes {config.gpu_memory_share:.0%} of each GPU", total_gib=None)
    weights = weights_gib(config.model, BYTES[config.dtype])
    return _sum(weights=weights, kv_cache=config.kv_cache_gib, process=ENGINE_OVERHEAD_GIB)


def _scorer(config: Config) -> Memory:
    weights = weights_gib(config.scorer.model, BYTES[config.scorer.dtype])
    return _sum(weights=weights, process=PROCESS_OVERHEAD_GIB)


def _learner(config: Config) -> Memory:
    """Estimate one learner rank.

    ZeRO-3 splits fp32 master weights, two Adam moments and gradients over the ranks; logits are chunked. A frozen
    reference model (algorithm.kl, without adapters) and a critic (ppo) are in the same processes.
    """
    learner, algorithm = config.learner, config.algorithm
    policy = tensor_shapes(config.policy.model)
    critic = tensor_shapes(config.critic.model or config.policy.model) if algorithm.name == "ppo" else []
    if policy is None or critic is None:
        return _sum(weights=None)
    has_reference = isinstance(algorithm, PolicyGradientConfig) and algorithm.kl != "none" and learner.lora is None
    trained = (_size(policy) if learner.lora is None else _adapter_size(policy, learner.lora.rank)) + _size(critic)
    held = sum(_held_gib(shapes, learner) for shapes in (policy, critic, policy if has_reference else []))
    shape = model_shape(config.policy.model)
    # Hidden states kept for backward, about 16 values a token and layer, or 1 with checkpointing; and one fp32 chunk.
    kept = 1 if learner.gradient_checkpointing else 16
    activations = config.row_tokens * shape.layers * shape.hidden * kept * BYTES[learner.dtype] / GIB
    logits = decided(learner.logprob_chunk_tokens) * shape.vocabulary * 4 / GIB
    return _sum(
        gathered_weights=held,
        optimizer_shard=trained * (4 + 4 + 4 + 4) / learner.num_ranks / GIB,
        activations=activations,
        logits=logits,
        process=PROCESS_OVERHEAD_GIB,
    )


def _held_gib(shapes: Sequence[tuple[int, ...]], learner: LearnerConfig) -> float:
    """Return the GiB of a model on one rank: a small one is whole, a larger one a share and what is gathered ahead."""
    whole = _size(shapes) * BYTES[learner.dtype] / GIB
    if whole <= learner.keep_whole_mib / 1024:
        return whole
    return whole / learner.num_ranks + min(whole, GATHERED_AHEAD * BYTES[learner.dtype] / GIB)


def _size(shapes: Sequence[tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


def _adapter_size(shapes: Sequence[tuple[int, ...]], rank: int) -> int:
    """Count an adapter: two factors a matrix. Embeddings, which have none, are counted too: an upper bound."""
    return sum(rank * sum(shape) for shape in shapes if len(shape) == 2)


def _sum(**parts: float | None) -> Memory:
    known = {name: value for name, value in parts.items() if value is not None}
    if len(known) < len(parts):
        return Memory(formula="the model is not on this machine: its size is not known", total_gib=None)
    formula = " + ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in known.items())
    return Memory(formula=formula, total_gib=round(sum(known.values()), 2))


def weights_gib(model: str, bytes_per_parameter: int) -> float | None:
    """Return the GiB of a local folder's weights; None for a model that is not here."""
    count = num_parameters(model)
    return None if count is None else count * bytes_per_parameter / GIB


def num_parameters(model: str) -> int | None:
    """Count the parameters of a local folder; None for a model that is not here."""
    shapes = tensor_shapes(model)
    return None if shapes is None else _size(shapes)


def tensor_shapes(model: str) -> list[tuple[int, ...]] | None:
    """Return the shapes of a local folder's tensors, from safetensors headers; None for a model that is not here."""
    files = sorted(Path(model).glob("*.safetensors"))
    return [shape for file in files for shape in _header(file)] if files else None


def _header(file: Path) -> list[tuple[int, ...]]:
    """Return the shapes in one file.

    Format: 8 bytes little-endian header length, then a JSON header of name -> {dtype, shape, data_offsets}.
    """
    with guarded(f"{file} can't be read as safetensors", key=file.name, way_out="download or copy the model again"):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, _LONGEST_HEADER)))
        return [tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"]


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Hold the sizes of a model that its activations depend on."""

    layers: int
    hidden: int
    vocabulary: int


def model_shape(model: str) -> ModelShape:
    """Read the shape from the config.json of a folder."""
    config = json.loads(read_user_text(Path(model) / "config.json", key="policy.model"))
    return ModelShape(layers=config["num_hidden_layers"], hidden=config["hidden_size"], vocabulary=config["vocab_size"])
