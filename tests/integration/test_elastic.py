"""Test nodes that disappear and come, on a Ray cluster of several nodes, with small actors instead of engines.

A node is a raylet of its own on this machine. Removing one kills it, so Ray must find out by itself, as on a real
cluster; the head is told to be quick about it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray
from ray import _raylet
from ray.cluster_utils import Cluster

from actors.fleets.engines import EnginePool
from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.remote.process import RemoteActor, RemoteClass, this_process
from cluster.capacity import Node
from cluster.elastic.ray_capacity import RayCapacity
from cluster.elastic.scaling import Autoscaler, ScalingLimits
from cluster.launch import start_actor
from cluster.layout import Placement
from cluster.reserve import Bundles, cluster_nodes, placed
from contracts.config.workers import ClusterConfig, FleetConfig
from contracts.rollouts import Rollout, SamplingRequest
from tests.runs.own_ray import a_layout
from tests.runs.ray_nodes import MEMORY, owner_of_clusters, read_settings_again

Test = Callable[["Crew"], Coroutine[object, object, None]]
Refuse = Callable[[tuple[Node, ...]], dict[str, str]]


def echo_class() -> RemoteClass:
    """Return an actor class that answers with its node's id, after one second for each token that may be drawn.

    Made here, so that Ray sends the class itself: its processes don't know the tests."""

    @ray.remote
    class Echo:
        async def process(self) -> object:
            return this_process()

        async def ready(self) -> object:
            return this_process()

        async def heartbeat(self) -> None:
            return

        async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, tuple[Rollout, ...]]]:
            node = ray.get_runtime_context().get_node_id()
            for request in requests:
                await asyncio.sleep(request.max_tokens)
                rollout = Rollout(token_ids=(1,), logprobs=(0.0,), text=node, finish_reason="stop", token_versions=(0,))
                yield request.request_id, (rollout,)

    return Echo


@dataclass
class Nodes:
    """Hold the cluster's nodes; the head has resources for one worker."""

    cluster: Cluster

    def add(self, *, num_workers: int = 1) -> object:
        return self.cluster.add_node(num_cpus=num_workers, object_store_memory=MEMORY)

    def lose(self, node: object) -> None:
        self.cluster.remove_node(node, allow_graceful=False)


@dataclass
class Crew:
    """Run the workers of a fleet, in bundles of one CPU each, that follow the nodes."""

    nodes: Nodes
    second: object  # the node of the second worker
    supervisor: Supervisor
    pool: EnginePool
    capacity: RayCapacity
    autoscaler: Autoscaler
    events: list[tuple[str, str]]
    num_asked: int = field(default=0)

    def names(self) -> list[str]:
        return [worker.name for worker in self.supervisor.serving()]

    async def ask(self, num: int, *, seconds: int = 0) -> set[str]:
        """Return the nodes that answered so many simultaneous requests, each of which takes so long."""
        first, self.num_asked = self.num_asked, self.num_asked + num
        answers = await asyncio.gather(*(self.pool.sample(a_request(first + number, seconds)) for number in range(num)))
        return {rollout.text for rollouts in answers for rollout in rollouts}

    async def until(self, names: list[str]) -> None:
        while self.names() != names:
            await asyncio.sleep(0.05)

    def changes(self) -> list[str]:
        return [reason for kind, reason in self.events if kind == "fleet"]


def a_request(number: int, seconds: int) -> SamplingRequest:
    return SamplingRequest(
        request_id=str(number), prompt_token_ids=(1,), seeds=(number,), max_tokens=seconds, temperature=1.0
    )


@pytest.fixture(scope="module")
def protected(ray_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let this process start clusters that a token protects and that notice a lost node within seconds."""
    with owner_of_clusters(ray_folder, tmp_path_factory.mktemp("elastic") / "token") as patch:
        for what in ("period", "timeout", "initial_delay"):
            patch.setenv(f"RAY_health_check_{what}_ms", "1000")
        patch.setenv("RAY_health_check_failure_threshold", "3")
        read_settings_again()
        yield


@pytest.fixture
def nodes(protected: None) -> Iterator[Nodes]:
    """Start a cluster with a head for one worker, and connect this process to it."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False},
    )
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield Nodes(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


def refuse_none(nodes: tuple[Node, ...]) -> dict[str, str]:
    return {}


def followed(nodes: Nodes, test: Test, *, least: int = 1, most: int = 2, refuse: Refuse = refuse_none) -> None:
    """Run two workers on two nodes, checked every half second, during a test. Nodes that are refused get no worker."""
    layout = a_layout("policy", 2, cpus=1)
    second, echo = nodes.add(), echo_class()

    def start(placement: Placement, bundles: Bundles) -> RemoteActor:
        return start_actor(echo, placement, bundles, ())

    @asynccontextmanager
    async def crew(bundles: Bundles) -> AsyncIterator[Crew]:
        events: list[tuple[str, str]] = []
        config = WorkerPoolConfig(
            role="policy",
            rules=FleetConfig(heartbeat_s=0.3, suspect_after_s=1, dead_after_s=3, backoff_s=0.1),
            start_timeout_s=120,
            min_workers=least,
            on_event=lambda kind, reason, _: events.append((kind, reason)),
        )
        supervisor = Supervisor(config)
        for placement in layout.placements:
            supervisor.add(lambda placement=placement: start(placement, bundles))
        await supervisor.open()
        capacity = RayCapacity(bundles, "policy", start=start, refuse=refuse)
        limits = ScalingLimits(min_workers=least, max_workers=most, bundle=capacity.bundle)
        autoscaler = Autoscaler("policy", supervisor, capacity, limits=limits, on_event=config.on_event)
        autoscaler.occupy(capacity.keys, supervisor.workers)
        following = asyncio.ensure_future(autoscaler.run(every_s=0.5))
        try:
            yield Crew(nodes, second, supervisor, EnginePool(supervisor, timeout_s=120), capacity, autoscaler, events)
            assert not following.done(), following
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await supervisor.close()
            capacity.close()

    async def bounded(bundles: Bundles) -> None:
        async with asyncio.timeout(240), crew(bundles) as seen:
            await test(seen)

    config = ClusterConfig(placement_timeout_s=60)
    with placed(layout, config, lambda text: None) as bundles:
        asyncio.run(bounded(bundles))


def test_requests_go_on_when_a_node_is_lost_and_one_that_comes_brings_a_worker_back(nodes: Nodes) -> None:
    async def watch(crew: Crew) -> None:
        both = await crew.ask(4)
        assert len(both) == 2
        there = next(worker for worker in crew.supervisor.workers if _node(crew, worker.index) != _head())
        here = next(worker for worker in crew.supervisor.workers if worker is not there)
        under_way = asyncio.ensure_future(crew.ask(2, seconds=5))
        await asyncio.sleep(1)
        crew.nodes.lose(crew.second)
        assert await under_way == {_head()}  # that of the lost node was asked again
        await crew.until([here.name])
        assert await crew.ask(4) == {_head()}
        while not crew.changes():
            await asyncio.sleep(0.05)
        assert crew.changes() == ["policy: 2 -> 1 workers"]
        assert there not in crew.supervisor.remaining()

        crew.nodes.add()
        await crew.until([here.name, "policy-2"])
        third = await crew.ask(4)
        assert len(third) == 2 and _head() in third and third != both
        assert crew.changes() == ["policy: 2 -> 1 workers", "policy: 1 -> 2 workers"]
        assert crew.capacity.keys == ("bundle 0", "bundle 1")  # in the slot of the one that was given up

    followed(nodes, watch)


def test_workers_are_added_on_nodes_that_come_up_to_the_most_and_their_places_are_given_back(nodes: Nodes) -> None:
    async def watch(crew: Crew) -> None:
        crew.nodes.add(num_workers=3)
        await crew.until(["policy-0", "policy-1", "policy-2", "policy-3"])
        assert len(await crew.ask(8)) == 3
        assert len(crew.capacity.keys) == 4
        assert crew.changes() == ["policy: 2 -> 3 workers", "policy: 3 -> 4 workers"]
        assert ray.available_resources().get("CPU") == 1  # the third of the new node: four were to be the most
        crew.capacity.close()
        while ray.available_resources().get("CPU") != 3:
            await asyncio.sleep(0.05)

    followed(nodes, watch, most=4)


def test_a_node_that_is_not_fit_for_the_run_gets_no_worker_and_the_next_one_does(nodes: Nodes) -> None:
    fit: set[str] = set()

    def refuse(there: tuple[Node, ...]) -> dict[str, str]:
        return {node.id: "its vllm is another one" for node in there if fit and node.id not in fit}

    async def watch(crew: Crew) -> None:
        fit.update(node.id for node in cluster_nodes())
        crew.nodes.add()
        (unfit,) = {node.id for node in cluster_nodes()} - fit
        while "policy: a node gets no worker" not in crew.changes():
            await asyncio.sleep(0.05)
        assert crew.names() == ["policy-0", "policy-1"]
        crew.nodes.add()
        fit.update(node.id for node in cluster_nodes() if node.id != unfit)
        await crew.until(["policy-0", "policy-1", "policy-2"])
        assert await crew.ask(6) == fit

    followed(nodes, watch, most=3, refuse=refuse)


def test_a_node_that_is_about_to_end_is_left_before_it_does(nodes: Nodes) -> None:
    async def watch(crew: Crew) -> None:
        there = next(worker for worker in crew.supervisor.workers if _node(crew, worker.index) != _head())
        here = next(worker for worker in crew.supervisor.workers if worker is not there)
        _announce_end(_node(crew, there.index))
        await crew.until([here.name])
        assert await crew.ask(4) == {_head()}
        crew.nodes.add()
        await crew.until([here.name, "policy-2"])
        assert crew.changes() == ["policy: 2 -> 1 workers", "policy: 1 -> 2 workers"]

    followed(nodes, watch)


def test_where_no_fewer_may_be_a_worker_waits_for_its_node_and_keeps_its_name(nodes: Nodes) -> None:
    async def watch(crew: Crew) -> None:
        crew.nodes.lose(crew.second)
        while all(slot.node for slot in crew.capacity.look().slots):
            await asyncio.sleep(0.05)
        for _ in range(4):
            await crew.autoscaler.look()
        assert await crew.ask(2) == {_head()}
        crew.nodes.add()
        await crew.until(["policy-0", "policy-1"])
        assert len(await crew.ask(2)) == 2
        assert crew.changes() == []

    followed(nodes, watch, least=2)


def _head() -> str:
    """Return the driver's own node."""
    return ray.get_runtime_context().get_node_id()


def _node(crew: Crew, index: int) -> str | None:
    """Return the node of the worker in one of the first bundles."""
    return next(slot.node for slot in crew.capacity.look().slots if slot.key == f"bundle {index}")


def _announce_end(node: str | None) -> None:
    """Imitate a cloud's notice of preemption of a node."""
    assert node is not None
    preempted = 2  # DRAIN_NODE_REASON_PREEMPTION
    address = ray.get_runtime_context().gcs_address
    gcs = _raylet.GcsClient(address=address)  # pyright: ignore[reportAttributeAccessIssue]
    taken, why = gcs.drain_node(node, preempted, "spot", 2**62)
    assert taken, why
