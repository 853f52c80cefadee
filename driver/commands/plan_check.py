"""`plan --check`: ask every node of the cluster whether it has what a run needs of it."""

from dataclasses import dataclass

from cluster.builds import installed_builds
from cluster.device import place
from cluster.launch import connected
from cluster.layout import Resources, Role, summed
from cluster.preflight.checks import checks_everywhere
from cluster.preflight.nodes import check_nodes, smallest_gpu_gib
from contracts.config.run import Config
from driver.tracking.console import Console


@dataclass(frozen=True, kw_only=True)
class CheckedCluster:
    """Hold what a cluster has whose nodes were checked."""

    resources: Resources
    gpu_gib: float | None  # memory of its smallest GPU; None: no GPU was asked


def checked_cluster(config: Config, *, roles: tuple[Role, ...], console: Console) -> CheckedCluster:
    """Check all nodes on which actors of these roles may be placed. Loads no model.

    Raises:
        BadInput: Ray can't be reached, the cluster is too small, or a node lacks something.
    """
    with connected(config.cluster, console) as nodes:
        wanted = place(config, nodes, installed_builds(), roles=roles, console=console)
        found = check_nodes(checks_everywhere(config, wanted, nodes), console)
    return CheckedCluster(resources=summed(node.total for node in nodes), gpu_gib=smallest_gpu_gib(found.values()))
