"""Test pushes between vLLM's own NCCL trainer and worker engines, on communicators of this process instead of NCCL's.

The learner's rank 0, and each process of a policy worker, is a thread.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateResult
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.model_executor.model_loader.reload import record_metadata_for_reloading
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.weight_utils import default_weight_loader

from actors.weight_sync.buckets import WeightManifest
from actors.weight_sync.nccl_sender import NcclSender
from actors.weight_sync.receiver import WeightUpdates
from actors.weight_sync.sender import ActiveReceivers, Missed, PushOrder, PushOutcome, Reply
from actors.weight_sync.vllm_engines import NcclWeightTransferEngine
from tests.fakes.nccl import WAIT_S, Network, ProcessKilled, fake_nccl

BUCKET_BYTES = 100  # the tensors have 4 to 64 bytes: chunks of vLLM end within a bucket, and within a layer


class Model(nn.Module):
    """Three layers with weight and bias."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(2, 1)

    def load_weights(self, weights: Any) -> set[str]:  # noqa: ANN401 - as vLLM's models have it
        parameters = dict(self.named_parameters())
        for name, tensor in weights:
            loader = getattr(parameters[name], "weight_loader", default_weight_loader)
            loader(parameters[name], tensor)
        return set(parameters)


class Learner:
    """Give the weights of a version: all values are the version."""

    def __init__(self) -> None:
        self.version = 0
        self.gathered = 0
        self._shapes = [(name, tuple(tensor.shape)) for name, tensor in Model().named_parameters()]

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, torch.float32, shape) for name, shape in self._shapes]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for name, shape in self._shapes:
            self.gathered += 1
            yield [(name, torch.full(shape, float(self.version)))]


class Process:
    """Be one process of vLLM with the model, as vLLM's worker drives a weight-transfer engine."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.model = Model()
        record_metadata_for_reloading(self.model)
        places = SimpleNamespace(data_parallel_index=0, world_size=world_size, rank=rank)
        config = SimpleNamespace(parallel_config=places, model_config=SimpleNamespace(dtype=torch.float32))
        self.weight_transfer_engine = NcclWeightTransferEngine(
            WeightTransferConfig(backend="pb_nccl"), cast(Any, config), torch.device("cpu"), self.model
        )

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        engine = self.weight_transfer_engine
        engine.init_transfer_engine(engine.parse_init_info(init_info))

    def start_weight_update(self) -> None:
        self.weight_transfer_engine.start_weight_update()

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self.weight_transfer_engine.update_weights(update_info)

    def finish_weight_update(self) -> None:
        self.weight_transfer_engine.finish_weight_update()


class Engine:
    """Stand for vLLM's LLMEngine with its executor."""

    def __init__(self, num_processes: int) -> None:
        self.processes = [Process(rank, num_processes) for rank in range(num_processes)]
        self._threads = [ThreadPoolExecutor(1) for _ in self.processes]

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> list[Any]:
        if callable(method):
            return [method(process) for process in self.processes]
        calls = [
            thread.submit(getattr(process, method), **(kwargs or {}))
            for thread, process in zip(self._threads, self.processes, strict=True)
        ]
        return [call.result() for call in calls]

    def apply_model(self, func: Callable[[nn.Module], Any]) -> list[Any]:
        return [func(process.model) for process in self.processes]

    def set_weight_version(self, weight_version: str) -> None:
        """Keep nothing: the version is in WeightUpdates."""

    def reset_prefix_cache(self) -> bool:
        return True


class Worker:
    """Be a policy worker: messages run one after the other in a thread, as in the engine's loop."""

    def __init__(self, num_processes: int) -> None:
        self.engine = Engine(num_processes)
        self.updates = WeightUpdates(self.engine, backend="nccl", tensor_parallel_size=num_processes)
        self.must_be_replaced = False
        self.was_freed = threading.Event()  # its thread has nothing to do after an abandoned update
        self._thread = ThreadPoolExecutor(1)

    @property
    def values(self) -> set[float]:
        """Return all values of all tensors in all processes."""
        return {
            value
            for process in self.engine.processes
            for tensor in process.model.parameters()
            for value in tensor.flatten().tolist()
        }

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        return self._run(lambda: self.updates.init_transfer(info))

    def start(self, manifest: WeightManifest) -> Reply:
        return self._run(lambda: self.updates.start(manifest))

    def receive(self, shared: object) -> Reply:
        raise AssertionError("nccl sends no buckets through Ray")

    def update(self, info: Mapping[str, object]) -> Reply:
        return self._run(lambda: self.updates.update(info))

    def finish(self, policy_version: int) -> Reply:
        return self._run(lambda: self.updates.finish(policy_version))

    def abandon(self) -> None:
        self.must_be_replaced |= not self.updates.interrupt()
        self._thread.submit(self.updates.abandon)
        self._thread.submit(self.was_freed.set)

    def _run(self, call: Callable[[], None]) -> Reply:
        running: Future[None] = self._thread.submit(call)

        def wait(timeout_s: float) -> None:
            try:
                running.result(timeout=timeout_s)
            except LateResult as failure:
                raise TimeoutError(str(failure)) from failure
            except ProcessKilled as failure:
                raise Missed("killed", is_dead=True) from failure
            except Exception as failure:
                raise Missed(str(failure)) from failure

        return wait


@pytest.fixture
def network() -> Iterator[Network]:
    with fake_nccl() as network:
        yield network


class Run:
    """Push from rank 0 to named workers, with the order that the driver would give."""

    def __init__(self, *, num_processes: int = 1, timeout_s: float = WAIT_S) -> None:
        self.learner = Learner()
        self._sender = NcclSender(self.learner, rank=0, tensor_parallel_size=num_processes, bucket_bytes=BUCKET_BYTES)
        self._timeout_s = timeout_s
        self._attempts = 0

    def push(self, version: int, workers: Mapping[str, Worker], *, is_new_group: bool) -> PushOutcome:
        self.learner.version, self.learner.gathered = version, 0
        self._attempts += 1
        order = PushOrder(
            policy_version=version,
            update=(version, self._attempts),
            names=tuple(workers),
            is_new_group=is_new_group,
        )
        receivers = ActiveReceivers(workers, share=lambda bucket: bucket, timeout_s=self._timeout_s)
        with ThreadPoolExecutor(1) as learner:
            return learner.submit(lambda: receivers.outcome(self._sender.send(order, receivers))).result(timeout=WAIT_S)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_every_tensor_reaches_every_process_whole_and_a_group_lasts_over_pushes(
    network: Network, num_processes: int
) -> None:
    run = Run(num_processes=num_processes)
    workers = {f"policy-{index}": Worker(num_processes) for index in range(2)}
    for version in (1, 2, 3):
        outcome = run.push(version, workers, is_new_group=version == 1)
        assert outcome.taken == ("policy-0", "policy-1") and not outcome.missed
        assert [worker.values for worker in workers.values()] == [{version}, {version}]
        assert network.num_open == 1 + 2 * num_processes


@pytest.mark.parametrize("num_processes", [1, 2])
def test_other_members_leave_no_communicator_of_the_group_before(network: Network, num_processes: int) -> None:
    run = Run(num_processes=num_processes)
    workers = {f"policy-{index}": Worker(num_processes) for index in range(3)}
    for version in (1, 2, 3, 4):
        outcome = run.push(version, workers, is_new_group=True)
        assert outcome.taken == tuple(workers)
        assert all(worker.values == {version} for worker in workers.values())
        assert network.num_open == 1 + 3 * num_processes
    assert len(network.opened) == 4 * (1 + 3 * num_processes)


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_killed_in_a_broadcast_ends_it_for_all_and_a_new_group_gets_the_version(
    network: Network, number: int
) -> None:
    run = Run()
    workers = {"policy-0": Worker(1), "policy-1": Worker(1)}
    assert run.push(1, workers, is_new_group=True).taken == ("policy-0", "policy-1")
    network.killed_at[2] = len(chunks()) + number  # rank 2 is policy-1; the first push had the broadcasts before
    outcome = run.push(2, workers, is_new_group=False)
    assert outcome.taken == () and outcome.dead == {"policy-1"} and set(outcome.missed) == {"policy-1"}
    assert run.learner.gathered == 6  # all buckets: the other ranks gather on
    assert workers["policy-0"].was_freed.wait(timeout=WAIT_S)
    assert workers["policy-0"].updates.policy_version is None and not workers["policy-0"].must_be_replaced
    assert network.num_open == 0
    workers["policy-1"] = Worker(1)
    assert run.push(2, workers, is_new_group=True).taken == ("policy-0", "policy-1")
    assert all(worker.values == {2} for worker in workers.values())
    assert network.num_open == 3


def test_a_failed_update_leaves_nothing_half_loaded_for_the_next_one(network: Network) -> None:
    run = Run()
    workers = {"policy-0": Worker(1), "policy-1": Worker(1)}
    network.failed_at[1] = 1  # b.weight has arrived, and b.bias has not
    outcome = run.push(1, workers, is_new_group=True)
    assert outcome.taken == () and set(outcome.missed) == {"policy-0"} and not outcome.dead
    for worker in workers.values():
        assert worker.was_freed.wait(timeout=WAIT_S)
        (process,) = worker.engine.processes
        assert not any(get_layerwise_info(layer).can_load() for layer in process.model.modules())
        assert not any(tensor.is_meta for tensor in process.model.parameters())
    assert run.push(2, workers, is_new_group=True).taken == ("policy-0", "policy-1")
    assert all(worker.values == {2} for worker in workers.values())


def test_a_worker_that_stops_in_a_broadcast_is_waited_for_no_longer_than_the_limit(network: Network) -> None:
    run = Run(timeout_s=0.5)
    workers = {"policy-0": Worker(1), "policy-1": Worker(1)}
    network.stalled_at[2] = 1
    outcome = run.push(1, workers, is_new_group=True)
    assert outcome.taken == () and set(outcome.missed) == {"policy-0", "policy-1"} and not outcome.dead
    assert all(worker.was_freed.wait(timeout=WAIT_S) for worker in workers.values())
    assert network.num_open == 0
    network.stalled_at.clear()
    assert run.push(1, workers, is_new_group=True).taken == ("policy-0", "policy-1")
    assert all(worker.values == {1} for worker in workers.values())


def test_a_worker_of_several_processes_that_waits_in_a_broadcast_must_be_replaced(network: Network) -> None:
    run = Run(num_processes=2)
    workers = {"policy-0": Worker(2), "policy-1": Worker(2)}
    network.killed_at[3] = 0  # the first process of policy-1
    outcome = run.push(1, workers, is_new_group=True)
    assert outcome.taken == () and outcome.dead == {"policy-1"}
    assert workers["policy-0"].must_be_replaced
    for process in workers["policy-0"].engine.processes:  # what the kernel does to them when their parent ends
        process.weight_transfer_engine.abort()


def chunks() -> list[list[str]]:
    """Return the tensors of each broadcast, as vLLM packs them."""
    packed: list[list[str]] = [[]]
    size = 0
    for name, dtype, shape in Learner().metadata():
        packed[-1].append(name)
        size += torch.Size(shape).numel() * dtype.itemsize
        if size > BUCKET_BYTES:
            packed.append([])
            size = 0
    return [names for names in packed if names]


def test_the_chunks_end_within_layers() -> None:
    assert chunks() == [["a.weight", "a.bias", "b.weight"], ["b.bias", "c.weight", "c.bias"]]
