"""Test 95% intervals against published and hand-made numbers, and at both ends of the scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.evaluation.estimates import NO_LEVELS
from driver.evaluation.intervals import correlation, difference, share_interval, wilson

SHARES = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n).map(lambda k: k / n), st.just(n)))


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, p. 857), table I: 81 of 263 and 15 of 148.
    found = wilson(81 / 263, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    found = wilson(15 / 148, 148)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0624, 0.1605)


def test_none_of_sixteen_may_still_be_a_fifth() -> None:
    # The upper limit at 0 is z^2 / (n + z^2) = 3.8415 / 19.8415.
    none, all_of_them = wilson(0.0, 16), wilson(1.0, 16)
    assert (none.low, none.high) == (0.0, pytest.approx(0.19361, abs=1e-5))
    assert (all_of_them.low, all_of_them.high) == (pytest.approx(0.80639, abs=1e-5), 1.0)


@given(SHARES)
def test_a_share_is_inside_its_interval_and_the_interval_inside_zero_to_one(found: tuple[float, int]) -> None:
    share, num = found
    interval = wilson(share, num)
    assert 0 <= interval.low <= share <= interval.high <= 1
    assert interval.low < interval.high


def test_an_error_of_independent_items_gives_wilsons_interval_of_the_items() -> None:
    # sqrt(0.3 * 0.7 / 50) = 0.0648074
    assert share_interval(0.3, 0.0648074, num_items=50, num_responses=50).low == pytest.approx(wilson(0.3, 50).low)


def test_a_larger_error_is_worth_fewer_items_and_no_error_never_more_than_all_responses() -> None:
    plain = wilson(0.3, 50)
    clustered = share_interval(0.3, 0.1, num_items=50, num_responses=200)
    assert clustered.high - clustered.low > plain.high - plain.low
    assert share_interval(0.3, 1e-9, num_items=50, num_responses=200) == wilson(0.3, 200)
    assert share_interval(0.0, 0.0, num_items=50, num_responses=200) == wilson(0.0, 50)


def test_a_difference_gives_the_published_interval() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, p. 873), method 10: 56/70 - 48/80 is 0.0524 to 0.3339.
    found = difference(wilson(48 / 80, 80), wilson(56 / 70, 70))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.excludes_zero


def test_a_difference_of_nothing_and_nothing_is_not_certain() -> None:
    found = difference(wilson(0.0, 16), wilson(0.0, 16))
    assert (found.low, found.value, found.high) == (
        pytest.approx(-0.19361, abs=1e-5),
        0.0,
        pytest.approx(0.19361, abs=1e-5),
    )
    assert not found.excludes_zero


def test_what_goes_together_makes_the_interval_narrower() -> None:
    before, after = wilson(0.4, 100), wilson(0.5, 100)
    alone, together = difference(before, after), difference(before, after, correlation=0.8)
    assert together.high - together.low < alone.high - alone.low
    assert (alone.excludes_zero, together.excludes_zero) == (False, True)


def test_the_same_answers_twice_are_nearly_fully_correlated() -> None:
    scores = {"de": {str(item): float(item < 10) for item in range(40)}}
    # s_a s_b = 0.25 * 0.75 / 40, so Newcombe's correction is 1 / (2 * 40 * 0.1875).
    assert correlation(scores, scores, {"de": 1.0}, NO_LEVELS) == pytest.approx(1 - 1 / (80 * 0.1875))


def test_opposite_answers_are_negatively_correlated() -> None:
    before = {"de": {str(item): float(item < 20) for item in range(40)}}
    after = {"de": {str(item): float(item >= 20) for item in range(40)}}
    assert correlation(before, after, {"de": 1.0}, NO_LEVELS) == pytest.approx(-1)


def test_the_correlation_of_other_items_or_of_no_spread_is_unknown() -> None:
    scores = {"de": {str(item): float(item < 10) for item in range(40)}}
    none_right = {"de": dict.fromkeys(scores["de"], 0.0)}
    assert correlation(scores, {"de": {"1": 1.0}}, {"de": 1.0}, NO_LEVELS) == 0
    assert correlation(scores, {}, {"de": 1.0}, NO_LEVELS) == 0
    assert correlation(scores, none_right, {"de": 1.0}, NO_LEVELS) == 0
