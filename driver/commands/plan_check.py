"""`plan --check`: ask every node of the cluster whether it has what a run needs of it."""

from cluster.builds import installed_builds
from cluster.device import place
from cluster.launch import connected
from cluster.layout import Resources, Role, summed
from cluster.preflight.checks import checks_everywhere
from cluster.preflight.nodes import check_nodes
from contracts.config.run import Config
from driver.tracking.console import Console


def checked_cluster(config: Config, *, roles: tuple[Role, ...], console: Console) -> Resources:
    """Check all nodes on which actors of these roles may be placed, and return what the cluster has. Loads no model.

    Raises:
        BadInput: Ray can't be reached, the cluster is too small, or a node lacks something.
    """
    with connected(config.cluster, console) as nodes:
        wanted = place(config, nodes, installed_builds(), roles=roles, console=console)
        check_nodes(checks_everywhere(config, wanted, nodes), console)
    return summed(node.total for node in nodes)
