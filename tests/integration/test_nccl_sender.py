"""Test the sender for vLLM's transport between GPUs with a hand-written trainer: NCCL itself needs two GPUs.

The trainer does what vLLM's does (vllm/distributed/weight_transfer/nccl_engine.py): rank 0 has the workers join, start,
update and finish while it reads the source; the other ranks only read it.
"""

from collections.abc import Iterator, Mapping

import pytest
import torch

from actors.weight_sync.buckets import WeightManifest
from actors.weight_sync.nccl_sender import BucketSource, NcclSender, Trainer, TransferPlace, WorkersClient
from actors.weight_sync.sender import ActiveReceivers, Missed, PushOrder, PushOutcome, Reply
from tests.refusals import raised

TENSORS = {"a": torch.ones(2, 3), "b": torch.ones(2), "c": torch.ones(3, 1)}


class Source:
    """Serve three tensors in two buckets, and count the buckets that were gathered."""

    def __init__(self) -> None:
        self.gathered = 0

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for names in (("a", "b"), ("c",)):
            self.gathered += 1
            yield [(name, TENSORS[name]) for name in names]


class FakeTrainer:
    """Imitate a trainer on rank 0 or another; `breaks` is a broadcast that fails after the first tensor."""

    def __init__(
        self, place: TransferPlace, client: WorkersClient, source: BucketSource, *, breaks: bool = False
    ) -> None:
        self.place = place
        self.is_aborted = False
        self.is_shut_down = False
        self.read: list[str] = []
        self._client = client
        self._source = source
        self._breaks = breaks
        if place.rank == 0:
            client.init_weight_transfer_engine({"nccl_unique_id_b64": "secret", "rank_offset": 1})

    def send_weights(self) -> None:
        if self.place.rank == 0:
            self._client.start_weight_update()
            self._client.update_weights({"names": [meta.name for meta in self._source.metadata()]})
        for name, _ in self._source:
            self.read.append(name)
            if self._breaks:
                raise RuntimeError("NCCL error")
        if self.place.rank == 0:
            self._client.finish_weight_update()

    def abort(self) -> None:
        self.is_aborted = True

    def shutdown(self) -> None:
        self.is_shut_down = True


class Trainers:
    """Open trainers, and keep them."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.opened: list[FakeTrainer] = []
        self._breaks = breaks

    def open(self, place: TransferPlace, client: WorkersClient, source: BucketSource) -> Trainer:
        self.opened.append(FakeTrainer(place, client, source, breaks=self._breaks))
        return self.opened[-1]


class Worker:
    """Record its calls, and refuse one of them."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.heard: list[str] = []
        self._fails_at = fails_at

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        return self._hear(f"join {info['nccl_unique_id_b64']} as {info['rank_offset']}")

    def start(self, manifest: WeightManifest) -> Reply:
        return self._hear(f"start {len(manifest.specs)}")

    def receive(self, shared: object) -> Reply:
        raise AssertionError("nccl sends no buckets through Ray")

    def update(self, info: Mapping[str, object]) -> Reply:
        return self._hear(f"update {info['names']}")

    def finish(self, policy_version: int) -> Reply:
        return self._hear(f"finish {policy_version}")

    def abandon(self) -> None:
        self.heard.append("abandon")

    def _hear(self, word: str) -> Reply:
        self.heard.append(word)

        def wait(timeout_s: float) -> None:
            if self._fails_at and word.startswith(self._fails_at):
                raise Missed("no")

        return wait


UPDATE = "update ['a', 'b', 'c']"


def sender(source: Source, trainers: Trainers, *, rank: int = 0) -> NcclSender:
    return NcclSender(source, rank=rank, tensor_parallel_size=2, bucket_bytes=1024, open_trainer=trainers.open)


def order(version: int, *names: str, is_new: bool = False) -> PushOrder:
    return PushOrder(policy_version=version, update=(version, version), names=names, is_new_group=is_new)


def push(pusher: NcclSender, order: PushOrder, **workers: Worker) -> PushOutcome:
    boxes = {name.replace("_", "-"): worker for name, worker in workers.items()}
    receivers = ActiveReceivers(boxes, share=lambda bucket: bucket, timeout_s=9)
    return receivers.outcome(pusher.send(order, receivers))


def test_all_processes_of_all_workers_are_one_group_that_lasts_over_pushes() -> None:
    source, trainers = Source(), Trainers()
    first, second = Worker(), Worker()
    pusher = sender(source, trainers)
    outcome = push(pusher, order(1, "policy-0", "policy-1", is_new=True), policy_0=first, policy_1=second)
    assert outcome.taken == ("policy-0", "policy-1")
    push(pusher, order(2, "policy-0", "policy-1"), policy_0=first, policy_1=second)
    (trainer,) = trainers.opened
    assert trainer.place.world_size == 5  # the sender and 2 workers x 2 processes
    assert trainer.read == ["a", "b", "c"] * 2
    assert first.heard == ["join secret as 1", "start 3", UPDATE, "finish 1", "start 3", UPDATE, "finish 2"]
    assert second.heard[0] == "join secret as 3"  # after the two processes of the first


def test_other_members_are_another_group_and_the_old_one_is_closed() -> None:
    trainers = Trainers()
    pusher = sender(Source(), trainers)
    push(pusher, order(1, "policy-0", is_new=True), policy_0=Worker())
    worker = Worker()
    push(pusher, order(2, "policy-1", is_new=True), policy_1=worker)
    assert [trainer.is_shut_down for trainer in trainers.opened] == [True, False]
    assert worker.heard[0] == "join secret as 1"


@pytest.mark.parametrize("word", ["join", "start", "update"])
def test_one_workers_failure_ends_the_update_of_all_blames_one_and_the_walk_goes_on(word: str) -> None:
    source, trainers = Source(), Trainers()
    bad, good = Worker(fails_at=word), Worker()
    pusher = sender(source, trainers)
    outcome = push(pusher, order(1, "policy-0", "policy-1", is_new=True), policy_0=bad, policy_1=good)
    assert outcome.taken == () and set(outcome.missed) == {"policy-0"}
    assert good.heard[-1] == bad.heard[-1] == "abandon"
    assert source.gathered == 2  # both buckets: the other ranks gather on
    source.gathered = 0
    outcome = push(pusher, order(2, "policy-1", is_new=True), policy_1=good)
    assert outcome.taken == ("policy-1",) and source.gathered == 2
    # Without a worker that joins there is no group.
    assert [trainer.is_shut_down for trainer in trainers.opened] == ([False] if word == "join" else [True, False])
    assert trainers.opened[0].is_aborted == (word == "update")  # the only time at which a broadcast may wait


def test_a_broken_broadcast_is_missed_by_all_and_the_walk_goes_on() -> None:
    source = Source()
    outcome = push(sender(source, Trainers(breaks=True)), order(1, "policy-0", is_new=True), policy_0=Worker())
    assert outcome.missed == {"policy-0": "NCCL error"}
    assert source.gathered == 2


def test_a_worker_that_does_not_finish_costs_the_others_nothing() -> None:
    outcome = push(
        sender(Source(), Trainers()),
        order(1, "policy-0", "policy-1", is_new=True),
        policy_0=Worker(fails_at="finish"),
        policy_1=Worker(),
    )
    assert outcome.taken == ("policy-1",) and set(outcome.missed) == {"policy-0"}


def test_the_other_ranks_walk_along_and_what_breaks_there_is_theirs() -> None:
    source, trainers = Source(), Trainers()
    sender(source, trainers, rank=1).send(order(1, "policy-0", is_new=True), None)
    assert trainers.opened[0].read == ["a", "b", "c"] and source.gathered == 2
    with raised(RuntimeError, "NCCL"):
        sender(Source(), Trainers(breaks=True), rank=1).send(order(1, "policy-0", is_new=True), None)
