"""Test on which nodes bundles are put: learner ranks together, whole nodes left to those that need them."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.capacity import Node
from cluster.layout import Layout, Resources, Role, layout
from cluster.packing import Part, check_packs, packed
from tests.builders import a_config
from tests.refusals import refused


def wanted(*, ranks: int = 1, policy: tuple[int, int] = (1, 1), pivot: int = 1, scorer_gpus: float = 0) -> Layout:
    """Build a layout on GPUs; the policy has (workers, GPUs each)."""
    sections: Mapping[str, Mapping[str, object]] = {
        "policy": {"num_workers": policy[0], "tensor_parallel_size": policy[1]},
        "pivot": {"tensor_parallel_size": pivot},
        "scorer": {"num_gpus": scorer_gpus},
        "learner": {"num_ranks": ranks},
        "algorithm": {"groups_per_step": 64},
    }
    return layout(a_config(sections), "cuda")


def room(*gpus: float, cpus: float = 64) -> dict[str, Resources]:
    return {f"node-{index}": Resources(cpus=cpus, gpus=count) for index, count in enumerate(gpus)}


def on(parts: tuple[Part, ...] | None, role: Role) -> dict[str, int]:
    """Return the number of a role's actors on each node."""
    assert parts is not None
    found = ((part.node, placement) for part in parts for slot in part.slots for placement in slot.placements)
    return dict(Counter(node for node, placement in found if placement.role == role))


@pytest.mark.parametrize(
    ("gpus", "ranks", "expected"),
    [
        ((8, 8, 8, 8), 4, [4]),
        ((8, 8, 8, 8), 8, [8]),
        ((8, 8, 8, 8), 12, [8, 4]),
        ((8, 8, 8, 8), 16, [8, 8]),
        ((4, 8, 2), 8, [8]),
        ((4, 8, 3), 10, [8, 2]),
    ],
)
def test_learner_ranks_share_as_few_nodes_as_possible(gpus: tuple[float, ...], ranks: int, expected: list[int]) -> None:
    parts = packed(wanted(ranks=ranks), room(*gpus))
    assert parts is not None
    assert sorted(on(parts, "learner").values(), reverse=True) == expected
    assert [len(part.slots) for part in parts if part.slots[0].is_rank] == expected


def test_the_layout_that_rays_strategy_scattered_keeps_its_ranks_on_two_whole_nodes() -> None:
    parts = packed(wanted(ranks=16, policy=(4, 2), pivot=4, scorer_gpus=1), room(8, 8, 8, 8))
    assert list(on(parts, "learner").values()) == [8, 8]
    assert set(on(parts, "policy")) | set(on(parts, "pivot")) <= {"node-2", "node-3"}


def test_few_ranks_leave_the_whole_node_to_an_engine_that_needs_it() -> None:
    parts = packed(wanted(ranks=4, policy=(1, 8)), room(8, 6))
    assert (on(parts, "learner"), on(parts, "policy")) == ({"node-1": 4}, {"node-0": 1})


def test_ranks_spread_where_engines_of_three_gpus_would_find_no_node_otherwise() -> None:
    """Three nodes of 4: two engines of 3, a pivot and 5 ranks fill all 12 only with one rank beside each engine."""
    parts = packed(wanted(ranks=5, policy=(2, 3), pivot=1), room(4, 4, 4))
    assert sorted(on(parts, "learner").values()) in ([1, 1, 3], [1, 4])
    assert sum(on(parts, "policy").values()) == 2


def test_cpus_count_as_well_as_gpus() -> None:
    parts = packed(wanted(ranks=4), {"a": Resources(cpus=2, gpus=8), "b": Resources(cpus=8, gpus=8)})
    assert on(parts, "learner") == {"b": 4}


def test_actors_that_share_a_gpu_are_on_one_node() -> None:
    sections = {"pivot": {"num_gpus": 0.6}, "scorer": {"num_gpus": 0.4}}
    parts = packed(layout(a_config(sections), "cuda"), room(1, 1, 1))
    assert on(parts, "pivot") == on(parts, "scorer")


def test_workers_and_ranks_that_share_their_gpus_fill_whole_nodes_together() -> None:
    sections = {
        "policy": {"num_workers": 16},
        "learner": {"num_ranks": 16},
        "algorithm": {"groups_per_step": 64},
        "cluster": {"colocate": True},
    }
    parts = packed(layout(a_config(sections), "cuda"), room(8, 8, 8, 8))
    assert list(on(parts, "learner").values()) == [8, 8]
    assert on(parts, "policy") == on(parts, "learner")


def test_bundles_that_fit_in_sum_but_not_onto_nodes_are_refused_at_once() -> None:
    asked = wanted(ranks=1, policy=(2, 5), pivot=5)  # 16 GPUs, of 5, 5, 5 and 1
    assert packed(asked, room(8, 8)) is None
    nodes = [Node(id=name, name=name, total=has) for name, has in room(8, 8).items()]
    with refused("cluster", "1 CPUs and 5 GPUs", "64 CPUs and 8 GPUs"):
        check_packs(asked, nodes)


def test_parts_of_a_gpu_that_no_single_gpu_has_are_refused_though_their_sum_fits() -> None:
    asked = layout(
        a_config(
            {"pivot": {"num_workers": 4, "num_gpus": 0.6}, "learner": {"num_ranks": 2}, "scorer": {"num_gpus": 0}}
        ),
        "cuda",
    )
    assert asked.total.gpus == pytest.approx(1 + 4 * 0.6 + 2)  # below 6, but each pivot worker leaves 0.4 of its GPU
    nodes = [Node(id=name, name=name, total=has) for name, has in room(6).items()]
    with refused("cluster", "0.6 GPUs", "6 GPUs"):
        check_packs(asked, nodes)
    assert on(packed(asked, room(7)), "pivot") == {"node-0": 4}


def test_parts_fill_the_gpus_that_are_begun_before_they_begin_others() -> None:
    sections = {"pivot": {"num_gpus": 0.5}, "scorer": {"num_gpus": 0.25, "num_workers": 6}}
    asked = layout(a_config(sections), "cuda")  # two scorers beside the pivot, four on a GPU of their own
    assert packed(asked, room(3)) is None  # policy, pivot, rank, and one for the four scorers
    assert on(packed(asked, room(4)), "scorer") == {"node-0": 6}


def test_what_another_run_holds_of_a_gpu_is_not_lent_twice() -> None:
    assert packed(layout(a_config(pivot={"num_gpus": 0.75}), "cuda"), room(2.5)) is None


@given(
    gpus=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    ranks=st.integers(1, 16),
    policy=st.tuples(st.integers(1, 4), st.sampled_from((1, 2, 4))),
    pivot=st.sampled_from((1, 2, 4)),
)
def test_a_packing_places_every_bundle_once_and_overfills_no_node(
    gpus: list[int], ranks: int, policy: tuple[int, int], pivot: int
) -> None:
    asked = wanted(ranks=ranks, policy=policy, pivot=pivot)
    free = room(*gpus, cpus=1000)
    parts = packed(asked, free)
    if parts is None:
        return
    assert sorted(slot.name for part in parts for slot in part.slots) == sorted(slot.name for slot in asked.slots)
    for node, has in free.items():
        used = sum(slot.bundle.gpus for part in parts if part.node == node for slot in part.slots)
        assert used <= has.gpus


@given(sizes=st.lists(st.sampled_from((1, 2, 4, 8)), min_size=1, max_size=4), ranks=st.integers(1, 8))
def test_sizes_that_divide_the_nodes_always_fit_where_the_sum_does(sizes: list[int], ranks: int) -> None:
    nodes = -(-(sum(sizes) + ranks) // 8)
    asked = wanted(ranks=ranks, policy=(1, sizes[0]), pivot=sizes[-1])
    assert packed(asked, room(*[8.0] * max(nodes, -(-int(asked.total.gpus) // 8)))) is not None
