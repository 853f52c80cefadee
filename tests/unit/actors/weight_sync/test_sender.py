"""Test the bucket sender with plain tensors and hand-written receivers."""

from collections.abc import Iterator, Mapping

import pytest
import torch

from actors.weight_sync.buckets import WeightBucket, WeightManifest
from actors.weight_sync.sender import ActiveReceivers, BucketSender, Missed, PushOrder, PushOutcome, Reply

TENSORS = {"a": torch.ones(2, 3), "b": torch.ones(2), "c": torch.ones(3, 1)}
ORDER = PushOrder(policy_version=7, update=(7, 1), names=("policy-0", "policy-1"))


class Source:
    """Give three tensors in two buckets, and note which were gathered."""

    def __init__(self) -> None:
        self.gathered: list[str] = []

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for names in (("a", "b"), ("c",)):
            self.gathered.extend(names)
            yield [(name, TENSORS[name]) for name in names]


class Worker:
    """Note every message and every answer that was waited for; fail at one message."""

    def __init__(self, *, fails_at: str = "", failure: Exception | None = None) -> None:
        self.messages: list[str] = []
        self._fails_at = fails_at
        self._failure = failure

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        return self._note(f"join {info['rank_offset']}")

    def start(self, manifest: WeightManifest) -> Reply:
        return self._note(f"start {len(manifest.specs)} of {manifest.update[0]}.{manifest.update[1]}")

    def receive(self, shared: object) -> Reply:
        assert isinstance(shared, WeightBucket)
        return self._note(
            f"load {'+'.join(spec.name for spec in shared.specs)} of {shared.update[0]}.{shared.update[1]}"
        )

    def update(self, info: Mapping[str, object]) -> Reply:
        return self._note("update")

    def finish(self, policy_version: int) -> Reply:
        return self._note(f"finish {policy_version}")

    def abandon(self) -> None:
        self.messages.append("abandon")

    def _note(self, word: str) -> Reply:
        self.messages.append(word)

        def wait(timeout_s: float) -> None:
            assert 0 <= timeout_s <= 9
            self.messages.append(f"{word}: done")
            if word == self._fails_at:
                assert self._failure is not None
                raise self._failure

        return wait


def receivers(**workers: Worker) -> ActiveReceivers:
    named = {name.replace("_", "-"): worker for name, worker in workers.items()}
    return ActiveReceivers(named, share=lambda bucket: bucket, timeout_s=9)


def push(source: Source, **workers: Worker) -> PushOutcome:
    reached = receivers(**workers)
    return reached.outcome(BucketSender(source).send(ORDER, reached))


WHOLE = [
    "start 3 of 7.1",
    "start 3 of 7.1: done",
    "load a+b of 7.1",
    "load a+b of 7.1: done",
    "load c of 7.1",
    "load c of 7.1: done",
    "finish 7",
    "finish 7: done",
]


def test_a_push_reaches_every_worker_in_order() -> None:
    workers = {"policy_0": Worker(), "policy_1": Worker()}
    outcome = push(Source(), **workers)
    assert outcome.taken == ("policy-0", "policy-1")
    assert not outcome.missed and not outcome.dead
    assert (outcome.num_tensors, outcome.num_bytes) == (3, 4 * (6 + 2 + 3))
    assert all(worker.messages == WHOLE for worker in workers.values())


def test_the_next_bucket_is_gathered_while_the_one_before_is_loaded() -> None:
    source, worker = Source(), Worker()
    seen: list[tuple[list[str], list[str]]] = []

    class Watching(Source):
        def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
            for bucket in source.buckets():
                seen.append((list(source.gathered), list(worker.messages)))
                yield bucket

    push(Watching(), policy_0=worker)
    gathered, messages = seen[1]
    assert gathered == ["a", "b", "c"] and messages == WHOLE[:3]  # the load of a and b is sent, and not waited for yet


@pytest.mark.parametrize("word", ["start 3 of 7.1", "load a+b of 7.1", "load c of 7.1", "finish 7"])
@pytest.mark.parametrize(
    ("failure", "why"),
    [(TimeoutError("late"), "within 9 s (weights.timeout_s)"), (Missed("no such tensor"), "no such tensor")],
)
def test_a_worker_that_fails_is_left_out_and_the_others_go_on(word: str, failure: Exception, why: str) -> None:
    source, bad, good = Source(), Worker(fails_at=word, failure=failure), Worker()
    outcome = push(source, policy_0=bad, policy_1=good)
    assert outcome.taken == ("policy-1",)
    assert list(outcome.missed) == ["policy-0"] and outcome.missed["policy-0"].endswith(why)
    assert bad.messages == [*WHOLE[: WHOLE.index(word) + 2], "abandon"]  # nothing else is sent
    assert good.messages == WHOLE
    assert source.gathered == ["a", "b", "c"]


def test_a_dead_process_is_named_as_gone_and_not_told_to_abandon() -> None:
    dead = Worker(fails_at="load a+b of 7.1", failure=Missed("killed", is_dead=True))
    outcome = push(Source(), policy_0=dead, policy_1=Worker())
    assert outcome.dead == {"policy-0"}
    assert dead.messages == WHOLE[:4]


def test_the_walk_goes_to_its_end_though_nobody_listens_any_more() -> None:
    source = Source()
    outcome = push(source, policy_0=Worker(fails_at="start 3 of 7.1", failure=Missed("no")))
    assert source.gathered == ["a", "b", "c"]  # the other ranks gather on: this one must too
    assert outcome.taken == () and set(outcome.missed) == {"policy-0"}


def test_a_bucket_that_can_not_be_shared_is_missed_by_all_and_the_walk_goes_on() -> None:
    def full(bucket: WeightBucket) -> object:
        raise Missed("the object store is full")

    source, worker = Source(), Worker()
    reached = ActiveReceivers({"policy-0": worker}, share=full, timeout_s=9)
    outcome = reached.outcome(BucketSender(source).send(ORDER, reached))
    assert outcome.missed == {"policy-0": "the object store is full"}
    assert source.gathered == ["a", "b", "c"]
    assert worker.messages == [*WHOLE[:2], "abandon"]


def test_giving_up_blames_nobody_where_somebody_is_to_blame_already() -> None:
    bad, good = Worker(fails_at="update", failure=Missed("no")), Worker()
    reached = receivers(policy_0=bad, policy_1=good)
    reached.update({})
    reached.cancel("the broadcast failed")
    outcome = reached.outcome(WeightManifest(specs=()))
    assert set(outcome.missed) == {"policy-0"} and outcome.taken == ()
    assert good.messages[-1] == "abandon"


def test_the_first_failure_in_a_broadcast_is_heard_while_others_wait_in_it() -> None:
    class Waiting(Worker):
        def update(self, info: Mapping[str, object]) -> Reply:
            def wait(timeout_s: float) -> None:
                if bad.messages[-1] == "update: done":
                    raise TimeoutError("it waits for the other one")

            return wait

    waiting, bad = Waiting(), Worker(fails_at="update", failure=Missed("killed", is_dead=True))
    reached = receivers(policy_0=waiting, policy_1=bad)
    reached.update({})
    assert reached.names == ("policy-0",)  # it is not waited for: it would answer nothing
    assert reached.outcome(WeightManifest(specs=())).dead == {"policy-1"}


def test_a_broadcast_in_which_all_wait_is_given_up_in_time() -> None:
    class Waiting(Worker):
        def update(self, info: Mapping[str, object]) -> Reply:
            def wait(timeout_s: float) -> None:
                raise TimeoutError("it waits")

            return wait

    workers = {"policy-0": Waiting(), "policy-1": Waiting()}
    reached = ActiveReceivers(workers, share=lambda bucket: bucket, timeout_s=0.01)
    reached.update({})
    assert set(reached.outcome(WeightManifest(specs=())).missed) == {"policy-0", "policy-1"}
    assert [worker.messages for worker in workers.values()] == [["abandon"], ["abandon"]]


def test_a_rank_without_receivers_only_walks_along() -> None:
    source = Source()
    BucketSender(source).send(ORDER, None)
    assert source.gathered == ["a", "b", "c"]
