"""The pure maths of rewards: composition, similarity, advantages."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rewards.advantages import group_relative, has_signal
from rewards.compose import Weights, compose_reward
from rewards.similarity import ReasoningPair, WholeTextSimilarity, rescale, row_cosines

WEIGHTS = Weights(answer=0.6, reasoning=0.4)


def test_wrong_answer_never_outranks_a_right_one_while_answers_weigh_more() -> None:
    wrong = compose_reward({"answer": 0.0, "reasoning": 1.0}, {"format": True}, WEIGHTS)
    right = compose_reward({"answer": 1.0, "reasoning": 0.0}, {"format": True}, WEIGHTS)
    assert (wrong, right) == (pytest.approx(0.4), pytest.approx(0.6))
    assert wrong < right


def test_any_shut_gate_means_zero() -> None:
    assert compose_reward({"answer": 1.0, "reasoning": 1.0}, {"format": True, "language": False}, WEIGHTS) == 0.0


def test_parts_without_a_weight_are_not_paid() -> None:
    assert compose_reward({"answer": 1.0, "reasoning": 0.5, "language": 1.0}, {}, WEIGHTS) == pytest.approx(0.8)


@pytest.mark.parametrize("part", [1.5, -0.1, float("nan")])
def test_part_outside_of_its_range_is_an_error(part: float) -> None:
    with pytest.raises(ValueError, match="'reasoning'"):
        compose_reward({"answer": 1.0, "reasoning": part}, {}, WEIGHTS)


@pytest.mark.parametrize(("answer", "reasoning"), [(0.6, 0.6), (0.5, 0.4), (1.2, -0.2)])
def test_weights_that_do_not_sum_to_one_are_refused(answer: float, reasoning: float) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        Weights(answer=answer, reasoning=reasoning)


def test_rescale_maps_low_and_high_to_zero_and_one_and_cuts_beyond() -> None:
    values = np.array([0.7, 0.8, 0.875, 0.95, 1.0])
    assert rescale(values, low=0.8, high=0.95) == pytest.approx([0, 0, 0.5, 1, 1])


def test_row_cosines_pair_rows() -> None:
    a = np.array([[1, 0], [0, 1]], dtype=np.float32)
    b = np.array([[0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    assert row_cosines(a, b) == pytest.approx([0.6, 0.8])


def test_similarity_pairs_each_reasoning_with_its_own_reference() -> None:
    class TableEncoder:
        def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
            vectors = {"a": (1.0, 0.0), "b": (0.0, 1.0), "x": (0.6, 0.8)}
            return np.array([vectors[text] for text in texts], dtype=np.float32)

    judge = WholeTextSimilarity(TableEncoder(), low=0.0, high=1.0)
    pairs = [ReasoningPair(language="de", reasoning="x", reference=reference) for reference in ("a", "b")]
    assert judge.judge(pairs) == pytest.approx([0.6, 0.8])


def test_similarity_bounds_must_be_in_order() -> None:
    class NoEncoder:
        def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
            raise AssertionError("nothing is encoded before the bounds are checked")

    with pytest.raises(ValueError, match="below"):
        WholeTextSimilarity(NoEncoder(), low=0.9, high=0.9)


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
