"""Stand for NCCL under vLLM's weight transfer: its communicators become threads that exchange tensors in this process.

A broadcast ends when all ranks take part, or when its own rank aborts; an abort of another rank is not noticed, as
between the GPUs of a node.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count

import pytest
import torch

ID_BYTES = 128
WAIT_S = 60.0  # a test that waits longer has failed


class ProcessKilled(BaseException):
    """End the thread of a process that was killed."""


class Group:
    """Hold what the ranks of one group share."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.joined: set[int] = set()
        self.arrived: dict[int, set[int]] = {}  # number of a broadcast -> ranks
        self.sent: dict[int, torch.Tensor] = {}


class Network:
    """Hold all groups, and what happens to which communicator."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.groups: dict[bytes, Group] = {}
        self.opened: list[FakeCommunicator] = []
        self.killed_at: dict[int, int] = {}  # rank -> number of the broadcast at which its process is killed
        self.failed_at: dict[int, int] = {}  # rank -> number of the broadcast that NCCL refuses
        self.stalled_at: dict[int, int] = {}  # rank -> number of the broadcast at which its process is stopped
        self._ids = count(1)

    def ncclGetUniqueId(self) -> "UniqueId":
        return UniqueId(next(self._ids).to_bytes(ID_BYTES, "little"))

    @property
    def num_open(self) -> int:
        """Return the number of communicators that hold memory."""
        return sum(not communicator.is_closed for communicator in self.opened)


class UniqueId:
    def __init__(self, internal: bytes) -> None:
        self.internal = internal


class FakeCommunicator:
    """Stand for vLLM's PyNcclCommunicator."""

    network: Network

    def __init__(self, group: Group, rank: int) -> None:
        self.available, self.disabled, self.is_closed = True, False, False
        self.device = torch.device("cuda:0")
        self.nccl, self.comm = self, self
        self._group, self._rank = group, rank
        self._numbers = count(0)

    @classmethod
    def from_unique_id_bytes(cls, unique_id: bytes, *, rank: int, world_size: int, device: int) -> "FakeCommunicator":
        network = cls.network
        with network.changed:
            group = network.groups.setdefault(unique_id, Group(world_size))
            assert group.world_size == world_size and rank not in group.joined
            group.joined.add(rank)
            network.changed.notify_all()
            assert network.changed.wait_for(lambda: len(group.joined) == world_size, timeout=WAIT_S)
            communicator = cls(group, rank)
            network.opened.append(communicator)
        return communicator

    def broadcast(self, tensor: torch.Tensor, src: int, stream: object = None) -> None:
        if self.disabled:
            return
        number, network, group = next(self._numbers), self.network, self._group
        with network.changed:
            if network.killed_at.get(self._rank) == number:
                del network.killed_at[self._rank]
                self.is_closed = True
                raise ProcessKilled
            if network.failed_at.get(self._rank) == number:
                del network.failed_at[self._rank]
                raise RuntimeError("NCCL error: remote process exited or there was a network error")
            if network.stalled_at.get(self._rank) != number:
                group.arrived.setdefault(number, set()).add(self._rank)
            if self._rank == src:
                group.sent[number] = tensor.clone()
            network.changed.notify_all()
            arrived = group.arrived.setdefault(number, set())
            assert network.changed.wait_for(
                lambda: len(arrived) == group.world_size or self.is_closed, timeout=WAIT_S
            ), "the broadcast hangs"
            if not self.is_closed:
                tensor.copy_(group.sent[number])

    def ncclCommAbort(self, comm: object) -> None:
        assert not self.is_closed, "NCCL crashes if a communicator is aborted twice"
        with self.network.changed:
            self.is_closed = True
            self.network.changed.notify_all()

    def destroy(self) -> None:
        if self.available and not self.disabled:
            self.ncclCommAbort(self.comm)
            self.available, self.disabled = False, True


class _Stream:
    def synchronize(self) -> None:
        """Return at once: everything runs in the thread that asks for it."""


@contextmanager
def fake_nccl() -> Iterator[Network]:
    """Put the fake in the place of NCCL, and of the parts of torch that need a GPU."""
    from vllm.distributed.device_communicators import pynccl
    from vllm.distributed.weight_transfer import packed_tensor

    from actors.weight_sync import nccl_sender

    network = Network()
    FakeCommunicator.network = network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynccl, "PyNcclCommunicator", FakeCommunicator)
        patch.setattr(nccl_sender, "NCCLLibrary", lambda: network)
        patch.setattr(packed_tensor, "_get_streams", lambda device, number: (_Stream(),) * number)
        patch.setattr(torch.accelerator, "current_device_index", lambda: 0)
        patch.setattr(torch.accelerator, "device_index", lambda index: nullcontext())
        patch.setattr(torch.accelerator, "synchronize", lambda: None)
        yield network
