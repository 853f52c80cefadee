"""Test the simulation that decides which interval of a difference holds for few items."""

from benchmarks.interval_coverage import simulate


def test_with_few_items_newcombes_interval_holds_the_truth_where_that_of_the_bootstrap_does_not() -> None:
    found = simulate(0.9, 0.95, num_items=10, num_sets=200)
    assert found.newcombe >= 0.95
    assert found.bootstrap < 0.8


def test_items_that_are_always_right_leave_nothing_to_chance() -> None:
    found = simulate(1.0, 1.0, num_items=10, num_sets=5)
    assert (found.newcombe, found.bootstrap) == (1.0, 1.0)
