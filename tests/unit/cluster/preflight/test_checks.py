"""Test what is asked of each node: the models of its actors, and their GPUs."""

from pathlib import Path

from benchmarks.published import PUBLISHED, published_model
from cluster.capacity import Node
from cluster.layout import ROLES, Layout, Resources, Role, layout
from cluster.preflight.checks import checks_everywhere, checks_where_placed
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from tests.builders import a_config

BIG = Node(id="big", name="big", total=Resources(cpus=64, gpus=8))
SMALL = Node(id="small", name="small", total=Resources(cpus=64, gpus=1))
BARE = Node(id="bare", name="bare", total=Resources(cpus=64, gpus=0))
NODES = (BIG, SMALL, BARE)


def config() -> Config:
    return a_config(policy={"tensor_parallel_size": 2, "dtype": "bfloat16"}, pivot={"dtype": "float16"})


def wanted() -> Layout:
    return layout(config(), "cuda", roles=ROLES)


def test_a_node_is_asked_for_the_models_and_gpus_of_the_actors_that_are_there() -> None:
    where = {"policy-0": "big", "pivot-0": "big", "scorer-0": "bare", "learner-0": "small"}
    checks = checks_where_placed(config(), wanted(), where, NODES, marker="/runs/m")
    assert {check.node.name: (sorted(check.needs.models), check.needs.num_gpus) for check in checks} == {
        "big": (["pivot.model", "policy.model"], 3),
        "small": (["policy.model"], 1),
        "bare": (["scorer.model"], 0),
    }
    assert {check.node.name: check.bfloat16_keys for check in checks}["big"] == ("policy.dtype",)
    assert {check.node.name: check.needs.marker for check in checks} == {"big": "", "small": "/runs/m", "bare": ""}


def test_a_node_without_an_actor_is_not_asked() -> None:
    where = {name: "big" for name in ("policy-0", "pivot-0", "scorer-0", "learner-0")}
    assert [check.node for check in checks_where_placed(config(), wanted(), where, NODES, marker="/runs/m")] == [BIG]


def test_before_anything_is_placed_a_node_is_asked_for_all_that_may_come_to_it() -> None:
    checks = {check.node.name: check.needs for check in checks_everywhere(config(), wanted(), NODES)}
    assert {name: (sorted(needs.models), needs.num_gpus) for name, needs in checks.items()} == {
        "big": (["pivot.model", "policy.model", "scorer.model"], 4),
        "small": (["pivot.model", "policy.model", "scorer.model"], 1),  # of the policy the learner's rank only
        "bare": (["scorer.model"], 0),
    }


def test_models_that_the_reward_does_not_load_are_not_asked_for() -> None:
    roles: tuple[Role, ...] = ("scorer",)
    by_comet = a_config(reward={"reasoning": {"method": "comet"}}, comet={"model": "owner/comet"})
    (check,) = checks_everywhere(by_comet, layout(by_comet, "cpu", roles=roles), (BARE,))
    assert dict(check.needs.models) == {"comet.model": "owner/comet"}


def test_weights_need_the_object_store_where_they_travel_through_it(tmp_path: Path) -> None:
    """Two buckets of 128 MiB on CPUs, a push being larger: 0.25 GiB. With NCCL, none."""
    config = a_config(policy={"model": published_model(tmp_path, PUBLISHED["meta-llama/Llama-3.1-8B-Instruct"])})
    on: tuple[tuple[Device, float], ...] = (("cpu", 0.25), ("cuda", 0.0))
    for device, expected in on:
        checks = checks_everywhere(config, layout(config, device, roles=("policy", "learner")), (BIG,))
        assert [check.object_store_gib for check in checks] == [expected]
    evaluates = checks_everywhere(config, layout(config, "cpu", roles=("policy",)), (BIG,))
    assert [check.object_store_gib for check in evaluates] == [0.0]
