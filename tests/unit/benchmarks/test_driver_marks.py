"""What the benchmark of the driver reads off its marks."""

import pytest

from benchmarks.driver_alone import MAX_STALENESS, NUM_WARM_UP, SAMPLES_PER_STEP, Mark, Marks


def a_mark(step: int) -> Mark:
    """Slow while it warms up and while it ends: a second a step in between, a quarter of it at work."""
    slow = 100.0 * (min(step, NUM_WARM_UP) + max(0, step - 14))
    return Mark(wall_s=step + slow, processor_s=step / 4 + slow, resident_mib=500.0 + step, num_blocks=step)


MARKS = Marks(marks=[a_mark(step) for step in range(14 + MAX_STALENESS + 1)])


def test_time_is_taken_where_the_run_is_neither_filling_nor_emptying() -> None:
    assert MARKS.wall_s == pytest.approx(1 / SAMPLES_PER_STEP)
    assert MARKS.processor_s == pytest.approx(0.25 / SAMPLES_PER_STEP)


def test_memory_is_looked_at_when_so_many_samples_were_handed_to_the_learner() -> None:
    assert MARKS.after(2 * SAMPLES_PER_STEP).num_blocks == 2  # the first mark is before the first step
    assert MARKS.after(2 * SAMPLES_PER_STEP + 1).num_blocks == 3
