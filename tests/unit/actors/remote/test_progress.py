"""Check what a process counts of its own work."""

import pytest

from actors.remote.progress import Progress, WorkClock


def test_a_turn_counts_its_time_while_it_lasts_and_its_work_when_it_ends() -> None:
    now = [10.0]
    clock = WorkClock(clock=lambda: now[0])
    with clock.turn(5):
        now[0] = 12.0
        assert clock.progress() == Progress(work=0, turns=0, busy_s=2)
    now[0] = 20.0
    assert clock.progress() == Progress(work=5, turns=1, busy_s=2)
    assert clock.progress().at_s == 20


def test_a_turn_that_fails_is_over() -> None:
    now = [0.0]
    clock = WorkClock(clock=lambda: now[0])
    with pytest.raises(ValueError), clock.turn(5):
        now[0] = 1.0
        raise ValueError
    now[0] = 9.0
    assert clock.progress().busy_s == 1
