"""Test which nodes the actors of a role may be on: what matches, where they are packed, what is refused."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from pydantic import ValidationError

from cluster.capacity import Node, check_fits
from cluster.labels import matches
from cluster.layout import ROLES, Layout, Resources, layout
from cluster.packing import check_packs, packed
from cluster.preflight.checks import checks_everywhere
from cluster.settings import check_settings
from contracts.config.workers import NodesConfig
from driver.commands.plan import run
from tests.builders import a_config
from tests.refusals import refused

ON_SPOT: Mapping[str, Mapping[str, object]] = {
    "policy": {"num_workers": 2},
    "cluster": {
        "nodes": {
            "policy": {"role": "policy"},
            "pivot": {"market": "!spot"},
            "scorer": {"market": "!spot"},
            "learner": {"role": "learner", "market": "!spot"},
        }
    },
}


def a_node(name: str, gpus: float, **labels: str) -> Node:
    return Node(id=name, name=name, total=Resources(cpus=8, gpus=gpus), labels=labels)


SPOT, LEARNER, OTHER = (
    a_node("spot", 4, role="policy", market="spot"),
    a_node("lead", 2, role="learner"),
    a_node("o", 4),
)


def wanted(**sections: Mapping[str, object]) -> Layout:
    return layout(a_config(ON_SPOT, sections), "cuda")


@pytest.mark.parametrize(
    ("labels", "asked", "expected"),
    [
        ({}, {}, True),
        ({"role": "policy"}, {}, True),
        ({"role": "policy"}, {"role": "policy"}, True),
        ({"role": "pivot"}, {"role": "policy"}, False),
        ({}, {"role": "policy"}, False),
        ({}, {"market": "!spot"}, True),
        ({"market": "on-demand"}, {"market": "!spot"}, True),
        ({"market": "spot"}, {"market": "!spot"}, False),
        ({"role": "policy", "market": "spot"}, {"role": "policy", "market": "!spot"}, False),
    ],
)
def test_a_node_is_wanted_by_its_labels(labels: dict[str, str], asked: dict[str, str], expected: bool) -> None:
    assert matches(labels, asked) is expected


def test_actors_are_packed_onto_nodes_with_their_labels_alone() -> None:
    nodes = (SPOT, LEARNER, OTHER)
    check_fits(wanted(), nodes)
    check_packs(wanted(), nodes)
    parts = packed(wanted(), {node.id: node.total for node in nodes}, {node.id: node.labels for node in nodes})
    assert parts is not None
    where = {slot.name: part.node for part in parts for slot in part.slots}
    assert where == {"policy-0": "spot", "policy-1": "spot", "learner-0": "lead"} | {
        "pivot-0": where["pivot-0"],
        "scorer-0": where["scorer-0"],
    }
    assert "spot" not in (where["pivot-0"], where["scorer-0"])


def test_labels_that_no_node_has_are_refused_with_those_that_nodes_have() -> None:
    with refused("cluster.nodes.learner", "role=learner", "market=!spot", "3 nodes", "role=policy"):
        check_fits(wanted(), (SPOT, OTHER, a_node("another", 2)))


def test_a_bundle_is_compared_with_the_nodes_of_its_labels() -> None:
    with refused("policy.tensor_parallel_size", "role=policy", "spot", "4 GPUs"):
        check_fits(wanted(policy={"tensor_parallel_size": 8}), (SPOT, LEARNER, a_node("large", 8)))


def test_nodes_of_a_label_that_are_too_few_are_refused_though_the_cluster_is_large() -> None:
    with refused("cluster", "cluster.nodes", "role=learner"):
        check_packs(wanted(learner={"num_ranks": 4}, algorithm={"groups_per_step": 4}), (SPOT, LEARNER, OTHER))


def test_only_nodes_of_their_labels_are_asked_whether_they_are_fit() -> None:
    checks = checks_everywhere(a_config(ON_SPOT), wanted(), (SPOT, LEARNER, OTHER))
    asked = {check.node.name: sorted(check.needs.models) for check in checks}
    assert asked == {
        "spot": ["policy.model"],
        "lead": ["pivot.model", "policy.model", "scorer.model"],
        "o": ["pivot.model", "scorer.model"],
    }


def test_actors_that_share_a_gpu_need_the_same_labels() -> None:
    shared = a_config(
        ON_SPOT,
        pivot={"num_gpus": 0.6},
        scorer={"num_gpus": 0.4},
        cluster={"nodes": {"pivot": {"role": "pivot"}, "scorer": {"role": "scorer"}}},
    )
    with refused("cluster.nodes.scorer", "cluster.nodes.pivot", "scorer-0"):
        check_settings(shared, "cuda", roles=ROLES)
    check_settings(shared, "cpu", roles=ROLES)  # without GPUs they share none


@pytest.mark.parametrize("labels", [{"role": "two words"}, {"role": ""}, {"": "policy"}, {"role": "!"}, {"-a": "b"}])
def test_a_label_that_no_node_can_have_is_refused_by_the_config(labels: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        NodesConfig(policy=labels)


def test_the_plan_names_the_nodes_of_each_actor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        '[policy]\nmodel = "a/b"\n[pivot]\nmodel = "a/b"\n[scorer]\nmodel = "a/b"\n[algorithm]\nsteps = 1\n'
        '[cluster.nodes]\nlearner = {"ray.io/market-type" = "!spot"}\n',
        encoding="utf-8",
    )
    overrides = ["cluster.device=cpu", "cluster.nodes.policy.role=policy"]
    plan = run(argparse.Namespace(config=file, overrides=overrides, json=False, check=False))
    actors = cast("list[dict[str, object]]", plan["actors"])
    assert {actor["name"]: actor["nodes"] for actor in actors} == {
        "policy-0": {"role": "policy"},
        "pivot-0": {},
        "scorer-0": {},
        "learner-0": {"ray.io/market-type": "!spot"},
    }
    assert "role=policy" in capsys.readouterr().out
