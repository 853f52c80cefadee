"""Test where actors are placed on four nodes of eight GPUs that only Ray counts, and what they see there."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import ray
from transformers import LlamaConfig

from cluster.builds import Builds
from cluster.capacity import Node
from cluster.device import place
from cluster.launch import connected
from cluster.layout import ROLES, Layout, Role
from cluster.preflight.nodes import check_placed
from cluster.reserve import Bundles, placed
from contracts.config.run import Config
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput, RunFailed
from tests.builders import a_config, a_console
from tests.refusals import raised, refused
from tests.runs.ray_nodes import cluster_of, owner_of_clusters
from tests.runs.told_actors import files_with, told

FOR_GPUS = Builds(torch_cuda="13.0", vllm_cuda=True)
PLANTED = "hf_planted_token_of_a_test"


def per_node(bundles: Bundles, role: Role) -> list[int]:
    """Return on how many nodes a role's bundles are, as the number on each, largest first."""
    where = bundles.nodes()
    counts = Counter(where[placement.name] for placement in bundles.layout.of(role))
    assert None not in counts
    return sorted(counts.values(), reverse=True)


@pytest.fixture(scope="module")
def large(ray_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, ...]]:
    """Connect to a cluster that a token protects, as a person whose shell has settings of the hub and of NCCL."""
    with (
        owner_of_clusters(ray_folder, tmp_path_factory.mktemp("large") / "token") as patch,
        cluster_of([(32, 8)] * 4) as address,
    ):
        patch.delenv("RAY_AUTH_MODE")
        for name, value in {"HF_TOKEN": PLANTED, "NCCL_DEBUG": "INFO", "MY_SECRET": "mine"}.items():
            patch.setenv(name, value)
        patch.setenv("RAY_ADDRESS", address)
        with connected(ClusterConfig(), a_console()) as nodes:
            yield nodes


def for_32_gpus(**sections: Mapping[str, object]) -> Config:
    """Build a config of 16 ranks, four engines of two GPUs, a pivot of four, a quarter of a GPU for scorers: 28.25."""
    return a_config(
        {
            "policy": {"num_workers": 4, "tensor_parallel_size": 2},
            "pivot": {"tensor_parallel_size": 4},
            "scorer": {"num_gpus": 0.25},
            "learner": {"num_ranks": 16},
            "algorithm": {"groups_per_step": 64},
        },
        sections,
    )


def laid_out(config: Config, nodes: tuple[Node, ...]) -> Layout:
    return place(config, nodes, FOR_GPUS, roles=ROLES, console=a_console())


def test_ranks_take_two_whole_nodes_and_an_engines_gpus_are_on_one(large: tuple[Node, ...]) -> None:
    assert sorted(node.total.gpus for node in large) == [8, 8, 8, 8]
    layout = laid_out(for_32_gpus(), large)
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        assert per_node(bundles, "learner") == [8, 8]
        assert len(per_node(bundles, "policy")) <= 2
        has = told(layout, bundles, "policy-1", "learner-3", "scorer-0")
    assert len((has["policy-1"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 2
    assert len((has["learner-3"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 1
    assert [has[name]["PB_RLSVR_ROLE"] for name in ("policy-1", "learner-3", "scorer-0")] == [
        "policy",
        "learner",
        "scorer",
    ]


def test_a_scorer_without_a_gpu_sees_none_and_settings_reach_every_actor_but_no_log(
    large: tuple[Node, ...], ray_folder: Path
) -> None:
    layout = laid_out(for_32_gpus(scorer={"num_gpus": 0}), large)
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        has = told(layout, bundles, "scorer-0", "pivot-0")
    assert has["scorer-0"]["CUDA_VISIBLE_DEVICES"] == ""
    assert len((has["pivot-0"]["CUDA_VISIBLE_DEVICES"] or "").split(",")) == 4
    for one in has.values():
        assert (one["HF_TOKEN"], one["NCCL_DEBUG"], one["MY_SECRET"]) == (PLANTED, "INFO", None)
    assert files_with(PLANTED, ray_folder) == []


def test_colocated_workers_and_ranks_fill_two_nodes_and_each_pair_sees_one_gpu(large: tuple[Node, ...]) -> None:
    config = a_config(
        policy={"num_workers": 16},
        learner={"num_ranks": 16},
        scorer={"num_gpus": 0},
        algorithm={"groups_per_step": 64, "max_staleness": 0},
        cluster={"colocate": True},
    )
    layout = laid_out(config, large)
    assert layout.total.gpus == 17
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        assert per_node(bundles, "learner") == per_node(bundles, "policy") == [8, 8]
        has = told(layout, bundles, "policy-11", "learner-11")
    assert has["policy-11"]["CUDA_VISIBLE_DEVICES"] == has["learner-11"]["CUDA_VISIBLE_DEVICES"]


def test_a_bundle_that_no_node_holds_is_refused_before_anything_waits(large: tuple[Node, ...]) -> None:
    with refused("policy.tensor_parallel_size", "policy-0", "16 GPUs", "8 GPUs"):
        laid_out(for_32_gpus(policy={"tensor_parallel_size": 16, "num_workers": 1}), large)


def test_a_run_that_must_wait_says_so_rarely_and_holds_nothing_meanwhile(large: tuple[Node, ...]) -> None:
    layout, said = laid_out(for_32_gpus(), large), []
    with placed(layout, ClusterConfig(), said.append):
        assert said == []
        with (
            raised(RunFailed, "28.25 GPUs", key="cluster"),
            placed(layout, ClusterConfig(placement_timeout_s=4), said.append),
        ):
            pytest.fail("the bundles were reserved twice")
        assert len(said) == 1
        assert ray.available_resources()["GPU"] == 32 - 28.25


def test_gpus_that_torch_cant_use_are_refused_with_a_line_for_each_node(
    large: tuple[Node, ...], tmp_path: Path
) -> None:
    LlamaConfig().save_pretrained(tmp_path)
    config = for_32_gpus(**{role: {"model": str(tmp_path)} for role in ("policy", "pivot", "scorer")})
    layout = laid_out(config, large)
    with placed(layout, ClusterConfig(), lambda text: None) as bundles:
        used = set(bundles.nodes().values())
        with pytest.raises(BadInput) as caught:
            check_placed(config, bundles, a_console())
    assert caught.value.key == "cluster"
    lines = str(caught.value).splitlines()
    named = {line.partition(": ")[0] for line in lines if "torch can't use the GPUs" in line}
    assert len(named) == len(used)
    assert named <= {node.name for node in large}
    assert any("policy.model" in line for line in lines)  # a folder without weights
