"""Check that the chaos suite draws every type of fault, at moments that follow from the seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.plan import ACTOR_KINDS, ACTORS, DRIVER_KINDS, EVERY_TYPE, fault_types, plan


def test_every_actor_gets_every_fault_and_the_driver_its_own() -> None:
    drawn = fault_types(40, seed=3)
    assert len(drawn) == 40
    assert {(target, kind) for target in ACTORS for kind in ACTOR_KINDS} < set(drawn)
    assert {("driver", kind) for kind in DRIVER_KINDS} < set(drawn)


def test_too_few_faults_for_that_are_refused() -> None:
    with pytest.raises(ValueError):
        fault_types(len(EVERY_TYPE) - 1, seed=3)
    assert set(fault_types(len(EVERY_TYPE), seed=3)) == set(EVERY_TYPE)


@settings(max_examples=50, deadline=None)
@given(num=st.integers(len(EVERY_TYPE), 60), steps=st.integers(5, 100), seed=st.integers(0, 1000))
def test_moments_come_in_order_and_leave_the_last_steps_alone(num: int, steps: int, seed: int) -> None:
    faults = plan(fault_types(num, seed=seed), steps=steps, seed=seed, dead_after_s=8)
    assert [fault.number for fault in faults] == list(range(1, num + 1))
    moments = [fault.after_step for fault in faults]
    assert moments == sorted(moments)
    assert moments[0] >= 1
    assert moments[-3] <= steps - max(3, int(steps / 4))  # the last two are those of the end
    assert [(fault.kind, fault.after_step) for fault in faults[-2:]] == [("kill_export", steps), ("kill_merge", steps)]


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    one, again, other = (plan(EVERY_TYPE, steps=60, seed=seed, dead_after_s=8) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_pauses_are_shorter_and_longer_than_the_silence_of_a_dead_worker() -> None:
    lengths = [fault.lasts_s for fault in plan(EVERY_TYPE, steps=60, seed=1, dead_after_s=8)]
    assert min(lengths) < 8 < max(lengths)


def test_a_run_too_short_for_faults_is_refused() -> None:
    with pytest.raises(ValueError):
        plan(EVERY_TYPE, steps=3, seed=1, dead_after_s=8)
