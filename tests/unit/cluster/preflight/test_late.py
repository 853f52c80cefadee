"""Test the checks of nodes during a run: which nodes are asked, once each, and what becomes of those with a fault."""

from dataclasses import dataclass, field

import pytest

from cluster.capacity import Node
from cluster.layout import Layout, Resources, layout
from cluster.preflight.checks import NodeCheck
from cluster.preflight.late import LateNodes, check_late_pivot
from contracts.errors import RunFailed
from tests.builders import a_config
from tests.refusals import raised

HEAD, GOOD, BAD, SMALL = (
    Node(id=name[0], name=name, total=Resources(cpus=cpus, gpus=gpus))
    for name, cpus, gpus in (("head", 8, 8), ("good", 8, 1), ("bad", 8, 1), ("small", 8, 0))
)
FAULT = "vllm is 0.31, and the driver has 0.32"


@dataclass
class Nodes:
    """Stand for the nodes' answers, and keep which nodes were asked for which models."""

    faults: dict[str, str] = field(default_factory=lambda: {BAD.id: FAULT})
    asked: list[tuple[str, set[str]]] = field(default_factory=list)

    def check(self, checks: tuple[NodeCheck, ...]) -> dict[str, str]:
        self.asked += [(check.node.name, set(check.needs.models)) for check in checks]
        return {check.node.id: self.faults[check.node.id] for check in checks if check.node.id in self.faults}


def on_gpus() -> Layout:
    return layout(a_config(policy={"num_workers": 2}), "cuda")


def test_a_node_that_joins_is_asked_once_for_what_its_workers_need() -> None:
    nodes = Nodes()
    late = LateNodes(a_config(), on_gpus(), "policy", known=[HEAD.id], check=nodes.check)
    assert late.look([HEAD]) == {}
    assert late.look([HEAD, GOOD, BAD, SMALL]) == {BAD.id: FAULT}
    assert nodes.asked == [("good", {"policy.model"}), ("bad", {"policy.model"})]
    assert late.look([HEAD, GOOD]) == {BAD.id: FAULT}
    assert len(nodes.asked) == 2


def test_a_late_pivot_needs_one_fit_node() -> None:
    pivot, nodes = layout(a_config(), "cuda", roles=("pivot",)), Nodes()
    check_late_pivot(a_config(), pivot, nodes=lambda: (GOOD, BAD), check=nodes.check)
    assert nodes.asked == [("good", {"pivot.model"}), ("bad", {"pivot.model"})]
    with raised(RunFailed, "bad", FAULT, key="pivot"):
        check_late_pivot(a_config(), pivot, nodes=lambda: (BAD, SMALL), check=nodes.check)


@pytest.mark.parametrize("nodes", [(), (SMALL,)])
def test_a_late_pivot_waits_where_no_node_has_room_for_it(nodes: tuple[Node, ...]) -> None:
    """Ray may start a node for it."""
    check_late_pivot(a_config(), layout(a_config(), "cuda", roles=("pivot",)), nodes=lambda: nodes, check=Nodes().check)
