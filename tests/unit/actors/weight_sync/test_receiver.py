"""Test which messages of an update an engine refuses, on a hand-written engine."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
        self.is_aborted = threading.Event()

    def missing(self) -> list[str]:
        return self.names

    def abort(self) -> None:
        self.is_aborted.set()


class Engine:
    """Stand for vLLM's LLMEngine with one worker, and note its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.versions: list[str] = []
        self.weight_transfer_engine = Transfer()
        self.fails_at = ""
        self.waits: threading.Event | None = None  # set when a transfer waits; None: it does not

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
        if method == self.fails_at:
            raise RuntimeError("a process failed")
        if method == "update_weights" and self.waits is not None:
            self.waits.set()
            assert self.weight_transfer_engine.is_aborted.wait(timeout=60)
            raise RuntimeError("the weight transfer was aborted")
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


def test_a_transfer_that_waits_is_aborted_from_another_thread_and_the_engine_goes_on_stale(engine: Engine) -> None:
    updates = WeightUpdates(engine, backend="nccl", tensor_parallel_size=1)
    updates.start(manifest((7, 1)))
    engine.waits = threading.Event()
    with ThreadPoolExecutor(1) as loop:
        call = loop.submit(updates.update, {})
        assert engine.waits.wait(timeout=60)
        assert updates.interrupt()
        assert isinstance(call.exception(timeout=60), RuntimeError)
    assert updates.policy_version is None and not updates.is_open and not updates.is_broken


def test_nothing_is_aborted_where_nothing_waits(engine: Engine) -> None:
    updates = WeightUpdates(engine, backend="nccl", tensor_parallel_size=1)
    updates.start(manifest((7, 1)))
    assert updates.interrupt()
    assert not engine.weight_transfer_engine.is_aborted.is_set()


def test_an_engine_of_several_processes_can_not_be_interrupted(engine: Engine) -> None:
    updates = WeightUpdates(engine, backend="nccl", tensor_parallel_size=2)
    updates.start(manifest((7, 1)))
    engine.waits = threading.Event()
    with ThreadPoolExecutor(1) as loop:
        call = loop.submit(updates.update, {})
        assert engine.waits.wait(timeout=60)
        assert not updates.interrupt()
        engine.weight_transfer_engine.abort()
        assert isinstance(call.exception(timeout=60), RuntimeError)


@pytest.mark.parametrize("method", ["init_weight_transfer_engine", "start_weight_update", "finish_weight_update"])
@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_failed_call_breaks_an_engine_of_several_processes(engine: Engine, method: str, num_processes: int) -> None:
    updates = WeightUpdates(engine, backend="nccl", tensor_parallel_size=num_processes)
    engine.fails_at = method
    with pytest.raises(RuntimeError):
        updates.init_transfer({})
        updates.start(manifest((7, 1)))
        updates.finish(7)
    assert updates.is_broken == (num_processes > 1)
    assert updates.policy_version is None
