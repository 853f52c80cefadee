"""Choose a node for every bundle of a run, so that learner ranks share as few nodes as possible.

Ray's own strategies place each bundle on the node with the most room, which scatters the ranks of a learner. Every
gather of ZeRO-3 then crosses the network.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cluster.capacity import Node, fits
from cluster.layout import Layout, Resources, Slot
from contracts.errors import BadInput

Room = dict[str, Resources]
"""What is left on each node, by the node's id."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Hold slots that are reserved together, on one node."""

    node: str  # Ray's id of the node
    slots: tuple[Slot, ...]


def packed(wanted: Layout, free: Mapping[str, Resources]) -> tuple[Part, ...] | None:
    """Return the layout in parts, each on one node; None if no way was found.

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
        room = dict(free)
        parts = (_singly(first, room), _together(ranks, room), _singly(then, room))
        if all(part is not None for part in parts):
            return tuple(part for found in parts if found is not None for part in found)
    return None


def check_packs(wanted: Layout, nodes: Sequence[Node]) -> None:
    """Check that the nodes, with nothing else on them, hold all bundles at once.

    Raises:
        BadInput: they don't, though the sums fit; `key` is "cluster".
    """
    if packed(wanted, {node.id: node.total for node in nodes}) is None:
        sizes = sorted({slot.bundle for slot in wanted.slots}, key=_amount, reverse=True)
        have = sorted({node.total for node in nodes}, key=_amount, reverse=True)
        raise BadInput(
            f"the bundles of the run don't fit onto the cluster's {len(nodes)} nodes: each bundle "
            f"({', '.join(map(str, sizes))}) needs one node, and nodes have {', '.join(map(str, have))}; choose sizes "
            "that divide those of the nodes, or start more nodes",
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
        nodes = [node for node, left in room.items() if fits(slot.bundle, left)]
        if not nodes:
            return None
        node = min(nodes, key=lambda node: _amount(room[node]))
        _take(room, node, [slot])
        parts.append(Part(node=node, slots=(slot,)))
    return parts


def _together(ranks: Sequence[Slot], room: Room) -> list[Part] | None:
    """Place ranks on as few nodes as possible, and take them out of `room`.

    The nodes that hold most come first. The last ranks go where they leave the least.
    """
    parts: list[Part] = []
    waiting = list(ranks)
    while waiting:
        held = {node: _how_many(waiting, left) for node, left in room.items()}
        most = max(held.values(), default=0)
        if most == 0:
            return None
        node = min((node for node, count in held.items() if count == most), key=lambda node: _amount(room[node]))
        _take(room, node, waiting[:most])
        parts.append(Part(node=node, slots=tuple(waiting[:most])))
        waiting = waiting[most:]
    return parts


def _how_many(slots: Sequence[Slot], left: Resources) -> int:
    """Return how many of the slots, from the first on, fit together into what is left on a node."""
    for count, slot in enumerate(slots):
        if not fits(slot.bundle, left):
            return count
        left = _less(left, slot)
    return len(slots)


def _take(room: Room, node: str, slots: Iterable[Slot]) -> None:
    for slot in slots:
        room[node] = _less(room[node], slot)


def _less(left: Resources, slot: Slot) -> Resources:
    return Resources(cpus=left.cpus - slot.bundle.cpus, gpus=left.gpus - slot.bundle.gpus)


def _amount(resources: Resources) -> tuple[float, float]:
    return (resources.gpus, resources.cpus)
