"""Check nodes during a run, before a worker is started there: nodes that join the cluster, and those of a late pivot.

A node whose packages differ, or that lacks the model, would spend the restarts of the worker.
"""

from collections.abc import Callable, Iterable

from cluster.capacity import Node
from cluster.layout import Layout, Role
from cluster.preflight.checks import NodeCheck, checks_everywhere
from cluster.preflight.nodes import node_faults
from cluster.reserve import cluster_nodes
from contracts.config.run import Config
from contracts.errors import RunFailed

Check = Callable[[tuple[NodeCheck, ...]], dict[str, str]]
"""Check nodes, and return what is wrong with each that is not fit for the run, by the node's id."""


class LateNodes:
    """Check each node once that may get workers of one role. `look` may block for a minute: call it in a thread."""

    def __init__(
        self,
        config: Config,
        wanted: Layout,
        role: Role,
        *,
        known: Iterable[str],
        check: Check = node_faults,
    ) -> None:
        """Take the config of the run with the defaults of its device.

        Args:
            config: of the run.
            wanted: its layout.
            role: of the workers that are started later.
            known: ids of the nodes that were checked when the run started.
            check: asks the nodes.
        """
        self._config = config
        self._wanted = Layout(device=wanted.device, placements=wanted.of(role)[:1])
        self._known = set(known)
        self._check = check
        self._refused: dict[str, str] = {}

    def look(self, nodes: Iterable[Node]) -> dict[str, str]:
        """Return what is wrong with each node that may get no worker, by its id. Nodes that are new are checked."""
        new = tuple(node for node in nodes if node.id not in self._known)
        self._known |= {node.id for node in new}
        if checks := checks_everywhere(self._config, self._wanted, new):
            self._refused |= self._check(checks)
        return dict(self._refused)


def check_late_pivot(
    config: Config, wanted: Layout, *, nodes: Callable[[], tuple[Node, ...]] = cluster_nodes, check: Check = node_faults
) -> None:
    """Check the nodes that may get a pivot which is started during the run. One that is fit is enough.

    Raises:
        RunFailed: something is wrong with each of them; `key` is "pivot".
    """
    checks = checks_everywhere(config, wanted, nodes())
    wrong = check(checks)
    if checks and len(wrong) == len(checks):
        lines = "; ".join(f"{one.node.name}: {wrong[one.node.id]}" for one in checks)
        raise RunFailed(f"a reference is not in the cache, and no node is fit for the pivot: {lines}", key="pivot")
