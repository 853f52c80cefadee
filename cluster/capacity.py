"""Check that a cluster can hold a layout at all: the sum of its bundles, and each bundle on one node."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.labels import described, matches
from cluster.layout import ROLES, Layout, Placement, Resources, Slot, summed
from contracts.errors import BadInput

_DRIVERS_GPUS = Path("/proc/driver/nvidia/gpus")
ROUNDING = 1e-6
"""What sums of fractions of a CPU or GPU may differ by."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """Hold one node of the cluster: Ray's id of it, its name, what it has when nothing runs on it, and more."""

    id: str
    name: str
    total: Resources
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    object_store_gib: float = math.inf  # of Ray; infinite: not known

    def may_hold(self, actors: Placement | Slot) -> bool:
        """Return whether the actors fit onto the node with nothing else on it, and its labels are theirs."""
        return fits(actors.bundle, self.total) and matches(self.labels, actors.nodes)


def this_machine() -> Resources:
    """Return the CPUs of this machine, and the GPUs that NVIDIA's driver lists."""
    return Resources(cpus=os.cpu_count() or 1, gpus=len(list(_DRIVERS_GPUS.glob("*"))))


def fits(bundle: Resources, room: Resources) -> bool:
    """Return whether a bundle finds its CPUs and GPUs in this room."""
    return bundle.cpus <= room.cpus + ROUNDING and bundle.gpus <= room.gpus + ROUNDING


def check_fits(wanted: Layout, nodes: tuple[Node, ...], *, way_out: str = "") -> None:
    """Check that the cluster, with nothing else on it, could hold the layout.

    Args:
        wanted: the layout.
        nodes: the cluster as it is now.
        way_out: what else helps than a smaller layout or a larger cluster; empty if nothing does.

    Raises:
        BadInput: the cluster is too small ("cluster"), a bundle fits on no node (the key of its size), or no node has
            its labels ("cluster.nodes.<role>").
    """
    hint = f", or {way_out}" if way_out else ""
    cluster = summed(node.total for node in nodes)
    if wanted.total.gpus and not cluster.gpus:
        raise BadInput(
            f"the run needs {wanted.total}, and the cluster has no GPU; start nodes with GPUs{hint}", key="cluster"
        )
    for slot in wanted.slots:
        if not any(node.may_hold(slot) for node in nodes):
            labelled = [node for node in nodes if matches(node.labels, slot.nodes)]
            if not labelled:
                raise _without_node(slot, nodes)
            largest = max(labelled, key=lambda node: (node.total.gpus, node.total.cpus))
            key, kind = _size_key(slot, largest), f" with {described(slot.nodes)}" if slot.nodes else ""
            raise BadInput(
                f"{slot.name} needs {slot.bundle} on one node, and the largest node{kind} ({largest.name}) has "
                f"{largest.total}; lower {key}, or start a larger node{hint}",
                key=key,
            )
    if not fits(wanted.total, cluster):
        shares = ", ".join(
            f"{len(wanted.of(role))} {role} x ({wanted.of(role)[0].bundle})" for role in ROLES if wanted.of(role)
        )
        raise BadInput(
            f"the cluster is too small: the run needs {wanted.total} ({shares}), the cluster has {cluster}; lower "
            f"{_keys_to_lower(wanted, cluster)}, start more nodes{hint}",
            key="cluster",
        )


def _without_node(slot: Slot, nodes: tuple[Node, ...]) -> BadInput:
    """Return the refusal of labels that no node has."""
    key = f"cluster.nodes.{slot.placements[0].role}"
    has = ({label: node.labels[label] for label in slot.nodes if label in node.labels} for node in nodes)
    have = sorted({described(labels) or "no such label" for labels in has})
    return BadInput(
        f"{slot.name} may run on nodes with {described(slot.nodes)} ({key}), and of the cluster's {len(nodes)} nodes "
        f"none is one: they have {'; '.join(have)}; start such nodes (ray start --labels), or change {key}",
        key=key,
    )


def _keys_to_lower(wanted: Layout, cluster: Resources) -> str:
    """Return the keys that make the layout smaller in what the cluster lacks."""
    lacks_gpus = wanted.total.gpus > cluster.gpus + ROUNDING
    keys: list[str] = []
    for role in ROLES:
        bundles = [placement.bundle for placement in wanted.of(role)]
        gpus = max((bundle.gpus for bundle in bundles), default=0)
        if not bundles or (lacks_gpus and not gpus):
            continue
        if len(bundles) > 1:
            keys.append(f"{role}.{'num_ranks' if role == 'learner' else 'num_workers'}")
        if lacks_gpus and gpus > 1:
            keys.append(f"{role}.tensor_parallel_size")
        if not lacks_gpus:
            keys.append(f"{role}.num_cpus")
    return " or ".join(keys) or "the number of actors"


def _size_key(slot: Slot, largest: Node) -> str:
    """Return the key that decides about what is too large in a slot."""
    biggest = max(slot.placements, key=lambda placement: (placement.bundle.gpus, placement.bundle.cpus))
    if slot.bundle.gpus <= largest.total.gpus + ROUNDING:
        return f"{biggest.role}.num_cpus"
    return "scorer.num_gpus" if biggest.role == "scorer" else f"{biggest.role}.tensor_parallel_size"
