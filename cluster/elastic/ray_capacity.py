"""Look up in Ray which bundles have a node and what is free, and reserve one more bundle while the run goes on.

Two tables of Ray's private state are read, because they have no public form: what each node has free, and which nodes
are about to end.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from ray._private import state as ray_state
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group

from actors.remote.process import RemoteActor
from cluster.capacity import Node, fits
from cluster.elastic.scaling import ClusterSilent, ClusterView, Slot
from cluster.labels import matches
from cluster.layout import Layout, Placement, Resources, Role
from cluster.reserve import Bundles, cluster_nodes, demand, free_by_node, nodes_of, resources

RESERVE_TIMEOUT_S = 5.0
"""Longest wait, in seconds, for free resources that were just seen. A request that stays open would make an autoscaler
of the cluster start nodes."""


@dataclass(frozen=True, kw_only=True)
class _Reserved:
    """Hold one reserved bundle."""

    placement: Placement
    bundles: Bundles
    is_extra: bool


class RayCapacity:
    """Hold the slots of one role's workers: the bundles that the run reserved as a whole, and those added later."""

    def __init__(
        self,
        bundles: Bundles,
        role: Role,
        *,
        start: Callable[[Placement, Bundles], RemoteActor],
        refuse: Callable[[tuple[Node, ...]], Mapping[str, str]] = lambda nodes: {},
    ) -> None:
        """Take the reserved bundles of a role.

        Args:
            bundles: of the run.
            role: of the workers.
            start: starts an actor in a bundle, without waiting for it.
            refuse: returns what is wrong with each of the cluster's nodes that may get no worker, by its id.
        """
        self._bundles = bundles
        self._start = start
        self._refuse = refuse
        self._refused: Mapping[str, str] = {}  # as of the last look
        self._reserved = {
            f"bundle {placement.index}": _Reserved(placement=placement, bundles=bundles, is_extra=False)
            for placement in bundles.layout.of(role)
        }
        self._pattern = bundles.layout.of(role)[0]
        self._num_added = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all slots, in the order in which they were reserved."""
        return tuple(self._reserved)

    @property
    def bundle(self) -> Resources:
        """Return the resources of one slot."""
        return self._pattern.bundle

    def look(self) -> ClusterView:
        """Return what the cluster has.

        Raises:
            ClusterSilent: Ray does not answer.
        """
        try:
            ending = set(ray_state.state.get_draining_nodes())
            living = {node.id: node for node in cluster_nodes()}
            self._refused = refused = self._refuse(tuple(living.values()))
            alive = living.keys() - refused.keys()
            free = ray_state.available_resources_per_node()
            own = self._bundles.nodes()
            nodes = {
                key: (reserved.bundles.nodes() if reserved.is_extra else own)[reserved.placement.name]
                for key, reserved in list(self._reserved.items())  # a copy: this runs in a thread
            }
        except (RayError, RuntimeError) as failure:
            raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure
        return ClusterView(
            slots=tuple(
                Slot(key=key, node=node if node in alive else None, is_draining=node in ending)
                for key, node in nodes.items()
            ),
            free=tuple(
                resources(has) for node, has in free.items() if node in alive - ending and self._suits(living[node])
            ),
            is_short=any(node not in living for node in own.values()),
            refused={living[node].name: why for node, why in refused.items() if node in living},
        )

    def reserve(self) -> str | None:
        """Reserve one more bundle, on any node of the role with enough free resources, and return its key.

        Returns None if there is no such node.

        Raises:
            ClusterSilent: Ray does not answer.
        """
        try:
            target = self._node_with_room() if self._refused else None
            group = placement_group(
                [demand(self.bundle)],
                strategy="STRICT_PACK",
                _soft_target_node_id=target,
                bundle_label_selector=[dict(self._pattern.nodes)],
            )
            is_placed = group.wait(timeout_seconds=RESERVE_TIMEOUT_S)
            if not is_placed or self._refused.keys() & set(nodes_of(group).values()):
                remove_placement_group(group)
                return None
        except (RayError, RuntimeError) as failure:
            raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure
        self._num_added += 1
        key = f"added bundle {self._num_added}"
        placement = replace(self._pattern, index=0)
        layout = Layout(device=self._bundles.layout.device, placements=(placement,))
        bundles = Bundles(layout, {placement.name: (group, 0)})
        self._reserved[key] = _Reserved(placement=placement, bundles=bundles, is_extra=True)
        return key

    def _node_with_room(self) -> str | None:
        """Return a node on which one more worker fits, to keep Ray from a node that was refused; None if there is none.

        A node that ends may be returned: the next look removes its worker.
        """
        free = free_by_node()
        usable = free.keys() - self._refused.keys()
        nodes = sorted(node.id for node in cluster_nodes() if node.id in usable and self._suits(node))
        return next((node for node in nodes if fits(self.bundle, free[node])), None)

    def _suits(self, node: Node) -> bool:
        """Return whether a node is one of those on which the role may run."""
        return matches(node.labels, self._pattern.nodes)

    def release(self, key: str) -> None:
        """Give back an added bundle at once.

        A bundle of the run's own group stays in it: Ray places it again as soon as a node has enough free resources.

        Raises:
            ClusterSilent: Ray does not answer.
        """
        if self._reserved[key].is_extra:
            with _answering():
                extra = self._reserved[key]
                remove_placement_group(extra.bundles.slot(extra.placement)[0])
            del self._reserved[key]  # only after Ray has answered: else `close` tries again

    def start(self, key: str) -> RemoteActor:
        """Start an actor in a bundle, without waiting for it.

        Raises:
            ClusterSilent: Ray does not answer.
        """
        reserved = self._reserved[key]
        with _answering():
            return self._start(reserved.placement, reserved.bundles)

    def close(self) -> None:
        """Give back all added bundles. If Ray does not answer any more, they end with the run."""
        for key in self.keys:
            with suppress(ClusterSilent):
                self.release(key)


@contextmanager
def _answering() -> Iterator[None]:
    """Raise ClusterSilent if Ray does not answer."""
    try:
        yield
    except (RayError, RuntimeError) as failure:
        raise ClusterSilent(f"{type(failure).__name__}: {failure}") from failure
