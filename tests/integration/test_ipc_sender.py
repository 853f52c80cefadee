"""Test the push between processes on one GPU with vLLM's real trainer and worker engines; CUDA itself is stubbed.

The stub is torch's part of it: a handle is a number, and whoever opens it gets the tensor that it was made of.
"""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.distributed.weight_transfer import ipc_engine, packed_tensor

from actors.weight_sync.buckets import WeightManifest
from actors.weight_sync.ipc_sender import IpcSender
from actors.weight_sync.sender import ActiveReceivers, Missed, PushOrder, Reply
from actors.weight_sync.vllm_engines import VLLM_BACKENDS, IpcWeightTransferEngine

GPU = "GPU-0"
TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "large": torch.arange(64, dtype=torch.float32),
    "c": torch.ones(3, 1),
}


class StubbedCuda:
    """Stand in for the module torch where vLLM packs and opens buffers: they lie in host memory."""

    def __init__(self) -> None:
        self.exported: dict[int, torch.Tensor] = {}
        self.cuda = SimpleNamespace(
            get_device_properties=lambda index: SimpleNamespace(uuid=GPU),
            current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
            ipc_collect=lambda: None,
            synchronize=lambda: None,
        )
        self.accelerator = SimpleNamespace(current_device_index=lambda: 0)

    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)

    def empty(self, size: int, *, dtype: torch.dtype, device: str) -> torch.Tensor:
        assert device == "cuda"
        return torch.empty(size, dtype=dtype)

    def reduce_tensor(self, tensor: torch.Tensor) -> tuple[object, tuple[object, ...]]:
        number = len(self.exported)
        self.exported[number] = tensor
        return None, (number, *(None,) * 5, 0)

    def rebuild(self, number: int, *_: object) -> torch.Tensor:
        return self.exported[number]


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> StubbedCuda:
    stub = StubbedCuda()
    monkeypatch.setattr(packed_tensor, "torch", stub)
    monkeypatch.setattr(ipc_engine, "torch", stub)
    monkeypatch.setattr(packed_tensor, "reduce_tensor", stub.reduce_tensor)
    monkeypatch.setattr("torch.multiprocessing.reductions.rebuild_cuda_tensor", stub.rebuild)
    return stub


class Source:
    """Give the tensors in two buckets, and count the buckets that were gathered."""

    def __init__(self) -> None:
        self.gathered = 0

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for names in (("a", "b"), ("large", "c")):
            self.gathered += 1
            yield [(name, TENSORS[name]) for name in names]


class LoadingModel(nn.Module):
    """Keep what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: dict[str, torch.Tensor] = {}

    def load_weights(self, weights: list[tuple[str, torch.Tensor]]) -> None:
        self.loaded |= dict(weights)


class Worker:
    """Be a policy worker with vLLM's own receiving engine."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.model = LoadingModel()
        self.calls: list[str] = []
        self.version: int | None = None
        self.is_abandoned = False
        self.missing: list[str] = []
        self._fails_at = fails_at
        config = SimpleNamespace(parallel_config=None, model_config=None)
        self._engine = IpcWeightTransferEngine(
            WeightTransferConfig(backend=VLLM_BACKENDS["ipc"]),
            config,  # type: ignore[arg-type]
            torch.device("cuda", 0),
            self.model,
        )

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        self._engine.init_transfer_engine(self._engine.parse_init_info(dict(info)))
        return self._done("init")

    def start(self, manifest: WeightManifest) -> Reply:
        self._engine.start_weight_update()
        return self._done("start")

    def receive(self, shared: object) -> Reply:
        raise AssertionError("buckets travel through the object store only")

    def update(self, info: Mapping[str, object]) -> Reply:
        if self._fails_at != "update":
            self._engine.receive_weights(self._engine.parse_update_info(dict(info)))
        return self._done("update")

    def finish(self, policy_version: int) -> Reply:
        assert self._engine.missing() == []
        self._engine.finish_weight_update()
        self.version = policy_version
        return self._done("finish")

    def abandon(self) -> None:
        self._engine.finish_weight_update()
        self.missing, self.is_abandoned = self._engine.missing(), True

    def _done(self, call: str) -> Reply:
        self.calls.append(call)

        def wait(timeout_s: float) -> None:
            if call == self._fails_at:
                raise Missed("it fell over")

        return wait


def push(sender: IpcSender, workers: Mapping[str, Worker]) -> ActiveReceivers:
    receivers = ActiveReceivers(workers, share=lambda bucket: bucket, timeout_s=1)
    order = PushOrder(policy_version=4, update=(4, 1), names=tuple(workers))
    manifest = sender.send(order, receivers)
    assert [spec.name for spec in manifest.specs] == list(TENSORS)
    return receivers


@pytest.mark.parametrize("bucket_bytes", [1, 290, 1 << 20])
def test_every_tensor_arrives_whole_in_buffers_of_any_size(bucket_bytes: int, cuda: StubbedCuda) -> None:
    """A buffer holds at least the largest tensor, 256 bytes, so the smallest one is filled three times."""
    source, workers = Source(), {"policy-0": Worker(), "policy-1": Worker()}
    receivers = push(IpcSender(source, rank=0, bucket_bytes=bucket_bytes), workers)
    for worker in workers.values():
        assert set(worker.model.loaded) == set(TENSORS)
        assert all(torch.equal(worker.model.loaded[name], tensor) for name, tensor in TENSORS.items())
        assert worker.version == 4
    num_buffers = {1: 3, 290: 2, 1 << 20: 1}[bucket_bytes]
    assert workers["policy-0"].calls == ["init", "start", *["update"] * num_buffers, "finish"]
    assert receivers.names == ("policy-0", "policy-1") and source.gathered == 2
    assert len(cuda.exported) == 1  # one buffer, filled again and again


def test_a_worker_that_fails_stops_no_other_one_and_every_bucket_is_gathered() -> None:
    source = Source()
    workers = {"policy-0": Worker(fails_at="update"), "policy-1": Worker()}
    receivers = push(IpcSender(source, rank=0, bucket_bytes=1), workers)
    assert receivers.names == ("policy-1",) and receivers.has_missed
    assert workers["policy-0"].is_abandoned and workers["policy-0"].version is None
    assert workers["policy-0"].missing == sorted(TENSORS)
    assert workers["policy-1"].version == 4 and set(workers["policy-1"].model.loaded) == set(TENSORS)
    assert source.gathered == 2


def test_the_other_ranks_gather_and_send_no_message(cuda: StubbedCuda) -> None:
    source = Source()
    sender = IpcSender(source, rank=1, bucket_bytes=1)
    sender.send(PushOrder(policy_version=4, update=(4, 1), names=("policy-0",)), None)
    assert source.gathered == 2 and len(cuda.exported) == 1
