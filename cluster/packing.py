"""Choose a node for every bundle of a run, so that learner ranks share as few nodes as possible.

Ray's own strategies place each bundle on the node with the most room, which scatters the ranks of a learner. Every
gather of ZeRO-3 then crosses the network.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from cluster.capacity import ROUNDING, Node
from cluster.labels import described, matches
from cluster.layout import Layout, Resources, Slot
from contracts.errors import BadInput


@dataclass(frozen=True)
class Left:
    """Hold what is left on a node. A part of a GPU must come from one GPU, so GPUs are not only counted."""

    cpus: float
    gpus: tuple[float, ...]  # the free part of each GPU
    labels: Mapping[str, str] = field(default_factory=dict)  # of the node

    @classmethod
    def of(cls, free: Resources, labels: Mapping[str, str]) -> Self:
        """Return what Ray's counts mean: whole GPUs, and one of which the rest is free."""
        whole = math.floor(free.gpus + ROUNDING)
        rest = free.gpus - whole
        return cls(free.cpus, (1.0,) * whole + ((rest,) if rest > ROUNDING else ()), labels)

    @property
    def amount(self) -> tuple[float, float]:
        """Return GPUs and CPUs, to compare nodes by."""
        return (sum(self.gpus), self.cpus)

    def less(self, slot: Slot) -> "Left | None":
        """Return what is left beside a slot; None if it does not fit, or may not be on the node.

        Whole GPUs must be free. A part is taken from the GPU that has least left, as Ray takes it.
        """
        bundle = slot.bundle
        if bundle.cpus > self.cpus + ROUNDING or not matches(self.labels, slot.nodes):
            return None
        gpus, needed = sorted(self.gpus), bundle.gpus
        while needed > ROUNDING:
            share = min(1.0, needed)
            index = next((index for index, left in enumerate(gpus) if left >= share - ROUNDING), None)
            if index is None:
                return None
            gpus[index] -= share
            needed -= share
        return replace(self, cpus=self.cpus - bundle.cpus, gpus=tuple(gpus))


Room = dict[str, Left]
"""What is left on each node, by the node's id."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Hold slots that are reserved together, on one node."""

    node: str  # Ray's id of the node
    slots: tuple[Slot, ...]


def packed(
    wanted: Layout, free: Mapping[str, Resources], labels: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[Part, ...] | None:
    """Return the layout in parts, each on one node; None if no way was found. Nodes are named by their ids.

    Ranks of the learner are parts of several slots, every other slot is a part of its own. What is tried in turn: the
    ranks take whole nodes; the slots of several GPUs are placed before the ranks; all slots are.
    """
    ranks = [slot for slot in wanted.slots if slot.is_rank]
    others = sorted(
        (slot for slot in wanted.slots if not slot.is_rank), key=lambda slot: _amount(slot.bundle), reverse=True
    )
    for goes_first in _BEFORE_THE_RANKS:
        first = [slot for slot in others if goes_first(slot)]
        then = [slot for slot in others if not goes_first(slot)]
        room = {node: Left.of(has, (labels or {}).get(node, {})) for node, has in free.items()}
        parts = (_singly(first, room), _together(ranks, room), _singly(then, room))
        if all(part is not None for part in parts):
            return tuple(part for found in parts if found is not None for part in found)
    return None


def check_packs(wanted: Layout, nodes: Sequence[Node]) -> None:
    """Check that the nodes, with nothing else on them, hold all bundles at once.

    Raises:
        BadInput: they don't, though the sums fit; `key` is "cluster".
    """
    if packed(wanted, {node.id: node.total for node in nodes}, {node.id: node.labels for node in nodes}) is None:
        sizes = sorted({slot.bundle for slot in wanted.slots}, key=_amount, reverse=True)
        kinds = sorted({described(slot.nodes) for slot in wanted.slots if slot.nodes})
        labelled = f", some bundles may be only on nodes with {' or '.join(kinds)} (cluster.nodes)" if kinds else ""
        have = sorted({node.total for node in nodes}, key=_amount, reverse=True)
        raise BadInput(
            f"the bundles of the run don't fit onto the cluster's {len(nodes)} nodes: each bundle "
            f"({', '.join(map(str, sizes))}) needs one node, a part of a GPU comes from one GPU{labelled}, and nodes "
            f"have {', '.join(map(str, have))}; choose sizes that divide those of the nodes, or start more nodes",
            key="cluster",
        )


_BEFORE_THE_RANKS: tuple[Callable[[Slot], bool], ...] = (
    lambda slot: False,
    lambda slot: slot.bundle.gpus > 1,
    lambda slot: True,
)


def _singly(slots: Iterable[Slot], room: Room) -> list[Part] | None:
    """Place each slot on the node where it leaves the least, and take it out of `room`."""
    parts: list[Part] = []
    for slot in slots:
        after = {node: left for node, has in room.items() if (left := has.less(slot)) is not None}
        if not after:
            return None
        node = min(after, key=lambda node: room[node].amount)
        room[node] = after[node]
        parts.append(Part(node=node, slots=(slot,)))
    return parts


def _together(ranks: Sequence[Slot], room: Room) -> list[Part] | None:
    """Place ranks on as few nodes as possible, and take them out of `room`.

    The nodes that hold most come first. The last ranks go where they leave the least.
    """
    parts: list[Part] = []
    waiting = list(ranks)
    while waiting:
        held = {node: _filled(waiting, has) for node, has in room.items()}
        most = max((count for count, _ in held.values()), default=0)
        if most == 0:
            return None
        node = min((node for node, (count, _) in held.items() if count == most), key=lambda node: room[node].amount)
        room[node] = held[node][1]
        parts.append(Part(node=node, slots=tuple(waiting[:most])))
        waiting = waiting[most:]
    return parts


def _filled(slots: Sequence[Slot], left: Left) -> tuple[int, Left]:
    """Return how many of the slots, from the first on, fit together into a node, and what is left of it then."""
    for count, slot in enumerate(slots):
        after = left.less(slot)
        if after is None:
            return count, left
        left = after
    return len(slots), left


def _amount(resources: Resources) -> tuple[float, float]:
    return (resources.gpus, resources.cpus)
