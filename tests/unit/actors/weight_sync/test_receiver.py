"""Test which messages of an update an engine refuses, on a hand-written engine."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch

from actors.weight_sync.buckets import TensorSpec, UpdateNumber, WeightBucket, WeightManifest
from actors.weight_sync.receiver import WeightUpdates

Result = TypeVar("Result")

SPEC = TensorSpec.of("weight", "float32", (2, 2))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2, 2))


class Transfer:
    """Stand for the transfer engine of vLLM's worker; the first bucket has all announced tensors."""

    def __init__(self) -> None:
        self.names = [SPEC.name]

    def missing(self) -> list[str]:
        return self.names


class Engine:
    """Stand for vLLM's LLMEngine with one worker, and note its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.versions: list[str] = []
        self.weight_transfer_engine = Transfer()

    def collective_rpc(
        self,
        method: str | Callable[..., Result],
        timeout: float | None = None,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> list[Result]:
        if callable(method):
            return [method(self)]
        self.calls.append(method)
        if method == "update_weights":
            self.weight_transfer_engine.names = []
        return []

    def apply_model(self, func: Callable[[torch.nn.Module], Result]) -> list[Result]:
        return [func(Model())]

    def set_weight_version(self, weight_version: str) -> None:
        self.versions.append(weight_version)

    def reset_prefix_cache(self) -> bool:
        return True


def manifest(number: UpdateNumber) -> WeightManifest:
    return WeightManifest(specs=(SPEC,), update=number)


def bucket(number: UpdateNumber) -> dict[str, object]:
    data = np.zeros(16, dtype=np.uint8)
    return {"bucket": WeightBucket(specs=(SPEC,), offsets=(0,), data=data, update=number)}


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def updates(engine: Engine) -> WeightUpdates:
    return WeightUpdates(engine, backend="object_store", tensor_parallel_size=1)


def test_late_bucket_of_a_dropped_update_does_not_get_into_the_next_one(updates: WeightUpdates, engine: Engine) -> None:
    updates.start(manifest((7, 1)))
    updates.start(manifest((7, 2)))
    with pytest.raises(ValueError):
        updates.update(bucket((7, 1)))
    assert updates.is_open and "update_weights" not in engine.calls  # the open update goes on
    updates.update(bucket((7, 2)))
    updates.finish(7)
    assert updates.policy_version == 7 and engine.versions == ["7"]


def test_late_start_of_an_older_update_does_not_undo_a_newer_one(updates: WeightUpdates) -> None:
    updates.start(manifest((8, 3)))
    updates.update(bucket((8, 3)))
    updates.finish(8)
    with pytest.raises(ValueError):
        updates.start(manifest((7, 9)))
    assert updates.policy_version == 8 and not updates.is_open


def test_same_weights_can_be_sent_again(updates: WeightUpdates) -> None:
    for attempt in (1, 2):
        updates.start(manifest((7, attempt)))
        updates.update(bucket((7, attempt)))
        updates.finish(7)
    assert updates.policy_version == 7
