"""Test on which CUDA streams the NCCL sender writes and reads, with an account of them in the place of torch.cuda."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from actors.weight_sync.nccl_sender import BucketSource, NcclSender, Trainer, TransferPlace, WorkersClient
from actors.weight_sync.sender import PushOrder

Entry = tuple[str, ...]


class Stream:
    def __init__(self, name: str, account: "Account") -> None:
        self.name = name
        self._account = account

    def synchronize(self) -> None:
        self._account.entries.append(("wait for", self.name))


class Account:
    """Keep the current stream, and what happens on which one."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.current = Stream("training", self)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        before, self.current = self.current, Stream(name, self)
        yield
        self.current = before

    def set_current(self, stream: Stream) -> None:
        self.current = stream


class GpuTensor(torch.Tensor):
    """Be a tensor that says that it is on a GPU."""

    account: Account
    label: str

    @property
    def is_cuda(self) -> bool:
        return True

    def record_stream(self, s: object) -> None:
        assert isinstance(s, Stream)
        self.account.entries.append(("keep", self.label, "for", s.name))


class Weights:
    """Gather two buckets on the stream that is current."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, torch.float32, (1,)) for name in "abc"]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for names in ("ab", "c"):
            self._account.entries.append(("gather", names, "on", self._account.current.name))
            yield [(name, self._tensor(name)) for name in names]

    def _tensor(self, name: str) -> torch.Tensor:
        tensor = torch.zeros(1).as_subclass(GpuTensor)
        tensor.account, tensor.label = self._account, name
        return tensor


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: account.current)
    monkeypatch.setattr(torch.cuda, "set_stream", account.set_current)
    return account


def test_a_bucket_is_complete_before_another_stream_reads_it_and_stays_until_that_is_done(account: Account) -> None:
    source = BucketSource(Weights(account))
    source.begin()
    tensors = iter(source)
    for stream in ("first", "second", "first"):  # vLLM changes the stream from chunk to chunk
        with account.on(stream):
            next(tensors)
    assert account.entries == [
        ("gather", "ab", "on", "first"),
        ("wait for", "first"),
        ("keep", "a", "for", "first"),
        ("keep", "b", "for", "second"),
        ("gather", "c", "on", "first"),
        ("wait for", "first"),
        ("keep", "c", "for", "first"),
    ]


def test_a_push_leaves_the_learners_stream_as_it_was(account: Account) -> None:
    class Opened:
        def send_weights(self) -> None:
            account.set_current(Stream("that of the push", account))

        def abort(self) -> None:
            raise AssertionError("nothing failed")

        def shutdown(self) -> None:
            raise AssertionError("nothing failed")

    def open_trainer(place: TransferPlace, client: WorkersClient, source: BucketSource) -> Trainer:
        account.set_current(Stream("that of the communicator", account))
        return Opened()

    sender = NcclSender(Weights(account), rank=1, tensor_parallel_size=1, bucket_bytes=9, open_trainer=open_trainer)
    sender.send(PushOrder(policy_version=1, update=(1, 1), names=("policy-0",), is_new_group=True), None)
    assert account.current.name == "training"
