"""Test the refusal of clusters that can't hold a layout: by the sum, and bundle by bundle."""

from collections.abc import Mapping

import pytest

from cluster.capacity import Node, check_fits
from cluster.layout import Layout, Resources, layout
from contracts.errors import BadInput
from tests.builders import a_config
from tests.refusals import refused

SIZES: Mapping[str, Mapping[str, object]] = {
    "policy": {"num_workers": 2, "num_cpus": 0.5},
    "pivot": {"num_cpus": 1},
    "scorer": {"num_cpus": 2.5},
    "learner": {"num_ranks": 4, "num_cpus": 3},
}


def wanted(**sections: Mapping[str, object]) -> Layout:
    """Build a layout of 16.5 CPUs and 7 GPUs."""
    return layout(a_config(SIZES, sections), "cuda")


def nodes(*sizes: tuple[float, float]) -> tuple[Node, ...]:
    return tuple(
        Node(id=str(index), name=f"node-{index}", total=Resources(cpus=cpus, gpus=gpus))
        for index, (cpus, gpus) in enumerate(sizes)
    )


def test_a_cluster_too_small_is_refused_with_both_sides_of_the_sum_and_the_keys_that_help() -> None:
    sizes = ("16.5 CPUs and 7 GPUs", "2 policy x (0.5 CPUs and 1 GPUs)", "4 learner x (3 CPUs and 1 GPUs)")
    with refused("cluster", *sizes, "32 CPUs and 2 GPUs", "policy.num_workers", "learner.num_ranks"):
        check_fits(wanted(), nodes((32, 2)))
    with refused("cluster", "learner.num_cpus", 'cluster.device = "cpu"'):
        check_fits(wanted(), nodes((8, 8), (8, 8)), way_out='set cluster.device = "cpu"')


def test_a_cluster_without_a_gpu_is_refused_without_a_number_to_lower() -> None:
    with pytest.raises(BadInput) as caught:
        check_fits(wanted(), nodes((64, 0)), way_out='set cluster.device = "cpu"')
    assert (caught.value.key, "lower" in str(caught.value)) == ("cluster", False)
    assert 'cluster.device = "cpu"' in str(caught.value)


def test_keys_that_are_as_low_as_they_can_be_are_not_named() -> None:
    with pytest.raises(BadInput) as caught:
        check_fits(wanted(policy={"num_workers": 1}, learner={"num_ranks": 1}), nodes((32, 2)))
    assert "num_workers" not in str(caught.value)
    assert "num_ranks" not in str(caught.value)


def test_a_cluster_that_is_just_large_enough_is_taken() -> None:
    check_fits(wanted(), nodes((16.5, 7)))
    with refused("cluster"):
        check_fits(wanted(), nodes((16.4, 7)))


@pytest.mark.parametrize(
    ("sections", "key", "named"),
    [
        (
            {"policy": {"tensor_parallel_size": 16, "num_workers": 1}},
            "policy.tensor_parallel_size",
            ("policy-0", "16 GPUs"),
        ),
        ({"pivot": {"tensor_parallel_size": 9}}, "pivot.tensor_parallel_size", ("pivot-0", "9 GPUs")),
        ({"scorer": {"num_gpus": 12}}, "scorer.num_gpus", ("scorer-0", "12 GPUs")),
        ({"learner": {"num_cpus": 65, "num_ranks": 1}}, "learner.num_cpus", ("learner-0", "65 CPUs")),
    ],
)
def test_a_bundle_that_no_node_holds_is_refused_by_name_with_the_largest_node(
    sections: Mapping[str, Mapping[str, object]], key: str, named: tuple[str, ...]
) -> None:
    with refused(key, *named, "node-2", "64 CPUs and 8 GPUs"):
        check_fits(wanted(**sections), nodes((64, 4), (64, 4), (64, 8), (64, 4)))
