"""Which sample lies in which row: as few rows as first-fit decreasing needs, evened out, whatever their number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.packing import assign_rows, emptiest_first, first_fit_decreasing

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=60)


def lognormal(num: int, *, seed: int = 0) -> list[int]:
    """Lengths as a real run has them: mean 150, at most 512."""
    spread = 0.6
    drawn = np.random.default_rng(seed).lognormal(np.log(150) - spread**2 / 2, spread, num)
    return np.clip(drawn.round(), 2, 512).astype(int).tolist()


def sums(rows: list[list[int]], lengths: list[int]) -> list[int]:
    return [sum(lengths[index] for index in row) for row in rows]


def naive_first_fit(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    """The definition: every sample looks at every row."""
    rows: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        for row in rows:
            if sum(lengths[member] for member in row) + lengths[index] <= row_tokens:
                row.append(index)
                break
        else:
            rows.append([index])
    return rows


@given(LENGTHS, st.integers(64, 200))
def test_first_fit_is_the_first_row_with_room(lengths: list[int], row_tokens: int) -> None:
    assert first_fit_decreasing(lengths, row_tokens=row_tokens) == naive_first_fit(lengths, row_tokens=row_tokens)


@given(LENGTHS, st.integers(1, 9))
def test_the_emptiest_row_takes_the_next_longest(lengths: list[int], num_rows: int) -> None:
    filled = [0] * num_rows
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        filled[filled.index(min(filled))] += lengths[index]
    rows = emptiest_first(lengths, num_rows=num_rows)
    assert sums(rows, lengths) == filled


@given(LENGTHS, st.integers(64, 200), st.integers(1, 5))
def test_every_sample_is_in_exactly_one_row_under_the_budget(
    lengths: list[int], row_tokens: int, num_ranks: int
) -> None:
    rows = assign_rows(lengths, num_ranks=num_ranks, row_tokens=row_tokens)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert max(sums(rows, lengths)) <= row_tokens
    assert all(rows)


def test_rows_are_as_few_as_first_fit_decreasing_and_then_evened_out() -> None:
    # FFD with a cap of 10: [6, 4], [5, 3], [3]. Three rows for one rank: longest first to the emptiest row gives
    # 6 | 5 | 4, then 3 to the 4 (7) and 3 to the 5 (8).
    lengths = [3, 4, 5, 3, 6]
    assert sums(assign_rows(lengths, num_ranks=1, row_tokens=10), lengths) == [6, 8, 7]


def test_rows_that_cannot_be_evened_out_under_the_cap_stay_first_fit_decreasing() -> None:
    # FFD with a cap of 12: [6, 6], [4, 4, 4]. Emptiest first gives 6 | 6, then 4 | 4 on top, and the third 4 makes 14.
    assert assign_rows([6, 6, 4, 4, 4], num_ranks=1, row_tokens=12) == [[0, 1], [2, 3, 4]]


def test_another_row_is_opened_rather_than_a_dummy_where_there_are_samples_for_it() -> None:
    # Three rows of 10 would do, but two ranks share four as evenly: 10 and 10, then 5 and 5.
    assert sorted(sums(assign_rows([5] * 6, num_ranks=2, row_tokens=10), [5] * 6)) == [5, 5, 10, 10]


@pytest.mark.parametrize("row_tokens", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("num_ranks", [1, 2])
def test_ragged_lengths_fill_their_rows_to_95_percent(row_tokens: int, num_ranks: int) -> None:
    lengths = lognormal(1024)
    rows = assign_rows(lengths, num_ranks=num_ranks, row_tokens=row_tokens)
    num_rows = len(rows) + -len(rows) % num_ranks  # dummies are rows too
    assert sum(lengths) / (num_rows * row_tokens) >= 0.95


def test_ten_thousand_samples_take_no_more_than_the_fewest_rows_and_two_percent() -> None:
    """Also a test of time: looking at every row for every sample would take minutes."""
    lengths = lognormal(10_000)
    assert len(assign_rows(lengths, num_ranks=1, row_tokens=1024)) <= 1.02 * sum(lengths) / 1024
