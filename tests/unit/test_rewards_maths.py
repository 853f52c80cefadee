"""The pure maths of rewards: cosines and advantages."""

import math

import numpy as np
import pytest

from rewards.advantages import group_relative, has_signal
from rewards.similarity import all_cosines


def test_all_cosines_pair_every_row_with_every_other() -> None:
    a = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    b = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    assert all_cosines(a, b) == pytest.approx(np.array([[0.6, 1.0], [0.8, 0.0], [-0.6, -1.0]]))


def test_cosine_of_rounded_vectors_is_never_above_one() -> None:
    long = np.array([[1.0001, 0.0]], dtype=np.float32)
    assert all_cosines(long, long) == [[1.0]]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_vector_that_is_not_finite_has_no_cosine_and_spoils_no_other(broken: float) -> None:
    a = np.array([[broken, 0], [0.6, 0.8]], dtype=np.float32)
    b = np.array([[1, 0], [1, 0]], dtype=np.float32)
    table = all_cosines(a, b)
    assert np.isnan(table[0]).all() and table[1] == pytest.approx([0.6, 0.6])


def test_advantages_are_rewards_less_their_mean() -> None:
    assert group_relative([1.0, 0.0, 0.5]) == pytest.approx([0.5, -0.5, 0.0])


def test_unscored_leaves_the_baseline() -> None:
    # The mean of 1 and 0 is 0.5; with the unscored one read as 0 it would be a third.
    assert group_relative([1.0, None, 0.0]) == [0.5, None, -0.5]


def test_advantages_over_the_standard_deviation() -> None:
    # Mean 2, deviations -1 and 1, population standard deviation 1.
    assert group_relative([1.0, 3.0], scale_by_std=True, eps=0.0) == pytest.approx([-1.0, 1.0])
    assert group_relative([2.0, 6.0], scale_by_std=True, eps=0.0) == pytest.approx([-1.0, 1.0])


def test_equal_rewards_and_lone_survivors_have_zero_advantage() -> None:
    assert group_relative([0.4, 0.4], scale_by_std=True) == pytest.approx([0.0, 0.0])
    assert group_relative([None, 0.4], scale_by_std=True) == [None, 0.0]
    assert group_relative([None, None]) == [None, None]


@pytest.mark.parametrize(
    ("rewards", "min_spread", "expected"),
    [
        ([0.0, 1.0], 1e-4, True),
        ([0.5, 0.5], 1e-4, False),
        ([0.5, 0.5], 0.0, False),
        ([0.50000, 0.50001], 1e-4, False),
        ([0.0, 0.25], 0.25, True),
        ([1.0, None], 1e-4, False),
        ([None, None], 1e-4, False),
        ([1.0, None, 0.0], 1e-4, True),
        ([], 1e-4, False),
    ],
)
def test_group_teaches_only_where_scored_rewards_differ(
    rewards: list[float | None], min_spread: float, expected: bool
) -> None:
    assert has_signal(rewards, min_spread=min_spread) is expected
