"""How much memory an actor needs, estimated from its model's files: pure arithmetic, nothing is loaded.

Owns the formulas. Parameters are counted from the headers of safetensors files; a model that is not on this machine
has no estimate, and `plan` says so.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from cluster.layout import Device, Role
from driver.config import Config, EngineConfig

GIB = float(1 << 30)
ENGINE_OVERHEAD_GIB = 1.4
"""A rough allowance for a vLLM process before its weights: interpreter, torch, vLLM and its buffers."""
PROCESS_OVERHEAD_GIB = 0.9
"""The same for a learner rank or a scorer."""
BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of one actor, in GiB. `total_gib` is None where the model's size is not known here."""

    formula: str
    total_gib: float | None


def estimate(config: Config, device: Device) -> dict[Role, Memory]:
    """One estimate per role: memory of the GPU on cuda, of the process on a CPU."""
    return {
        "policy": _engine(config.policy, device),
        "pivot": _engine(config.pivot, device),
        "scorer": _scorer(config),
        "learner": _learner(config),
    }


def _engine(config: EngineConfig, device: Device) -> Memory:
    if device == "cuda":
        return Memory(formula=f"vLLM takes {config.gpu_memory_utilization:.0%} of each GPU", total_gib=None)
    weights = weights_gib(config.model, BYTES[config.dtype])
    return _sum(weights=weights, kv_cache=config.kv_cache_gib, process=ENGINE_OVERHEAD_GIB)


def _scorer(config: Config) -> Memory:
    weights = weights_gib(config.scorer.model, BYTES[config.scorer.dtype])
    return _sum(weights=weights, process=PROCESS_OVERHEAD_GIB)


def _learner(config: Config) -> Memory:
    """ZeRO-3: fp32 master weights, two Adam moments and gradients are split over the ranks; logits are chunked."""
    learner = config.learner
    count = num_parameters(config.policy.model)
    if count is None:
        return _sum(weights=None)
    working = count * BYTES[learner.dtype] / GIB
    per_rank = count * (4 + 4 + 4 + 4) / learner.num_ranks / GIB
    shape = model_shape(config.policy.model)
    # Hidden states kept for backward, about 16 values a token and layer, or 1 with checkpointing; and one fp32 chunk.
    kept = 1 if learner.gradient_checkpointing else 16
    activations = config.row_tokens * shape.layers * shape.hidden * kept * BYTES[learner.dtype] / GIB
    logits = 3 * learner.logprob_chunk_tokens * shape.vocabulary * 4 / GIB
    return _sum(
        gathered_weights=working,
        optimizer_shard=per_rank,
        activations=activations,
        logits=logits,
        process=PROCESS_OVERHEAD_GIB,
    )


def _sum(**parts: float | None) -> Memory:
    known = {name: value for name, value in parts.items() if value is not None}
    if len(known) < len(parts):
        return Memory(formula="the model is not on this machine: its size is not known", total_gib=None)
    formula = " + ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in known.items())
    return Memory(formula=formula, total_gib=round(sum(known.values()), 2))


def weights_gib(model: str, bytes_per_parameter: int) -> float | None:
    count = num_parameters(model)
    return None if count is None else count * bytes_per_parameter / GIB


def num_parameters(model: str) -> int | None:
    """Of a local folder, from its safetensors headers; None for a model that is not here."""
    files = sorted(Path(model).glob("*.safetensors"))
    return sum(_count(file) for file in files) if files else None


def _count(file: Path) -> int:
    """Format: 8 bytes little-endian header length, then a JSON header of name -> {dtype, shape, data_offsets}."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    layers: int
    hidden: int
    vocabulary: int


def model_shape(model: str) -> ModelShape:
    """From the folder's config.json."""
    config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    return ModelShape(layers=config["num_hidden_layers"], hidden=config["hidden_size"], vocabulary=config["vocab_size"])
