"""Ray's side of workers that come and go: which bundle has a node, what is free, and one bundle more.

Owns the placement groups that are added to a run's own while it goes on. Decides nothing: cluster/elastic/decide.py
does. Of Ray's private state it reads two tables that have no public form: what each node has free, and which nodes
are about to end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import ray
from ray._private import state as ray_state
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from actors.remote.process import RemoteActor
from cluster.elastic.decide import ClusterSilent, Place, View
from cluster.launch import Bundles
from cluster.layout import Layout, Placement, Resources, Role

RESERVE_TIMEOUT_S = 5.0
"""Longest that room which was just seen is waited for; a request that stays would have an autoscaler start nodes."""


@dataclass(frozen=True, kw_only=True)
class _Reserved:
    placement: Placement
    bundles: Bundles
    is_extra: bool

    @property
    def index(self) -> int:
        return self.bundles.layout.placements.index(self.placement)


class ClusterRoom:
    """The places of one role's workers: those of the run's own bundles, and those that were added."""

    def __init__(self, bundles: Bundles, role: Role, *, start: Callable[[Placement, Bundles], RemoteActor]) -> None:
        """`start` starts an actor in a bundle and does not wait for it."""
        self._bundles = bundles
        self._start = start
        self._reserved = {
            f"bundle {placement.index}": _Reserved(placement=placement, bundles=bundles, is_extra=False)
            for placement in bundles.layout.of(role)
        }
        self._pattern = bundles.layout.of(role)[0]
        self._num_added = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all places, in the order in which they were reserved."""
        return tuple(self._reserved)

    @property
    def bundle(self) -> Resources:
        """What one place takes."""
        return self._pattern.bundle

    def look(self) -> View:
        """
        Raises:
            ClusterSilent: Ray does not answer.
        """
        try:
            ending = set(ray_state.state.get_draining_nodes())
            alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
            free = ray_state.available_resources_per_node()
            own = _nodes(self._bundles.group)
            nodes = {
                key: (_nodes(reserved.bundles.group) if reserved.is_extra else own)[reserved.index]
                for key, reserved in list(self._reserved.items())  # looked at from a thread
            }
        except (RayError, RuntimeError) as failure:
            raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure
        return View(
            places=tuple(
                Place(key=key, node=node if node in alive else None, is_draining=node in ending)
                for key, node in nodes.items()
            ),
            free=tuple(
                Resources(cpus=has.get("CPU", 0.0), gpus=has.get("GPU", 0.0))
                for node, has in free.items()
                if node in alive - ending
            ),
            is_short=any(node not in alive for node in own.values()),
        )

    def reserve(self) -> str | None:
        """One more bundle, on whichever node has room.

        Raises:
            ClusterSilent: Ray does not answer.
        """
        wanted = {"CPU": self.bundle.cpus} | ({"GPU": self.bundle.gpus} if self.bundle.gpus else {})
        try:
            group = placement_group([wanted], strategy="PACK")
            if not group.wait(timeout_seconds=RESERVE_TIMEOUT_S):
                remove_placement_group(group)
                return None
        except (RayError, RuntimeError) as failure:
            raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure
        self._num_added += 1
        key = f"added bundle {self._num_added}"
        placement = replace(self._pattern, index=0)
        layout = Layout(device=self._bundles.layout.device, placements=(placement,))
        self._reserved[key] = _Reserved(placement=placement, bundles=Bundles(layout, group), is_extra=True)
        return key

    def release(self, key: str) -> None:
        """An added bundle is given back at once; one of the run's own group stays in it, and Ray places it again as
        soon as there is room."""
        if self._reserved[key].is_extra:
            with _answering():
                remove_placement_group(self._reserved[key].bundles.group)
            del self._reserved[key]  # not before Ray has heard of it: `close` asks again

    def start(self, key: str) -> RemoteActor:
        """A new actor in a bundle; does not wait for it."""
        reserved = self._reserved[key]
        with _answering():
            return self._start(reserved.placement, reserved.bundles)

    def close(self) -> None:
        """Give back all that was added. Where Ray does not answer any more it ends with the run."""
        for key in self.keys:
            with suppress(ClusterSilent):
                self.release(key)


@contextmanager
def _answering() -> Iterator[None]:
    """Raises ClusterSilent where Ray does not answer."""
    try:
        yield
    except (RayError, RuntimeError) as failure:
        raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure


def _nodes(group: PlacementGroup) -> dict[int, str]:
    """Bundle's index -> its node's id, empty where it has none."""
    return placement_group_table(group)["bundles_to_node_id"]
