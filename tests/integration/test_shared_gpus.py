"""Test on a Ray with pretended GPUs that actors which share a GPU see the same one, and others their own."""

from collections.abc import Iterator, Mapping

import pytest
import ray

from cluster.launch import start_actor
from cluster.layout import Layout, layout
from cluster.reserve import Bundles, placed
from contracts.config.workers import ClusterConfig
from tests.builders import a_config

NUM_GPUS = 4


@pytest.fixture(scope="module", autouse=True)
def ray_with_gpus(environment: Mapping[str, str]) -> Iterator[None]:
    """Start a Ray that believes in four GPUs. No process uses one."""
    ray.init(
        address="local", num_cpus=16, num_gpus=NUM_GPUS, include_dashboard=False, _temp_dir=environment["RAY_TMPDIR"]
    )
    yield
    ray.shutdown()


@ray.remote
class Seer:
    """Say which GPUs the process sees."""

    def visible(self) -> str:
        import os

        return os.environ.get("CUDA_VISIBLE_DEVICES", "all")


def visible_gpus(wanted: Layout) -> dict[str, str]:
    """Place a layout, start all its actors, and return what each sees, by name."""

    def seen(bundles: Bundles) -> dict[str, str]:
        actors = {placement.name: start_actor(Seer, placement, bundles, ()) for placement in wanted.placements}
        return dict(zip(actors, ray.get([actor.visible.remote() for actor in actors.values()]), strict=True))

    with placed(wanted, ClusterConfig(), lambda text: None) as bundles:
        return seen(bundles)


def test_pivots_and_scorers_share_gpus_as_the_layout_says() -> None:
    config = a_config(
        policy={"num_cpus": 0.5},
        pivot={"num_workers": 2, "num_gpus": 0.6, "num_cpus": 0.5},
        scorer={"num_workers": 4, "num_gpus": 0.2, "num_cpus": 0.5},
        learner={"num_cpus": 0.5},
    )
    seen = visible_gpus(layout(config, "cuda"))
    assert seen["pivot-0"] == seen["scorer-0"] == seen["scorer-1"]
    assert seen["pivot-1"] == seen["scorer-2"] == seen["scorer-3"]
    assert {seen["policy-0"], seen["learner-0"], seen["pivot-0"], seen["pivot-1"]} == set("0123")


def test_a_colocated_worker_and_rank_see_the_same_gpu() -> None:
    config = a_config(
        policy={"num_workers": 3, "num_cpus": 0.5},
        learner={"num_ranks": 3, "num_cpus": 0.5},
        pivot={"num_cpus": 0.5},
        scorer={"num_cpus": 0.5},
        algorithm={"groups_per_step": 6, "max_staleness": 0},
        cluster={"colocate": True},
    )
    seen = visible_gpus(layout(config, "cuda"))
    assert [seen[f"learner-{index}"] for index in range(3)] == [seen[f"policy-{index}"] for index in range(3)]
    assert {*(seen[f"policy-{index}"] for index in range(3)), seen["pivot-0"]} == set("0123")
