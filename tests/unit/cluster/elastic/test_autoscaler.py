"""Test scaling, look by look: which workers there are, in which slots, and the events."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from actors.fleets.worker import RestartBudget, Worker, WorkerState
from actors.remote.process import RemoteActor
from cluster.elastic.scaling import Autoscaler, ClusterSilent, ClusterView, ScalingLimits, Slot
from cluster.layout import Resources
from contracts.config.workers import FleetConfig
from tests.fakes.ports import run

BUNDLE = Resources(cpus=2, gpus=1)


@dataclass
class FakeWorkers:
    """Number the workers in their order, and never use a number twice."""

    workers: list[Worker] = field(default_factory=list)
    removed: dict[str, str] = field(default_factory=dict)

    def remaining(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state is not WorkerState.RETIRED]

    def add(self, start: Callable[[], RemoteActor]) -> Worker:
        index = len(self.workers)
        worker = Worker(f"policy-{index}", index, start=start, budget=RestartBudget(FleetConfig()), handle=start())
        self.workers.append(worker)
        return worker

    def remove(self, worker: Worker, why: str) -> None:
        worker.state = WorkerState.RETIRED
        self.removed[worker.name] = why


@dataclass
class FakeCapacity:
    """Stand for a cluster: nodes by slot, and how many more slots have room."""

    nodes: dict[str, str | None]
    num_free: int = 0
    is_silent: bool = False
    unanswered: set[str] = field(default_factory=set)  # slots whose next release gets no answer
    is_taken_by_another: bool = False
    ending: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)

    def look(self) -> ClusterView:
        self._answer()
        return ClusterView(
            slots=tuple(Slot(key=key, node=node, is_draining=node in self.ending) for key, node in self.nodes.items()),
            free=(BUNDLE,) * self.num_free,
            is_short=any(node is None for key, node in self.nodes.items() if key not in self.added),
            refused=self.refused,
        )

    def reserve(self) -> str | None:
        self._answer()
        if self.is_taken_by_another:
            return None
        key = f"added {len(self.added)}"
        self.added.append(key)
        self.nodes[key] = "another node"
        self.num_free -= 1
        return key

    def release(self, key: str) -> None:
        if key in self.unanswered:
            self.unanswered.remove(key)
            raise ClusterSilent("no answer")
        if key in self.added:
            del self.nodes[key]

    def start(self, key: str) -> RemoteActor:
        assert self.nodes[key] is not None, f"nothing can start in {key}"
        return f"an actor in {key}"

    def _answer(self) -> None:
        if self.is_silent:
            raise ClusterSilent("no answer")


@dataclass
class Watched:
    """Hold an autoscaler of two workers on two nodes, and its events."""

    capacity: FakeCapacity
    workers: FakeWorkers
    autoscaler: Autoscaler
    events: list[tuple[str, str, str]]

    def look(self) -> None:
        run(self.autoscaler.look())

    def names(self) -> list[str]:
        return [worker.name for worker in self.workers.remaining()]


def watched(*, least: int = 1, most: int = 2, num_free: int = 0) -> Watched:
    capacity = FakeCapacity({"bundle 0": "head", "bundle 1": "other"}, num_free=num_free)
    workers, events = FakeWorkers(), []
    for key in capacity.nodes:
        workers.add(lambda key=key: capacity.start(key))
    autoscaler = Autoscaler(
        "policy",
        workers,
        capacity,
        limits=ScalingLimits(min_workers=least, max_workers=most, bundle=BUNDLE),
        on_event=lambda *event: events.append(event),
    )
    autoscaler.occupy(list(capacity.nodes), workers.workers)
    return Watched(capacity, workers, autoscaler, events)


def test_an_unchanged_cluster_changes_nothing_and_is_no_event() -> None:
    seen = watched()
    seen.look()
    assert (seen.names(), seen.events) == (["policy-0", "policy-1"], [])


def test_a_lost_node_costs_its_worker_and_a_new_node_brings_one_into_the_same_slot() -> None:
    seen = watched()
    seen.capacity.nodes["bundle 1"] = None
    seen.look()
    assert seen.names() == ["policy-0", "policy-1"]
    seen.look()
    assert seen.names() == ["policy-0"]
    seen.look()
    assert seen.names() == ["policy-0"]
    seen.capacity.nodes["bundle 1"] = "third"
    seen.look()
    assert seen.names() == ["policy-0", "policy-2"]
    assert seen.workers.workers[2].handle == "an actor in bundle 1"
    assert seen.capacity.added == []
    assert seen.events == [
        (
            "fleet",
            "policy: 2 -> 1 workers",
            "policy-1 is removed: its node is gone, and no other node has free resources",
        ),
        (
            "fleet",
            "policy: 1 -> 2 workers",
            "policy-2 is added: a node has free resources again",
        ),
    ]


def test_a_node_that_is_back_at_the_next_look_costs_no_worker() -> None:
    seen = watched()
    for node in (None, "third", None, "fourth"):
        seen.capacity.nodes["bundle 1"] = node
        seen.look()
    assert (seen.names(), seen.events) == (["policy-0", "policy-1"], [])


def test_one_worker_a_look_is_added_up_to_the_maximum() -> None:
    seen = watched(most=4, num_free=8)
    sizes = []
    for _ in range(4):
        seen.look()
        sizes.append(len(seen.names()))
    assert sizes == [3, 4, 4, 4]
    assert [reason for _, reason, _ in seen.events] == ["policy: 2 -> 3 workers", "policy: 3 -> 4 workers"]


def test_resources_that_another_run_took_first_are_asked_for_again() -> None:
    seen = watched(most=3, num_free=1)
    seen.capacity.is_taken_by_another = True
    seen.look()
    assert (len(seen.names()), seen.events) == (2, [])
    seen.capacity.is_taken_by_another = False
    seen.look()
    assert len(seen.names()) == 3


def test_an_added_slot_on_a_node_that_ends_is_released() -> None:
    seen = watched(most=3, num_free=1)
    seen.look()
    assert "added 0" in seen.capacity.nodes
    seen.capacity.ending.add("another node")
    seen.look()
    assert seen.workers.removed == {"policy-2": "its node will be taken away"}
    assert "added 0" not in seen.capacity.nodes


def test_a_worker_that_spent_its_restarts_is_not_replaced_and_its_added_slot_released() -> None:
    seen = watched(most=3, num_free=1)
    seen.look()
    seen.capacity.num_free = 5
    for worker in (seen.workers.workers[0], seen.workers.workers[2]):
        worker.state = WorkerState.RETIRED
    for _ in range(3):
        seen.look()
    assert seen.names() == ["policy-1"]
    assert list(seen.capacity.nodes) == ["bundle 0", "bundle 1"]


def test_a_closed_slot_that_can_not_be_released_at_once_gets_no_other_worker() -> None:
    seen = watched(most=3, num_free=1)
    seen.look()
    seen.capacity.num_free = 5
    (added,) = seen.capacity.added
    seen.capacity.unanswered = {added}
    seen.workers.workers[2].state = WorkerState.RETIRED
    for _ in range(3):
        seen.look()
    assert not seen.capacity.unanswered
    assert seen.names() == ["policy-0", "policy-1"]


def test_a_cluster_that_does_not_answer_is_one_event_and_looked_at_again() -> None:
    seen = watched(most=3, num_free=1)
    seen.capacity.is_silent = True
    seen.look()
    seen.look()
    assert seen.events == [("fleet", "policy: the resources of the cluster are unknown", "no answer")]
    seen.capacity.is_silent = False
    seen.look()
    assert len(seen.names()) == 3
    seen.capacity.is_silent = True
    seen.look()
    assert len(seen.events) == 3


def test_a_node_that_gets_no_worker_is_one_event_with_its_fault() -> None:
    seen = watched(most=3)
    seen.capacity.refused = {"third": "vllm is 0.31, and the driver has 0.32"}
    seen.look()
    seen.look()
    assert seen.events == [
        ("fleet", "policy: a node gets no worker", "third: vllm is 0.31, and the driver has 0.32"),
    ]


def test_the_loop_looks_again_and_again_until_it_is_stopped() -> None:
    async def watch() -> None:
        seen = watched(most=4, num_free=2)
        loop = asyncio.ensure_future(seen.autoscaler.run(every_s=0))
        while len(seen.names()) < 4:
            await asyncio.sleep(0)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop

    run(watch())
