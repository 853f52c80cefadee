"""Test which actors a run has, and the bundle of each."""

from collections.abc import Mapping

import pytest

from cluster.layout import Role, layout, training_roles
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from tests.builders import a_config


def config(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": "policy-model", "num_workers": 2, "num_cpus": 0.5},
        "pivot": {"model": "pivot-model", "num_cpus": 1},
        "scorer": {"model": "scorer-model", "num_cpus": 2.5},
        "learner": {"num_ranks": 4, "num_cpus": 3},
        "algorithm": {"steps": 5, "groups_per_step": 6, "group_size": 4},
    }
    if sections.get("algorithm", {}).get("name") == "sft":
        del base["algorithm"]
    return a_config(base, sections)


@pytest.mark.parametrize(
    ("device", "role", "count", "cpus", "gpus", "threads"),
    [
        ("cpu", "policy", 2, 0.5, 0, 1),
        ("cpu", "pivot", 1, 1, 0, 1),
        ("cpu", "scorer", 1, 2.5, 0, 2),
        ("cpu", "learner", 4, 3, 0, 3),
        ("cuda", "policy", 2, 0.5, 1, 1),
        ("cuda", "pivot", 1, 1, 1, 1),
        ("cuda", "scorer", 1, 2.5, 0, 2),
        ("cuda", "learner", 4, 3, 1, 3),
    ],
)
def test_every_role_gets_its_bundles(
    device: Device, role: Role, count: int, cpus: float, gpus: float, threads: int
) -> None:
    placements = layout(config(), device).of(role)
    assert [placement.name for placement in placements] == [f"{role}-{index}" for index in range(count)]
    assert {(p.bundle.cpus, p.bundle.gpus, p.num_threads) for p in placements} == {(cpus, gpus, threads)}


def test_tensor_parallel_workers_have_their_gpus_in_one_bundle_and_scorers_may_share_one() -> None:
    wanted = layout(config(policy={"tensor_parallel_size": 4}, scorer={"num_gpus": 0.25}), "cuda")
    assert [placement.bundle.gpus for placement in wanted.of("policy")] == [4, 4]
    assert [placement.bundle.gpus for placement in wanted.of("scorer")] == [0.25]
    assert wanted.total.gpus == 2 * 4 + 1 + 0.25 + 4


def slots(**sections: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the actors of each slot of scorers and pivot on GPUs, and what it reserves."""
    wanted = layout(config(**sections), "cuda", roles=("pivot", "scorer"))
    return [(" ".join(actor.name for actor in slot.placements), str(slot.bundle)) for slot in wanted.slots]


def test_a_pivot_and_scorers_that_need_parts_of_a_gpu_are_reserved_together() -> None:
    """Beside 0.7 of a GPU there is room for three scorers of 0.1; the other scorer has a slot of its own."""
    pivot, scorer = {"num_gpus": 0.7}, {"num_gpus": 0.1, "num_workers": 4}
    assert slots(pivot=pivot, scorer=scorer) == [
        ("pivot-0 scorer-0 scorer-1 scorer-2", "8.5 CPUs and 1 GPUs"),
        ("scorer-3", "2.5 CPUs and 0.1 GPUs"),
    ]
    two = layout(config(pivot=pivot | {"num_workers": 2}, scorer=scorer), "cuda")
    assert [scorer.shares for scorer in two.of("scorer")] == ["pivot-0", "pivot-0", "pivot-0", "pivot-1"]


def test_whole_gpus_and_cpus_are_not_shared() -> None:
    alone = [("pivot-0", "1 CPUs and 1 GPUs"), ("scorer-0", "2.5 CPUs and 0.5 GPUs")]
    assert slots(scorer={"num_gpus": 0.5}) == alone
    on_cpu = layout(config(pivot={"num_gpus": 0.5}, scorer={"num_gpus": 0.5}), "cpu")
    assert len(on_cpu.slots) == len(on_cpu.placements) and on_cpu.total.gpus == 0
    late = layout(config(pivot={"num_gpus": 0.5}, scorer={"num_gpus": 0.5}), "cuda", roles=("scorer",))
    assert [slot.bundle.gpus for slot in late.slots] == [0.5]


def in_turns(**sections: Mapping[str, object]) -> Config:
    """Build a config with two policy workers and two ranks that use the same GPUs in turns."""
    base: dict[str, Mapping[str, object]] = {
        "learner": {"num_ranks": 2, "num_cpus": 3},
        "algorithm": {"steps": 1, "groups_per_step": 6, "group_size": 4, "max_staleness": 0},
        "cluster": {"colocate": True},
    }
    return config(**(base | sections))


def test_a_colocated_worker_and_rank_reserve_one_gpu_together() -> None:
    wanted = layout(in_turns(), "cuda")
    both = [slot for slot in wanted.slots if any(actor.role == "policy" for actor in slot.placements)]
    assert [[actor.name for actor in slot.placements] for slot in both] == [
        ["policy-0", "learner-0"],
        ["policy-1", "learner-1"],
    ]
    assert {str(slot.bundle) for slot in both} == {"3.5 CPUs and 1 GPUs"}
    assert {actor.bundle.gpus for slot in both for actor in slot.placements} == {0.5}
    assert wanted.total.gpus == 2 + 1  # and the pivot's


def test_an_evaluation_of_a_colocated_config_has_whole_gpus() -> None:
    wanted = layout(in_turns(), "cuda", roles=("policy",))
    assert [(actor.bundle.gpus, actor.shares) for actor in wanted.placements] == [(1, ""), (1, "")]


def test_the_total_is_the_sum_of_the_bundles() -> None:
    """2 policy x 0.5 + 1 pivot + 2.5 scorer + 4 ranks x 3 = 16.5 CPUs."""
    assert str(layout(config(), "cpu").total) == "16.5 CPUs and 0 GPUs"


def test_an_evaluation_places_the_policy_alone() -> None:
    wanted = layout(config(), "cpu", roles=("policy",))
    assert [placement.name for placement in wanted.placements] == ["policy-0", "policy-1"]


def test_imitating_references_starts_only_who_is_needed() -> None:
    sft = {"name": "sft", "steps": 1, "groups_per_step": 8}
    none = {"before": False, "after": False}
    assert training_roles(config(algorithm=sft)) == ("policy", "pivot", "learner")
    assert training_roles(config(algorithm=sft, evaluation=none)) == ("pivot", "learner")
    translated = config(algorithm=sft | {"sft_target": "translation"}, evaluation=none)
    assert training_roles(translated) == ("learner",)
    assert training_roles(config()) == ("policy", "pivot", "scorer", "learner")
