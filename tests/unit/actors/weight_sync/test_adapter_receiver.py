"""Test how an engine takes adapters, on a hand-written engine and the folder that it is given."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, TypeVar

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from actors.weight_sync import adapter_receiver
from actors.weight_sync.adapter_layout import ADAPTER_ID, adapter_name
from actors.weight_sync.adapter_receiver import AdapterUpdates
from actors.weight_sync.buckets import TensorSpec, UpdateNumber, WeightBucket, WeightManifest, tensor_checksum
from tests.refusals import raised

Result = TypeVar("Result")

RANK, LARGEST_RANK, SLOTS = 2, 8, 2
Q, K, DOWN = "model.layers.0.attn.q_proj", "model.layers.0.attn.k_proj", "model.layers.0.down_proj"


class AdaptedLayer(nn.Module):
    """Hold buffers as vLLM's wrapper does, for fused layers with these numbers of outputs."""

    def __init__(self, columns: int, *rows: int) -> None:
        super().__init__()
        self.lora_a_stacked = tuple(torch.zeros(SLOTS, 1, LARGEST_RANK, columns) for _ in rows)
        self.lora_b_stacked = tuple(torch.zeros(SLOTS, 1, size, LARGEST_RANK) for size in rows)


class Model(nn.Module):
    """Be an engine's model of one layer: q and k are fused, and the adapter is in the second slot."""

    packed_modules_mapping: ClassVar = {"qk_proj": ["q_proj", "k_proj"]}

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Module()
        layer.attn = nn.Module()
        layer.attn.qk_proj = AdaptedLayer(4, 4, 3)
        layer.down_proj = AdaptedLayer(5, 4)
        layer.norm = nn.LayerNorm(4)
        self.model = nn.Module()
        self.model.layers = nn.ModuleList([layer])
        self.lora_manager = SimpleNamespace(lora_index_to_id=[None, ADAPTER_ID])


class Engine:
    """Stand for vLLM's LLMEngine with one worker; it loads a folder as vLLM does."""

    def __init__(self) -> None:
        self.model = Model()
        self.versions: list[str] = []
        self.folders: list[Path] = []
        self.settings: dict[str, object] = {}
        self.failure: Exception | None = None

    def load(self, folder: Path) -> None:
        self.folders.append(folder)
        if self.failure is not None:
            raise self.failure
        self.settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
        attention = self.model.get_submodule("model.layers.0.attn.qk_proj")
        for layer, part, path in ((attention, 0, Q), (attention, 1, K), (self.layer(DOWN), 0, DOWN)):
            assert isinstance(layer, AdaptedLayer)
            for buffers, side in ((layer.lora_a_stacked, "A"), (layer.lora_b_stacked, "B")):
                tensor = tensors[adapter_name(path, side)]
                buffers[part][1, 0, : tensor.shape[0], : tensor.shape[1]] = tensor

    def layer(self, path: str) -> nn.Module:
        return self.model.get_submodule(path)

    def apply_model(self, func: Callable[[nn.Module], Result]) -> list[Result]:
        return [func(self.model)]

    def set_weight_version(self, weight_version: str) -> None:
        self.versions.append(weight_version)

    def reset_prefix_cache(self) -> bool:
        return True


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    shapes = {Q: (4, 4), K: (3, 4), DOWN: (4, 5)}
    return {
        name: torch.full(shape, value) + torch.arange(shape[1])
        for layer, (rows, columns) in shapes.items()
        for name, shape in (
            (adapter_name(layer, "A"), (RANK, columns)),
            (adapter_name(layer, "B"), (rows, RANK)),
        )
    }


def manifest(number: UpdateNumber = (1, 1), *others: str) -> WeightManifest:
    names = {**tensors(), **{name: torch.zeros(RANK, 4) for name in others}}
    return WeightManifest(
        specs=tuple(TensorSpec.of(name, tensor.dtype, tensor.shape) for name, tensor in names.items()), update=number
    )


def bucket(*names: str, number: UpdateNumber = (1, 1), value: float = 1.0) -> dict[str, object]:
    chosen = tensors(value)
    return {"bucket": WeightBucket.pack([(name, chosen[name]) for name in names or chosen], update=number)}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def updates(engine: Engine) -> AdapterUpdates:
    return AdapterUpdates(engine, load=engine.load, rank=RANK, tensor_parallel_size=1)


def test_adapters_reach_the_engine_as_a_folder_of_scale_one_that_is_gone_afterwards(
    updates: AdapterUpdates, engine: Engine
) -> None:
    first, *others = tensors()
    updates.start(manifest())
    assert updates.is_open and updates.policy_version is None
    updates.update(bucket(first))
    updates.update(bucket(*others))
    updates.finish(7)
    assert updates.policy_version == 7 and not updates.is_open and engine.versions == ["7"]
    assert engine.settings["r"] == engine.settings["lora_alpha"] == RANK
    assert engine.settings["target_modules"] == ["down_proj", "k_proj", "q_proj"]
    assert not engine.folders[0].exists()
    assert updates.checksums() == {name: tensor_checksum(tensor) for name, tensor in tensors().items()}


def test_a_folder_does_not_go_where_there_is_no_room(
    updates: AdapterUpdates, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapter_receiver, "MEMORY", tmp_path / "no such file system")
    updates.start(manifest())
    updates.update(bucket())
    updates.finish(7)
    assert updates.policy_version == 7 and not engine.folders[0].is_relative_to(tmp_path)


def test_an_update_that_lacks_tensors_leaves_the_engine_stale(updates: AdapterUpdates, engine: Engine) -> None:
    first, last, *_ = tensors()
    updates.start(manifest())
    updates.update(bucket(first))
    with raised(ValueError, last):
        updates.finish(7)
    assert updates.policy_version is None and not updates.is_open and engine.folders == []


def test_a_layer_that_the_engine_has_not_is_named_before_anything_is_sent(updates: AdapterUpdates) -> None:
    unknown = adapter_name("model.layers.0.norm", "A")
    with raised(ValueError, unknown):
        updates.start(manifest((1, 1), unknown))
    assert not updates.is_open


def test_tensors_of_a_dropped_update_do_not_get_into_the_next_one(updates: AdapterUpdates) -> None:
    first, *others = tensors()
    updates.start(manifest((1, 1)))
    updates.update(bucket(first, number=(1, 1), value=1.0))
    updates.start(manifest((1, 2)))
    with pytest.raises(ValueError):
        updates.update(bucket(*others, number=(1, 1), value=1.0))
    updates.update(bucket(number=(1, 2), value=2.0))
    updates.finish(1)
    assert updates.checksums() == {name: tensor_checksum(tensor) for name, tensor in tensors(2.0).items()}
    with pytest.raises(ValueError):
        updates.start(manifest((0, 9)))
    assert updates.policy_version == 1


def test_a_tensor_that_comes_twice_ends_the_update(updates: AdapterUpdates) -> None:
    first, *_ = tensors()
    updates.start(manifest())
    updates.update(bucket(first))
    with pytest.raises(ValueError):
        updates.update(bucket(first))
    assert not updates.is_open
    with pytest.raises(RuntimeError):
        updates.finish(1)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_an_engine_whose_processes_may_differ_after_a_failure_is_broken(engine: Engine, num_processes: int) -> None:
    updates = AdapterUpdates(engine, load=engine.load, rank=RANK, tensor_parallel_size=num_processes)
    updates.start(manifest())
    updates.update(bucket())
    engine.failure = RuntimeError("no kernel for this rank")
    with pytest.raises(RuntimeError):
        updates.finish(1)
    assert updates.policy_version is None and updates.is_broken == (num_processes > 1)
    assert not engine.folders[0].exists()
