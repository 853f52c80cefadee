"""Where the Hugging Face tensors lie in an engine's model, and what they hold there.

vLLM fuses q, k and v, and gate and up, into one parameter each; on a CPU it also packs matrices for its kernels and
drops the originals. Owns the way back, for two questions: does a manifest cover the model, and did the weights arrive?
Knows torch modules only: what it needs of vLLM it reads from the model (`packed_modules_mapping`, `hf_to_vllm_mapper`,
`cpu_linear`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from actors.weight_sync.buckets import TensorSpec, WeightManifest, tensor_checksum

IDENTITY_ROWS = 256  # of the identity matrix multiplied at once, to bound memory
MAX_NAMED = 5  # names spelled out in an error


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedParameter:
    """One parameter of the engine's model and the tensors that it is made of, in order along dimension 0."""

    name: str
    parts: tuple[str, ...]  # names as the engine would call them unfused


def fused_parameters(model: torch.nn.Module) -> list[FusedParameter]:
    """Every parameter of the model with its parts; a parameter that is not fused is its own only part."""
    mapping: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    fused = []
    for name, _ in model.named_parameters():
        path, _, leaf = name.rpartition(".")
        prefix, dot, module = path.rpartition(".")
        parts = mapping.get(module, [module])
        names = tuple(f"{prefix}{dot}{part}.{leaf}" for part in parts) if module else (leaf,)
        fused.append(FusedParameter(name=name, parts=names))
    return fused


def check_covers(model: torch.nn.Module, manifest: WeightManifest) -> None:
    """Raise ValueError unless the manifest names every tensor of the model and none besides.

    Experts are left out: their fusing is not told by the model's mapping.
    """
    announced = set(_by_engine_name(model, manifest))
    known = {part for fused in fused_parameters(model) for part in fused.parts}
    missing = sorted(name for name in known - announced if ".experts." not in name)
    unknown = sorted(name for name in announced - known if ".experts." not in name)
    if missing or unknown:
        raise ValueError(
            "the weight update does not fit the engine's model"
            + (f"; it lacks {listed(missing)}" if missing else "")
            + (f"; the model has no {listed(unknown)}" if unknown else "")
            + ". Policy and learner must load the same model"
        )


def engine_checksums(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, str]:
    """Checksum of every tensor of the manifest as the model holds it, by Hugging Face name, in the manifest's dtype.

    Equal to the sender's where the engine's dtype is at least as wide. Raises RuntimeError where a layer computes with
    something else than its parameter says.
    """
    _check_kernels(model)
    return {spec.name: tensor_checksum(tensor.to(spec.torch_dtype)) for spec, tensor in read_back(model, manifest)}


@torch.inference_mode()
def read_back(model: torch.nn.Module, manifest: WeightManifest) -> Iterator[tuple[TensorSpec, torch.Tensor]]:
    """The tensors of the manifest, unfused from the model's parameters, paddings left out."""
    announced = _by_engine_name(model, manifest)
    for fused in fused_parameters(model):
        specs = [announced[part] for part in fused.parts if part in announced]
        if not specs:
            continue
        whole = _stored(model, fused.name, columns=specs[0].shape[-1])
        start = 0
        for spec in specs:
            yield spec, whole[start : start + spec.shape[0]]
            start += spec.shape[0]


def _stored(model: torch.nn.Module, name: str, *, columns: int) -> torch.Tensor:
    """The parameter's value; of a matrix that was packed away, what its kernel computes with."""
    parameter = model.get_parameter(name)
    if parameter.numel():
        return parameter.detach()
    return _read_kernel(model.get_submodule(name.rpartition(".")[0]), parameter, columns=columns)


@torch.inference_mode()
def _check_kernels(model: torch.nn.Module) -> None:
    """A tied output layer has a packed copy of the embedding: both must be the same."""
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if not hasattr(layer, "cpu_linear") or weight is None or weight.ndim != 2 or not weight.numel():
            continue
        if not torch.equal(_read_kernel(layer, weight, columns=weight.shape[1]), weight):
            raise RuntimeError(
                f"{name} computes with other values than its weight holds: its packed copy is out of date"
            )


def _read_kernel(layer: Any, weight: torch.Tensor, *, columns: int) -> torch.Tensor:  # noqa: ANN401 - vLLM's attribute
    """The matrix that vLLM's CPU kernel multiplies by.

    Times the identity it comes out bit for bit: every sum has one term that is not zero.
    """
    identity = torch.eye(columns, dtype=weight.dtype, device=weight.device)
    rows = [layer.cpu_linear(chunk.contiguous(), layer.weight, None) for chunk in identity.split(IDENTITY_ROWS)]
    return torch.cat(rows).T


def _by_engine_name(model: torch.nn.Module, manifest: WeightManifest) -> dict[str, TensorSpec]:
    """The manifest's entries under the names that the engine's model gives them."""
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    if mapper is None:
        return {spec.name: spec for spec in manifest.specs}
    unfused = replace(mapper, orig_to_new_stacked={})  # the renamings without the fusing
    return {name: spec for spec in manifest.specs for name in unfused.apply_list([spec.name])}


def listed(names: list[str]) -> str:
    """A few names spelled out, the others counted."""
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
