"""Test the turns of languages: shares are kept at every moment, as closely as whole turns allow."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driver.problems.turns import Turns
from tests.refusals import refused

ANY_SHARES = st.lists(st.one_of(st.integers(1, 3), st.integers(1, 60)), min_size=1, max_size=12)


def taken(turns: Turns, num: int) -> str:
    return "".join(turns.take() for _ in range(num))


def test_even_shares_take_turns_in_order() -> None:
    assert taken(Turns("abc"), 7) == "abcabca"
    assert taken(Turns("abc", (0.1, 0.1, 0.1)), 7) == "abcabca"


def test_unequal_shares_come_as_evenly_as_they_can() -> None:
    # Shares 1/4, 1/2, 1/4. Turn 1: all may come; they must by turns 4, 2 and 4, so b. Turn 2: b, once of 2/2, has had
    # its share; a. Turn 3: b (it must by turn 4, as c, and comes first in order). Turn 4: b has had 2 of 4/2, a 1 of
    # 4/4; c. Then again from the start.
    assert taken(Turns("abc", (1, 2, 1)), 8) == "babcbabc"
    # Shares 5/7, 1/7, 1/7: a may come while it has had fewer than 5t/7, and must by turns 2, 3, 5, 6 and 7; b and c
    # must by turn 7. At turn 4 a has had 3, more than 20/7: b. At turn 6 a and c must both by 7, and a is the first
    # in order. At turn 7 a has had 5 = 35/7: c.
    assert taken(Turns("abc", (5, 1, 1)), 7) == "aaabaac"


def test_a_share_counts_as_it_is_written() -> None:
    assert Turns("abc", (0.1, 0.2, 0.3)).weights == [1, 2, 3]
    assert Turns("ab", (1e-07, 1.0)).weights == [1, 10_000_000]
    assert Turns("ab", (4, 6)).weights == [2, 3]


@settings(max_examples=150, deadline=None)
@given(shares=ANY_SHARES, num=st.integers(1, 300))
def test_after_any_number_of_turns_every_language_is_less_than_one_turn_away_from_its_share(
    shares: list[int], num: int
) -> None:
    languages = [str(index) for index in range(len(shares))]
    turns = Turns(languages, shares)
    order = [turns.take() for _ in range(num)]
    for language, share in zip(languages, shares, strict=True):
        for turn, had in enumerate(accumulate(one == language for one in order), start=1):
            assert abs(had * sum(shares) - share * turn) < sum(shares)


def test_smooth_weighted_round_robin_would_fall_behind_by_more_than_a_turn_where_these_turns_do_not() -> None:
    shares = [1, 1, 46, 46, 60, 1, 2, 1, 1, 1, 1, 1, 1]
    turns, had = Turns([str(index) for index in range(13)], shares), [0] * 13
    credit, worst_credit = [0] * 13, 0
    for turn in range(1, sum(shares) + 1):
        credit = [one + share for one, share in zip(credit, shares, strict=True)]
        credit[credit.index(max(credit))] -= sum(shares)
        worst_credit = max(worst_credit, *credit)
        had[int(turns.take())] += 1
        assert all(
            abs(count * sum(shares) - share * turn) < sum(shares) for count, share in zip(had, shares, strict=True)
        )
    assert worst_credit > sum(shares)
    assert had == shares


def test_a_small_share_is_never_starved() -> None:
    turns = Turns("ab", (1, 9))
    places = [index for index, one in enumerate(taken(turns, 100)) if one == "a"]
    assert len(places) == 10
    assert max(after - before for before, after in pairwise(places)) < 20  # windows of 10 turns, one in each


@given(shares=ANY_SHARES, before=st.integers(0, 60))
def test_turns_that_are_put_back_go_on_exactly(shares: list[int], before: int) -> None:
    languages = [str(index) for index in range(len(shares))]
    turns, again = Turns(languages, shares), Turns(languages, shares)
    for _ in range(before):
        turns.take()
    again.restore(turns.state())
    assert [again.take() for _ in range(40)] == [turns.take() for _ in range(40)]


@pytest.mark.parametrize(
    "shares", [(1,), (1, 2, 3), (1, 0), (1, -1), (1, float("inf")), (float("nan"), 1), (0.0, 0.0)], ids=str
)
def test_wrong_shares_are_refused(shares: tuple[float, ...]) -> None:
    with refused("data.shares"):
        Turns("ab", shares)
