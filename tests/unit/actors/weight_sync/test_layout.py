"""Test unfusing with a module that is laid out like a vLLM model."""

from collections.abc import Callable

import pytest
import torch

from actors.weight_sync.buckets import TensorSpec, WeightManifest, tensor_checksum
from actors.weight_sync.layout import check_covers, engine_checksums, format_names
from tests.refusals import raised

Q = torch.arange(8.0).reshape(4, 2)
K = torch.arange(8.0, 12.0).reshape(2, 2)
V = torch.arange(12.0, 16.0).reshape(2, 2)
EMBEDDING = torch.arange(6.0).reshape(3, 2)


class Packed(torch.nn.Module):
    """Imitate a linear layer on a CPU: the kernel holds the matrix, and the parameter is empty."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(0))
        self.cpu_linear = multiply_by(matrix)


class Embedding(torch.nn.Module):
    """Hold a table with one row of padding and, as in vLLM, a packed copy beside it."""

    def __init__(self, copy: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.cat([EMBEDDING, torch.zeros(1, 2)]))
        self.cpu_linear = multiply_by(torch.cat([copy, torch.zeros(1, 2)]))


class Fused(torch.nn.Module):
    packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"]}  # noqa: RUF012 - as vLLM's models have it

    def __init__(self, *, copy: torch.Tensor = EMBEDDING) -> None:
        super().__init__()
        self.embed_tokens = Embedding(copy)
        self.layer = torch.nn.Module()
        self.layer.qkv_proj = Packed(torch.cat([Q, K, V]))


def multiply_by(matrix: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor, None], torch.Tensor]:
    return lambda inputs, weight, bias: inputs @ matrix.T


TENSORS = {
    "embed_tokens.weight": EMBEDDING,
    "layer.q_proj.weight": Q,
    "layer.k_proj.weight": K,
    "layer.v_proj.weight": V,
}


def manifest(*names: str) -> WeightManifest:
    shapes = {name: tensor.shape for name, tensor in TENSORS.items()}
    return WeightManifest(specs=tuple(TensorSpec.of(name, "float32", shapes.get(name, (1,))) for name in names))


def test_checksums_are_of_the_unfused_tensors() -> None:
    # In any order of the manifest; the padded row of the table is no part of its tensor.
    checksums = engine_checksums(Fused(), manifest(*reversed(TENSORS)))
    assert checksums == {name: tensor_checksum(tensor) for name, tensor in TENSORS.items()}


def test_packed_copy_that_is_older_than_its_weight_is_found() -> None:
    with pytest.raises(RuntimeError):
        engine_checksums(Fused(copy=EMBEDDING + 1), manifest(*TENSORS))


def test_manifest_with_all_tensors_covers_the_model() -> None:
    check_covers(Fused(), manifest(*TENSORS))


def test_manifest_with_a_missing_or_unknown_tensor_is_refused() -> None:
    with raised(ValueError, "layer.k_proj.weight", "lm_head.weight"):
        check_covers(Fused(), manifest(*(name for name in TENSORS if "k_proj" not in name), "lm_head.weight"))


def test_long_lists_of_names_are_cut() -> None:
    assert format_names(["a", "b"]) == "a, b"
    assert format_names(list("abcdefg")) == "a, b, c, d, e and 2 more"
