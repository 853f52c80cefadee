"""Test means, errors and intervals on numbers worked by hand."""

import math

import pytest

from driver.evaluation.estimates import Levels, combined, majority_at, mean_over, paired_difference, pass_at

HALF = {"a": 1.0, "b": 0.0}


def test_the_mean_of_one_language_has_the_error_of_a_share() -> None:
    found = combined({"de": {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}}, {"de": 1.0})
    assert found.value == 0.75
    assert found.error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_languages_that_answer_alike_give_no_smaller_error_than_one() -> None:
    one = combined({"de": HALF}, mean_over(["de"]))
    both = combined({"de": HALF, "fr": HALF}, mean_over(["de", "fr"]))
    assert both == one


def test_languages_with_items_of_their_own_are_independent() -> None:
    one = combined({"de": HALF}, mean_over(["de"]))
    both = combined({"de": HALF, "fr": {"c": 1.0, "d": 0.0}}, mean_over(["de", "fr"]))
    assert both.error == pytest.approx(one.error / math.sqrt(2))


def test_a_gap_between_languages_that_answer_alike_has_no_error() -> None:
    found = combined({"en": HALF, "de": HALF}, {"en": 1.0, "de": -1.0})
    assert (found.value, found.error) == (0.0, 0.0)


def test_levels_are_weighed_and_items_within_a_level_are_equal() -> None:
    levels = Levels(of_item={"a": "low", "b": "low", "c": "top"}, weights={"low": 1, "top": 8})
    found = combined({"de": {"a": 1.0, "b": 0.0, "c": 1.0}}, {"de": 1.0}, levels)
    assert found.value == pytest.approx((1 * 0.5 + 8 * 1.0) / 9)
    # Level low has two items that deviate by a half; each weighs 1/9/2. Level top has no deviation.
    assert found.error == pytest.approx(math.sqrt(2 * (0.5 / 18) ** 2))


@pytest.mark.parametrize(
    ("num", "correct", "k", "expected"),
    [(4, 1, 1, 0.25), (4, 1, 4, 1.0), (4, 0, 2, 0.0), (4, 2, 2, 1 - 1 / 6), (10, 3, 5, 1 - 21 / 252)],
)
def test_pass_at_k_is_one_less_the_chance_of_k_wrong_ones(num: int, correct: int, k: int, expected: float) -> None:
    assert pass_at(num, correct, k) == pytest.approx(expected)


def test_pass_at_more_than_was_drawn_is_refused() -> None:
    with pytest.raises(ValueError):
        pass_at(4, 1, 8)


@pytest.mark.parametrize(
    ("answers", "right", "k", "expected"),
    [
        (("7", "7", "8", "9"), "7", 4, 1.0),
        (("7", "8", "8", "9"), "7", 4, 0.0),
        (("7", "7", "8", "8"), "7", 4, 0.5),  # a tie is shared
        (("7", "8", "7", "7"), "7", 2, 0.75),  # a tie, then a majority
        (("", "", "", "7"), "7", 4, 1.0),  # no answer, no vote
        (("", ""), "7", 2, 0.0),
    ],
)
def test_the_most_frequent_answer_decides(answers: tuple[str, ...], right: str, k: int, expected: float) -> None:
    assert majority_at(answers, [answer == right for answer in answers], k) == expected


def test_a_difference_of_all_items_is_certain() -> None:
    wrong = {"de": {str(item): 0.0 for item in range(20)}}
    right = {"de": {str(item): 1.0 for item in range(20)}}
    found = paired_difference(wrong, right, {"de": 1.0})
    assert (found.value, found.low, found.high, found.p_value) == pytest.approx((1.0, 1.0, 1.0, 0.0))


def test_no_difference_is_no_evidence() -> None:
    scores = {"de": {str(item): float(item % 2) for item in range(20)}}
    found = paired_difference(scores, scores, {"de": 1.0})
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_interval_is_that_of_a_mean_of_paired_differences() -> None:
    before = {"de": {str(item): 0.0 for item in range(400)}}
    after = {"de": {str(item): float(item % 4 == 0) for item in range(400)}}
    found = paired_difference(before, after, {"de": 1.0})
    error = math.sqrt(0.25 * 0.75 / 400)
    assert found.value == pytest.approx(0.25)
    assert found.low == pytest.approx(0.25 - 1.96 * error, abs=0.004)
    assert found.high == pytest.approx(0.25 + 1.96 * error, abs=0.004)
    assert found.p_value < 0.001


def test_other_items_are_refused() -> None:
    with pytest.raises(ValueError):
        paired_difference({"de": {"a": 1.0}}, {"de": {"b": 1.0}}, {"de": 1.0})
