"""Find the Hugging Face tensors in an engine's model, and read their values back.

vLLM fuses q, k and v, and gate and up, into one parameter each. On a CPU it also packs matrices for its kernels and
drops the originals. Reading back answers two questions: does a manifest cover the model, and did the weights arrive?
Must not import vLLM: everything is read from attributes of the model (`packed_modules_mapping`, `hf_to_vllm_mapper`,
`cpu_linear`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from actors.weight_sync.buckets import TensorSpec, WeightManifest, tensor_checksum

IDENTITY_ROWS = 256  # rows of the identity matrix that are multiplied at once, to bound memory
MAX_NAMED = 5  # names listed in an error


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedParameter:
    """Name a parameter of the engine's model and the tensors that it consists of, in order along dimension 0."""

    name: str
    tensor_names: tuple[str, ...]  # as the engine would call the tensors without fusing


def fused_parameters(model: torch.nn.Module) -> list[FusedParameter]:
    """Return every parameter of the model with its tensors; one that is not fused consists of itself alone."""
    mapping: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    fused = []
    for name, _ in model.named_parameters():
        path, _, leaf = name.rpartition(".")
        prefix, dot, module = path.rpartition(".")
        unfused = mapping.get(module, [module])
        names = tuple(f"{prefix}{dot}{one}.{leaf}" for one in unfused) if module else (leaf,)
        fused.append(FusedParameter(name=name, tensor_names=names))
    return fused


def check_covers(model: torch.nn.Module, manifest: WeightManifest) -> None:
    """Check that the manifest names every tensor of the model and no other.

    Experts are not checked: the model's mapping does not say how they are fused.

    Raises:
        ValueError: a tensor is missing or unknown.
    """
    announced = set(_by_engine_name(model, manifest))
    known = {name for fused in fused_parameters(model) for name in fused.tensor_names}
    missing = sorted(name for name in known - announced if ".experts." not in name)
    unknown = sorted(name for name in announced - known if ".experts." not in name)
    if missing or unknown:
        raise ValueError(
            "the weight update does not fit the engine's model"
            + (f"; it lacks {format_names(missing)}" if missing else "")
            + (f"; the model has no {format_names(unknown)}" if unknown else "")
            + ". Policy and learner must load the same model"
        )


def engine_checksums(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, str]:
    """Return the checksum of each tensor of the manifest in the model, by Hugging Face name, in the manifest's dtype.

    It equals the sender's checksum if the engine's dtype is at least as wide.

    Raises:
        RuntimeError: a layer computes with other values than its parameter holds.
    """
    _check_kernels(model)
    return {spec.name: tensor_checksum(tensor.to(spec.torch_dtype)) for spec, tensor in read_back(model, manifest)}


@torch.inference_mode()
def read_back(model: torch.nn.Module, manifest: WeightManifest) -> Iterator[tuple[TensorSpec, torch.Tensor]]:
    """Yield the tensors of the manifest, unfused from the model's parameters, without padding."""
    announced = _by_engine_name(model, manifest)
    for fused in fused_parameters(model):
        specs = [announced[name] for name in fused.tensor_names if name in announced]
        if not specs:
            continue
        whole = _stored(model, fused.name, columns=specs[0].shape[-1])
        start = 0
        for spec in specs:
            yield spec, whole[start : start + spec.shape[0]]
            start += spec.shape[0]


def _stored(model: torch.nn.Module, name: str, *, columns: int) -> torch.Tensor:
    """Return the parameter's value; for a packed matrix, what its kernel computes with: [rows, columns]."""
    parameter = model.get_parameter(name)
    if parameter.numel():
        return parameter.detach()
    return _read_kernel(model.get_submodule(name.rpartition(".")[0]), parameter, columns=columns)


@torch.inference_mode()
def _check_kernels(model: torch.nn.Module) -> None:
    """Check that every packed copy equals its weight: a tied output layer has a packed copy of the embedding.

    Raises:
        RuntimeError: they differ.
    """
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if not hasattr(layer, "cpu_linear") or weight is None or weight.ndim != 2 or not weight.numel():
            continue
        if not torch.equal(_read_kernel(layer, weight, columns=weight.shape[1]), weight):
            raise RuntimeError(
                f"{name} computes with other values than its weight holds: its packed copy is out of date"
            )


def _read_kernel(layer: Any, weight: torch.Tensor, *, columns: int) -> torch.Tensor:  # noqa: ANN401 - vLLM's attribute
    """Return the matrix [rows, columns] that vLLM's CPU kernel multiplies by.

    The product with the identity gives it bit for bit, because every sum has only one term that is not zero.
    """
    identity = torch.eye(columns, dtype=weight.dtype, device=weight.device)
    rows = [layer.cpu_linear(chunk.contiguous(), layer.weight, None) for chunk in identity.split(IDENTITY_ROWS)]
    return torch.cat(rows).T


def _by_engine_name(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, TensorSpec]:
    """Return the manifest's specs by the names that the engine's model gives them."""
    return {name: spec for spec in manifest.specs for name in engine_names(model, [spec.name])}


def engine_names(model: torch.nn.Module, names: list[str]) -> list[str]:
    """Return what the engine's model would call these Hugging Face tensors without fusing them."""
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    return names if mapper is None else replace(mapper, orig_to_new_stacked={}).apply_list(names)


def format_names(names: list[str]) -> str:
    """Return a few names as text, and the number of the others."""
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
