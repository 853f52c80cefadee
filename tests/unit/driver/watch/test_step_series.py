"""Check how metrics are kept over the steps, cut back and thinned out."""

import pytest

from driver.watch.step_series import StepSeries, thinned


def test_a_metric_is_kept_with_the_steps_that_have_it() -> None:
    series = StepSeries(keeps=lambda name: name != "other")
    series.add(1, {"a": 1.0, "other": 5.0})
    series.add(2, {"a": None, "b": 2.0})
    series.add(3, {"a": 3.0})
    assert series.names() == ["a", "b"]
    assert series.thinned("a", most=10) == [(1, 1.0), (3, 3.0)]
    assert series.at_end("a", 1) == [(3, 3.0)]
    assert series.thinned("other", most=10) == []
    assert series.last == {"a": 3.0}


def test_a_step_that_is_done_again_replaces_itself_and_later_ones() -> None:
    series = StepSeries(keeps=lambda name: True)
    for step in (1, 2, 3):
        series.add(step, {"a": float(step), "late" if step == 3 else "early": 0.0})
    series.add(2, {"a": 9.0})
    assert series.thinned("a", most=10) == [(1, 1.0), (2, 9.0)]
    assert series.names() == ["a", "early"]
    assert series.last_step == 2


@pytest.mark.parametrize(
    ("num", "most", "expected"),
    [
        (0, 3, []),
        (3, 3, [(1, 10.0), (2, 20.0), (3, 30.0)]),
        (4, 3, [(2, 15.0), (4, 35.0)]),
        (7, 3, [(3, 20.0), (6, 50.0), (7, 70.0)]),
    ],
)
def test_points_are_means_of_neighbours_at_the_last_ones_step(
    num: int, most: int, expected: list[tuple[int, float]]
) -> None:
    steps = list(range(1, num + 1))
    assert thinned(steps, [10.0 * step for step in steps], most=most) == expected
