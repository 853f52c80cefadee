"""Find the tensors of adapters in an engine's model, and read their values back.

vLLM puts a wrapper around each layer that may have an adapter. It holds A and B in one buffer each, or in one for each
of the layers that it fuses (q, k and v; gate and up). Must not import vLLM: everything is read from attributes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch

from actors.weight_sync.buckets import TensorSpec, WeightManifest, tensor_checksum
from actors.weight_sync.layout import engine_names, format_names

ADAPTER_ID = 1
"""Number of the policy's adapter in vLLM, which has no other."""

_PREFIX = "base_model.model."
_SUFFIXES = {"A": ".lora_A.weight", "B": ".lora_B.weight"}


def adapter_name(layer: str, side: str) -> str:
    """Return peft's name of a tensor of a layer's adapter; `side` is "A" or "B"."""
    return f"{_PREFIX}{layer}{_SUFFIXES[side]}"


class _AdaptedLayer(Protocol):
    """The part of vLLM's wrapper that is read here; the first index of a buffer is the slot of an adapter."""

    lora_a_stacked: tuple[torch.Tensor, ...]  # each [slots, 1, largest rank, in]
    lora_b_stacked: tuple[torch.Tensor, ...]  # each [slots, 1, out, largest rank]


class _Slots(Protocol):
    lora_index_to_id: list[int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Say where an engine keeps a tensor."""

    layer: str
    side: str
    part: int  # of a fused layer


def check_adapters_fit(model: torch.nn.Module, manifest: WeightManifest) -> None:
    """Check that the engine's model has a place for every announced tensor.

    Raises:
        ValueError: it has none for some.
    """
    places = _places(model, manifest)
    homeless = sorted(spec.name for spec in manifest.specs if spec.name not in places)
    if homeless:
        raise ValueError(
            f"vLLM has no place for the adapters {format_names(homeless)}; leave these layers out of "
            "learner.lora.targets, or set weights.lora = merged"
        )


def adapter_checksums(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, str]:
    """Return the checksum of each tensor that the engine computes with, by peft's name, in the manifest's dtype.

    It equals the sender's checksum if the engine's dtype is at least as wide.
    """
    return {spec.name: tensor_checksum(tensor.to(spec.torch_dtype)) for spec, tensor in _read_back(model, manifest)}


def _read_back(model: torch.nn.Module, manifest: WeightManifest) -> Iterator[tuple[TensorSpec, torch.Tensor]]:
    """Yield the tensors of the manifest as the engine holds them, without padding."""
    slot = cast(_Slots, model.lora_manager).lora_index_to_id.index(ADAPTER_ID)
    places = _places(model, manifest)
    for spec in manifest.specs:
        place = places[spec.name]
        layer = cast(_AdaptedLayer, model.get_submodule(place.layer))
        buffers = layer.lora_a_stacked if place.side == "A" else layer.lora_b_stacked
        rows, columns = spec.shape
        yield spec, buffers[place.part][slot, 0, :rows, :columns]


def _places(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, _Place]:
    """Return where the engine keeps the tensors of the manifest, by name, as far as it has a place for them."""
    fused: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    parts = {part: (whole, parts.index(part)) for whole, parts in fused.items() for part in parts}
    adapted = {path for path, layer in model.named_modules() if hasattr(layer, "lora_a_stacked")}
    places: dict[str, _Place] = {}
    for spec in manifest.specs:
        for side, suffix in _SUFFIXES.items():
            if not spec.name.endswith(suffix):
                continue
            layer = spec.name.removeprefix(_PREFIX).removesuffix(suffix)
            for name in engine_names(model, [f"{layer}.weight"]):
                parent, dot, leaf = name.removesuffix(".weight").rpartition(".")
                whole, part = parts.get(leaf, (leaf, 0))
                if f"{parent}{dot}{whole}" in adapted:
                    places[spec.name] = _Place(layer=f"{parent}{dot}{whole}", side=side, part=part)
    return places
