"""Test which workers are added and removed after a look at the cluster."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.elastic.scaling import ClusterView, ScalingDecision, ScalingLimits, Slot, decide
from cluster.layout import Resources

BUNDLE = Resources(cpus=2, gpus=1)
FITS, TOO_SMALL = Resources(cpus=2, gpus=1), Resources(cpus=8, gpus=0)
HERE, LOST, ENDING = Slot(key="a", node="n"), Slot(key="a", node=None), Slot(key="a", node="n", is_draining=True)


def view(*slots: Slot, free: tuple[Resources, ...] = (), is_short: bool = False) -> ClusterView:
    """Return a view of the cluster whose slots are named in order: a, b, c ..."""
    named = tuple(replace(slot, key=key) for slot, key in zip(slots, "abcdefgh", strict=False))
    return ClusterView(slots=named, free=free, is_short=is_short)


def decided(
    seen: ClusterView,
    *,
    occupied: str,
    most: int,
    least: int = 1,
    closed: str = "",
    without_node: str = "",
) -> ScalingDecision:
    """Return the decision; slots are named by letters, and every occupied slot has one worker."""
    return decide(
        seen,
        occupied=set(occupied),
        closed=set(closed),
        without_node=set(without_node),
        num_workers=len(occupied),
        limits=ScalingLimits(min_workers=least, max_workers=most, bundle=BUNDLE),
    )


def test_nothing_is_done_while_all_slots_have_nodes_and_no_more_workers_are_wanted() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), occupied="ab", most=2) == ScalingDecision()


def test_a_slot_is_reserved_if_one_node_has_room_for_a_whole_worker() -> None:
    assert decided(view(HERE, free=(TOO_SMALL, FITS)), occupied="a", most=3) == ScalingDecision(reserve=True)
    assert decided(view(HERE, free=(TOO_SMALL, Resources(cpus=1, gpus=4))), occupied="a", most=3) == ScalingDecision()


def test_no_slot_is_reserved_while_the_run_itself_waits_for_a_node() -> None:
    assert decided(view(HERE, free=(FITS,), is_short=True), occupied="a", most=3) == ScalingDecision()


def test_a_worker_without_a_node_is_removed_at_the_second_look() -> None:
    seen = view(HERE, LOST)
    assert decided(seen, occupied="ab", most=2) == ScalingDecision()
    assert decided(seen, occupied="ab", most=2, without_node="b") == ScalingDecision(
        remove={"b": "its node is gone, and no other node has free resources"}
    )


def test_a_worker_on_a_node_that_is_about_to_end_is_removed_at_once_and_another_slot_reserved() -> None:
    assert decided(view(HERE, ENDING, free=(FITS,)), occupied="ab", most=2) == ScalingDecision(
        remove={"b": "its node will be taken away"}, reserve=True
    )


def test_the_minimum_number_of_workers_is_never_removed() -> None:
    seen = view(LOST, ENDING, LOST)
    assert set(decided(seen, occupied="abc", least=2, most=3, without_node="ac").remove) == {"a"}
    assert decided(seen, occupied="abc", least=3, most=3, without_node="ac") == ScalingDecision()


def test_a_slot_that_has_a_node_again_is_filled_before_another_is_reserved() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), occupied="b", most=2) == ScalingDecision(fill=("a",))
    assert decided(view(HERE, HERE, free=(FITS,)), occupied="b", most=3) == ScalingDecision(fill=("a",), reserve=True)


@pytest.mark.parametrize("unusable", [LOST, ENDING])
def test_a_slot_without_a_lasting_node_is_not_filled(unusable: Slot) -> None:
    assert decided(view(unusable, HERE), occupied="b", most=2) == ScalingDecision()


def test_the_slot_of_a_worker_that_spent_its_restarts_stays_closed_and_one_worker_fewer_is_wanted() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), occupied="b", closed="a", most=2) == ScalingDecision()
    assert decided(view(HERE, HERE, free=(FITS,)), occupied="b", closed="a", most=3) == ScalingDecision(reserve=True)


@given(
    nodes=st.lists(st.sampled_from([HERE, LOST, ENDING]), max_size=8),
    fates=st.lists(st.sampled_from(["taken", "vacant", "closed"]), min_size=8, max_size=8),
    is_away=st.lists(st.booleans(), min_size=8, max_size=8),
    least=st.integers(1, 4),
    more=st.integers(0, 5),
)
def test_no_decision_goes_below_the_minimum_or_above_the_maximum(
    nodes: list[Slot], fates: list[str], is_away: list[bool], least: int, more: int
) -> None:
    seen = view(*nodes, free=(FITS,))
    keys = [slot.key for slot in seen.slots]
    fate = dict(zip(keys, fates, strict=False))
    occupied = [key for key in keys if fate[key] == "taken"]
    closed = [key for key in keys if fate[key] == "closed"]
    without_node = [key for key, was_away in zip(keys, is_away, strict=False) if was_away]
    made = decided(
        seen,
        occupied="".join(occupied),
        closed="".join(closed),
        without_node="".join(without_node),
        least=least,
        most=least + more,
    )
    left = len(occupied) - len(made.remove)
    assert set(made.remove) <= set(occupied)
    assert not {*made.fill} & {*occupied, *closed}
    assert left >= min(least, len(occupied))
    assert left + len(made.fill) + made.reserve <= max(left, least + more - len(closed))
