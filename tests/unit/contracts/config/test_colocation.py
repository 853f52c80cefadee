"""Test which runs may put policy workers and learner ranks on the same GPUs."""

from collections.abc import Mapping

import pytest

from contracts.config.run import Config
from tests.builders import a_config
from tests.refusals import refused_by_config


def colocated(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "cluster": {"colocate": True},
        "policy": {"num_workers": 2},
        "learner": {"num_ranks": 2},
        "algorithm": {"steps": 1, "groups_per_step": 4, "group_size": 2, "max_staleness": 0},
    }
    return a_config(base, sections)


def test_an_on_policy_run_with_a_rank_for_each_worker_may_colocate() -> None:
    assert colocated().cluster.colocate
    assert colocated(algorithm={"name": "ppo"}).cluster.colocate
    assert colocated(learner={"lora": {"rank": 8}}, weights={"lora": "merged"}).cluster.colocate
    assert not a_config().cluster.colocate


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("algorithm.max_staleness", {"algorithm": {"max_staleness": 1}}),
        ("policy.tensor_parallel_size", {"policy": {"tensor_parallel_size": 2}}),
        ("learner.num_ranks", {"learner": {"num_ranks": 4}}),
        ("learner.num_ranks", {"policy": {"max_workers": 4}}),
        ("weights.lora", {"learner": {"lora": {"rank": 8}}}),
        ("weights.backend", {"weights": {"backend": "nccl"}}),
        ("weights.backend", {"weights": {"backend": "object_store"}}),
    ],
)
def test_a_run_that_can_not_take_turns_is_refused(key: str, sections: Mapping[str, Mapping[str, object]]) -> None:
    with refused_by_config(key):
        colocated(**sections)


def test_imitating_references_can_not_colocate() -> None:
    with refused_by_config("cluster.colocate"):
        a_config(cluster={"colocate": True}, algorithm={"name": "sft", "groups_per_step": 4})
