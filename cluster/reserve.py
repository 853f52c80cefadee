"""Reserve the bundles of a run in Ray, and give them back."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray._private import state as ray_state
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from cluster.capacity import Node
from cluster.host_memory import GIB
from cluster.layout import Layout, Placement, Resources, summed
from cluster.packing import Part, packed
from contracts.config.workers import ClusterConfig
from contracts.errors import RunFailed

LOOK_S = 0.5
"""Time between two looks at what is free, in seconds."""
FIRST_SAY_S, SAY_S = 2.0, 30.0
"""Time before the first line about what the run waits for, and between two lines, in seconds."""
TAKE_S = 10.0
"""Longest wait for resources that were just seen free, in seconds: another run may have taken them."""


@dataclass(frozen=True)
class Bundles:
    """Hold the reserved bundles of a run."""

    layout: Layout
    slots: Mapping[str, tuple[PlacementGroup, int]]  # by the name of the placement: its group, its index in the group

    def slot(self, placement: Placement) -> tuple[PlacementGroup, int]:
        """Return the group of a bundle and its index in it."""
        return self.slots[placement.name]

    def nodes(self) -> dict[str, str | None]:
        """Return the id of every bundle's node, by the name of the placement; None for one without a node."""
        found = {group.id: nodes_of(group) for group, _ in self.slots.values()}
        return {name: found[group.id].get(index) for name, (group, index) in self.slots.items()}


def cluster_nodes() -> tuple[Node, ...]:
    """Return the nodes that are alive. Nodes of one host name get the first digits of their ids into their names."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(node["NodeManagerHostname"] for node in alive)
    return tuple(
        Node(
            id=node["NodeID"],
            name=_name(node, is_alone=hosts[node["NodeManagerHostname"]] == 1),
            total=resources(node["Resources"]),
            labels=node["Labels"],
            object_store_gib=node["Resources"].get("object_store_memory", math.inf) / GIB,
        )
        for node in alive
    )


def _name(node: Mapping[str, str], *, is_alone: bool) -> str:
    host = node["NodeManagerHostname"]
    return host if is_alone else f"{host} ({node['NodeID'][:6]})"


def resources(counts: Mapping[str, float]) -> Resources:
    """Return the CPUs and GPUs among Ray's resources."""
    return Resources(cpus=counts.get("CPU", 0.0), gpus=counts.get("GPU", 0.0))


def demand(bundle: Resources) -> dict[str, float]:
    """Return what Ray is asked for. A resource of which nothing is needed may not be named."""
    return {"CPU": bundle.cpus} | ({"GPU": bundle.gpus} if bundle.gpus else {})


@contextmanager
def placed(layout: Layout, config: ClusterConfig, on_wait: Callable[[str], None]) -> Iterator[Bundles]:
    """Reserve all bundles of a run, for the time of the run. Says every 30 s what it waits for.

    Nothing is held while it waits: two runs that wait for each other's resources would wait for ever.

    Raises:
        RunFailed: the bundles were not free within cluster.placement_timeout_s; `key` is "cluster".
    """
    groups = _reserve(layout, config.placement_timeout_s, on_wait)
    try:
        yield Bundles(
            layout,
            {
                placement.name: (group, index)
                for part, group in groups
                for index, slot in enumerate(part.slots)
                for placement in slot.placements
            },
        )
    finally:
        _give_back(group for _, group in groups)


def _reserve(layout: Layout, timeout_s: float, on_wait: Callable[[str], None]) -> list[tuple[Part, PlacementGroup]]:
    started = time.monotonic()
    say_at = started + FIRST_SAY_S
    while True:
        free = free_by_node()
        parts = packed(layout, free, {node.id: node.labels for node in cluster_nodes()})
        if parts is not None and (groups := _taken(parts)) is not None:
            return groups
        now = time.monotonic()
        if now - started >= timeout_s:
            raise RunFailed(
                f"the cluster had no free resources within {timeout_s:g} s (cluster.placement_timeout_s): "
                f"{_state(layout, free.values())}",
                key="cluster",
            )
        if now >= say_at:
            on_wait(f"waiting for the cluster: {_state(layout, free.values())}")
            say_at = now + SAY_S
        time.sleep(LOOK_S)


def _taken(parts: Sequence[Part]) -> list[tuple[Part, PlacementGroup]] | None:
    """Reserve all parts, each on its node or on another with its labels and as much room.

    Returns None if one was not free any more.
    """
    groups = [
        (
            part,
            placement_group(
                [demand(slot.bundle) for slot in part.slots],
                strategy="STRICT_PACK",
                _soft_target_node_id=part.node,
                bundle_label_selector=[dict(slot.nodes) for slot in part.slots],
            ),
        )
        for part in parts
    ]
    deadline = time.monotonic() + TAKE_S
    for _, group in groups:
        if not group.wait(timeout_seconds=max(0.1, deadline - time.monotonic())):
            _give_back(group for _, group in groups)
            return None
    return groups


def _give_back(groups: Iterable[PlacementGroup]) -> None:
    for group in groups:
        remove_placement_group(group)


def free_by_node() -> dict[str, Resources]:
    """Return what each living node has free now, by the node's id. Ray has no public form of this table."""
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    per_node = ray_state.state.available_resources_per_node()
    return {node: resources(counts) for node, counts in per_node.items() if node in alive}


def _state(layout: Layout, free: Iterable[Resources]) -> str:
    left = summed(free)
    return f"the run needs {layout.total} for {len(layout.placements)} actors; free now: {left}"


def nodes_of(group: PlacementGroup) -> dict[int, str]:
    """Return the node id by bundle index; a bundle without a node is left out."""
    return {index: node for index, node in placement_group_table(group)["bundles_to_node_id"].items() if node}
