"""Test on a Ray cluster that actors stay on the nodes of their labels: reserved, added, unreserved, and moved."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from actors.remote.process import RemoteActor, RemoteClass
from cluster.builds import Builds
from cluster.capacity import Node
from cluster.device import place
from cluster.elastic.ray_capacity import RayCapacity
from cluster.launch import connected, start_unreserved
from cluster.layout import ROLES, Layout, Placement
from cluster.reserve import Bundles, cluster_nodes, placed
from contracts.config.workers import ClusterConfig
from tests.builders import a_config, a_console
from tests.refusals import refused
from tests.runs.ray_nodes import MEMORY, owner_of_clusters

FOR_CPUS = Builds(torch_cuda=None, vllm_cuda=False)
STEADY = {"market": "!spot"}
POLICY_ON_SPOT = {"policy": {"market": "spot"}, "pivot": STEADY, "scorer": STEADY, "learner": STEADY}


@pytest.fixture(scope="module")
def cluster(ray_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a head that takes no actor, a spot node of 2 CPUs and a steady one of 4, and connect this process to them."""
    with owner_of_clusters(ray_folder, tmp_path_factory.mktemp("labels") / "token") as patch:
        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        try:
            started.add_node(num_cpus=2, object_store_memory=MEMORY, labels={"market": "spot"})
            started.add_node(num_cpus=4, object_store_memory=MEMORY, labels={"market": "on-demand"})
            patch.setenv("RAY_ADDRESS", str(started.address))
            with connected(ClusterConfig(), a_console()):
                yield started
        finally:
            started.shutdown()


def laid_out(nodes: Mapping[str, Mapping[str, str]], *, num_workers: int = 1) -> Layout:
    config = a_config(policy={"num_workers": num_workers, "max_workers": 4}, cluster={"nodes": nodes, "device": "cpu"})
    return place(config, cluster_nodes(), FOR_CPUS, roles=ROLES, console=a_console())


def market_of(node: str | None) -> str | None:
    return next((known.labels.get("market") for known in cluster_nodes() if known.id == node), None)


def markets(bundles: Bundles) -> dict[str, str | None]:
    """Return the market of the node of each actor."""
    return {name: market_of(node) for name, node in bundles.nodes().items()}


def where_class() -> RemoteClass:
    """Return an actor class that says on which node it is. Made here, so that Ray sends the class itself."""

    @ray.remote
    class Where:
        def node(self) -> str:
            return ray.get_runtime_context().get_node_id()

    return Where


def test_bundles_are_on_nodes_of_their_labels_and_the_head_has_none(cluster: Cluster) -> None:
    with placed(laid_out(POLICY_ON_SPOT, num_workers=2), ClusterConfig(), lambda text: None) as bundles:
        assert markets(bundles) == {
            **dict.fromkeys(("policy-0", "policy-1"), "spot"),
            **dict.fromkeys(("pivot-0", "scorer-0", "learner-0"), "on-demand"),
        }


def test_labels_that_no_node_has_are_refused_before_anything_waits(cluster: Cluster) -> None:
    with refused("cluster.nodes.policy", "policy-0", "market=reserved", "market=on-demand", "market=spot"):
        laid_out({"policy": {"market": "reserved"}})


def test_an_actor_without_a_bundle_starts_on_a_node_of_its_labels(cluster: Cluster) -> None:
    for market in ("spot", "on-demand"):
        (placement,) = laid_out({"pivot": {"market": market}}).of("pivot")
        actor = start_unreserved(where_class(), placement, ())
        assert market_of(ray.get(actor.node.remote(), timeout=60)) == market
        ray.kill(actor)


def test_workers_are_added_on_nodes_of_their_labels_alone(cluster: Cluster) -> None:
    """The steady node has a CPU left, the spot node none. Then another spot node comes."""

    def never(placement: Placement, bundles: Bundles) -> RemoteActor:
        raise AssertionError(placement)

    def unfit(nodes: tuple[Node, ...]) -> dict[str, str]:
        return {node.id: "told so" for node in nodes if node.total.cpus == 4}

    with placed(laid_out(POLICY_ON_SPOT, num_workers=2), ClusterConfig(), lambda text: None) as bundles:
        for refuse in (lambda nodes: {}, unfit):  # a refused node makes the run name a node to Ray
            capacity = RayCapacity(bundles, "policy", start=never, refuse=refuse)
            assert [room.cpus for room in capacity.look().free if room.cpus] == []
            assert capacity.reserve() is None
            node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY, labels={"market": "spot"})
            try:
                assert [room.cpus for room in capacity.look().free if room.cpus] == [1]
                key = capacity.reserve()
                (added,) = (slot for slot in capacity.look().slots if slot.key == key)
                assert market_of(added.node) == "spot"
            finally:
                capacity.close()
                cluster.remove_node(node)


def test_a_bundle_whose_node_is_lost_waits_for_another_of_its_labels(cluster: Cluster) -> None:
    """The steady node has a CPU left, which a lost policy worker must not take."""
    spot = cluster.add_node(num_cpus=3, object_store_memory=MEMORY, labels={"market": "spare"})
    spare = {**POLICY_ON_SPOT, "policy": {"market": "spare"}}
    with placed(laid_out(spare), ClusterConfig(), lambda text: None) as bundles:
        assert markets(bundles)["policy-0"] == "spare"
        cluster.remove_node(spot, allow_graceful=False)
        group, _ = bundles.slots["policy-0"]
        deadline = time.monotonic() + 120
        while bundles.nodes()["policy-0"] is not None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert not group.wait(timeout_seconds=3)
        cluster.add_node(num_cpus=1, object_store_memory=MEMORY, labels={"market": "spare"})
        assert group.wait(timeout_seconds=60)
        assert markets(bundles)["policy-0"] == "spare"
