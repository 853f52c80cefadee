"""Read the sizes of a model from its folder: the shapes of its tensors, and what its config.json says of its layers.

Nothing is loaded. Parameters are counted from the headers of safetensors files; a folder that has only a config.json is
counted from that, as a model of Llama's kind. A model that is not on this machine has no sizes.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from contracts.model_config import read_model_config
from contracts.user_files import guarded

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
_ENCODERS = ("bert", "roberta", "xlm-roberta")
"""Model types whose MLP has two matrices: it has no gate."""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "lm_head", "embed_out")

Tensors = Mapping[str, tuple[int, ...]]
"""The shape of each tensor of a model, by name."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Hold the sizes of a model that its activations and its cache depend on. A size that is not said is 0."""

    num: int
    hidden: int
    intermediate: int
    queries: int  # width of all attention heads together
    keys: int  # width of all key heads together; values have as much
    key_heads: int
    cached: int  # values of one token that all layers together keep in an engine's cache
    heads: int
    vocabulary: int
    is_tied: bool  # the output head is the input embedding
    is_gated: bool  # the MLP has a gate beside its two matrices
    experts: int  # of a layer; 1: none
    bits: int  # of a weight that is quantised; 0: it is not

    @classmethod
    def of(cls, facts: Mapping[str, object]) -> Self:
        """Read the keys of a Hugging Face config; what is left out has transformers' default, or is 0."""

        def count(name: str, default: int = 0) -> int:
            value = facts.get(name)
            return value if isinstance(value, int) else default

        hidden = count("hidden_size")
        heads = count("num_attention_heads", 1)
        width = count("head_dim", hidden // heads)
        key_heads = count("num_key_value_heads", heads)
        inner = count("intermediate_size", 4 * hidden)
        experts = max(count(name, 1) for name in _EXPERTS)
        latent = count("kv_lora_rank") + count("qk_rope_head_dim") if "kv_lora_rank" in facts else 0
        quantised = facts.get("quantization_config")
        return cls(
            num=count("num_hidden_layers"),
            hidden=hidden,
            intermediate=count("moe_intermediate_size" if experts > 1 else "intermediate_size", inner),
            queries=heads * width,
            keys=key_heads * width,
            key_heads=1 if "kv_lora_rank" in facts else key_heads,
            cached=_full_layers(facts, count("num_hidden_layers")) * (latent or 2 * key_heads * width),
            heads=heads,
            vocabulary=count("vocab_size"),
            is_tied=facts.get("tie_word_embeddings") is True,
            is_gated=facts.get("model_type") not in _ENCODERS,
            experts=experts,
            bits=_bits(quantised) if isinstance(quantised, Mapping) else 0,
        )

    @property
    def tensors(self) -> Tensors:
        """Return the matrices of a model of Llama's or BERT's kind, without norms and biases (below 0.1 %)."""
        hidden, inner = self.hidden, self.intermediate
        attention = {
            "q_proj": (self.queries, hidden),
            "k_proj": (self.keys, hidden),
            "v_proj": (self.keys, hidden),
            "o_proj": (hidden, self.queries),
        }
        mlp = {"up_proj": (inner, hidden), "down_proj": (hidden, inner)}
        if self.is_gated:
            mlp["gate_proj"] = (inner, hidden)
        if self.experts > 1:
            mlp = {name: (self.experts, *shape) for name, shape in mlp.items()}
        layer = attention | mlp
        found = {f"layers.{number}.{name}": shape for number in range(self.num) for name, shape in layer.items()}
        ends = ("embed_tokens",) if self.is_tied else ("embed_tokens", "lm_head")
        return found | {name: (self.vocabulary, hidden) for name in ends}


@dataclass(frozen=True)
class ModelSize:
    """Hold the shapes of a model's tensors and the sizes of its layers."""

    tensors: Tensors
    layers: Layers
    file_bytes: int = 0  # of the weight files; 0: there are none

    @cached_property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    @cached_property
    def largest(self) -> int:
        """Return the number of parameters of the largest tensor: the embedding or the output head, as a rule."""
        return max(math.prod(shape) for shape in self.tensors.values())

    def weight_bytes(self, dtype: str) -> float:
        """Return the bytes of the weights where they are served: those of the files if they are quantised."""
        if not self.layers.bits:
            return self.parameters * BYTES[dtype]
        return self.file_bytes or self.parameters * self.layers.bits / 8

    def adapters(self, rank: int, targets: tuple[str, ...] | None) -> int:
        """Count the parameters of LoRA's two factors on the target layers; None: on every matrix but the embeddings."""

        def is_target(name: str) -> bool:
            layer = name.removesuffix(".weight").rpartition(".")[2]
            return layer in targets if targets is not None else layer not in _EMBEDDINGS

        matrices = [shape for name, shape in self.tensors.items() if len(shape) == 2 and is_target(name)]
        return sum(rank * sum(shape) for shape in matrices)


def model_size(model: str, *, key: str) -> ModelSize | None:
    """Return the sizes of a model; None for one that is not here.

    Raises:
        BadInput: one of its files can't be read; `key` names the model in the config.
    """
    facts = read_model_config(model, key=key)
    tensors = local_tensors(model)
    if facts is None and tensors is None:
        return None
    text = (facts or {}).get("text_config")  # of a model that also reads images
    layers = Layers.of({**(facts or {}), **text} if isinstance(text, Mapping) else facts or {})
    if tensors is None:
        return ModelSize(layers.tensors, layers)
    return ModelSize(tensors, layers, sum(file.stat().st_size for file in _weight_files(model)))


def num_parameters(model: str) -> int | None:
    """Count the parameters in a local folder's weight files; None where there are none."""
    tensors = local_tensors(model)
    return None if tensors is None else sum(math.prod(shape) for shape in tensors.values())


def local_tensors(model: str) -> Tensors | None:
    """Return the shapes of a local folder's tensors, from safetensors headers; None where it has no such files."""
    files = _weight_files(model)
    return {name: shape for file in files for name, shape in _header(file).items()} if files else None


def _weight_files(model: str) -> list[Path]:
    """Return the weight files that are loaded: some publishers leave the same weights in one more file beside them."""
    files = sorted(Path(model).glob("*.safetensors"))
    return [file for file in files if file.name.startswith("model")] or files


def _full_layers(facts: Mapping[str, object], num_layers: int) -> int:
    """Return how many layers keep every token: those with a window, or with a state, keep a bounded amount."""
    kinds = facts.get("layer_types")
    return kinds.count("full_attention") if isinstance(kinds, list) else num_layers


def _bits(quantised: Mapping[str, object]) -> int:
    """Return the bits of a quantised weight: as the config says, or 8 (fp8 says nothing)."""
    bits = quantised.get("bits", quantised.get("weight_bits"))
    return bits if isinstance(bits, int) else 4 if quantised.get("load_in_4bit") else 8


def _header(file: Path) -> Tensors:
    """Return the shapes in one file.

    Format: 8 bytes little-endian header length, then a JSON header of name -> {dtype, shape, data_offsets}.
    """
    with guarded(f"{file} can't be read as safetensors", key=file.name, way_out="download or copy the model again"):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, _LONGEST_HEADER)))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
