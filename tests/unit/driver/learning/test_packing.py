"""Test which row each sample is packed into: as few rows as first-fit decreasing needs, with balanced lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.learning.packing import (
    Demand,
    assign_rows,
    assign_sharing,
    emptiest_first,
    first_fit_decreasing,
    first_fit_sharing,
    row_length,
)

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=60)


def lognormal(num: int, *, seed: int = 0) -> list[int]:
    """Return lengths as in a real run: mean 150, at most 512."""
    spread = 0.6
    drawn = np.random.default_rng(seed).lognormal(np.log(150) - spread**2 / 2, spread, num)
    return np.clip(drawn.round(), 2, 512).astype(int).tolist()


def sums(rows: list[list[int]], lengths: list[int]) -> list[int]:
    return [sum(lengths[index] for index in row) for row in rows]


def naive_first_fit(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    """Pack by the definition of first-fit: try every row for every sample."""
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


@given(st.lists(st.integers(1, 64), min_size=8, max_size=60), st.integers(64, 100), st.integers(2, 7))
def test_rows_are_never_more_than_the_ranks_need_and_never_over_the_budget(
    lengths: list[int], row_tokens: int, num_ranks: int
) -> None:
    rows = assign_rows(lengths, num_ranks=num_ranks, row_tokens=row_tokens)
    fewest = len(first_fit_decreasing(lengths, row_tokens=row_tokens))
    assert fewest <= len(rows) <= min(fewest + -fewest % num_ranks, len(lengths))
    demands = [
        Demand(prompt=index // 4, prompt_tokens=3, response_tokens=length) for index, length in enumerate(lengths)
    ]
    shared = assign_sharing(demands, num_ranks=num_ranks, row_tokens=row_tokens + 3)
    assert sorted(index for row in shared for index in row) == list(range(len(lengths)))
    assert max(row_length(demands, row) for row in shared) <= row_tokens + 3


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


# --- samples that share prompts ---

DEMANDS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 30)), min_size=1, max_size=40
)  # (prompt, response tokens); prompt p has 4 (p + 1) tokens


def demands_of(drawn: list[tuple[int, int]]) -> list[Demand]:
    return [Demand(prompt, 4 * (prompt + 1), response_tokens) for prompt, response_tokens in drawn]


def group(prompt: int, prompt_tokens: int, *response_tokens: int) -> list[Demand]:
    return [Demand(prompt, prompt_tokens, length) for length in response_tokens]


def shared_lengths(rows: list[list[int]], demands: list[Demand]) -> list[int]:
    return [row_length(demands, row) for row in rows]


@given(DEMANDS, st.integers(58, 200), st.integers(1, 5))
def test_every_sample_is_in_exactly_one_row_under_the_budget_with_its_prompt(
    drawn: list[tuple[int, int]], row_tokens: int, num_ranks: int
) -> None:
    demands = demands_of(drawn)
    rows = assign_sharing(demands, num_ranks=num_ranks, row_tokens=row_tokens)
    assert sorted(index for row in rows for index in row) == list(range(len(demands)))
    assert all(rows)
    for row in rows:
        prompts = {demands[index].prompt for index in row}
        assert sum(4 * (prompt + 1) for prompt in prompts) + sum(demands[index][2] for index in row) <= row_tokens


@given(DEMANDS, st.integers(58, 200), st.integers(1, 5))
def test_sharing_never_makes_more_to_compute(drawn: list[tuple[int, int]], row_tokens: int, num_ranks: int) -> None:
    demands = demands_of(drawn)
    rows = assign_sharing(demands, num_ranks=num_ranks, row_tokens=row_tokens)
    least = row_length(demands, range(len(demands)))
    assert least <= sum(shared_lengths(rows, demands)) <= sum(demand.tokens for demand in demands)


@given(LENGTHS, st.integers(64, 200))
def test_samples_that_share_nothing_fill_rows_first_fit_decreasing(lengths: list[int], row_tokens: int) -> None:
    demands = [Demand(index, 1, length - 1) for index, length in enumerate(lengths) if length > 1]
    together = [demand.tokens for demand in demands]
    found = first_fit_sharing(demands, row_tokens=row_tokens)
    assert sums(found, together) == sums(first_fit_decreasing(together, row_tokens=row_tokens), together)


def test_samples_of_one_prompt_lie_in_one_row_where_that_evens_out() -> None:
    # Four prompts of 10 with three responses of 5 each: 25 a prompt, two of them a row.
    demands = [demand for prompt in range(4) for demand in group(prompt, 10, 5, 5, 5)]
    rows = assign_sharing(demands, num_ranks=2, row_tokens=60)
    assert shared_lengths(rows, demands) == [50, 50]
    assert all(len({demands[index].prompt for index in row}) == 2 for row in rows)


def test_a_prompt_is_computed_twice_rather_than_that_a_rank_waits() -> None:
    # One prompt of 10 with four responses of 20: 90 on one rank, or 10 + 20 + 20 on each of two.
    demands = group(0, 10, 20, 20, 20, 20)
    assert shared_lengths(assign_sharing(demands, num_ranks=2, row_tokens=200), demands) == [50, 50]
    # Three such prompts: 90, 90 and 90 would be 180 beside 90; one prompt is cut in two, 90 + 10 + 20 + 20 on each.
    demands = [demand for prompt in range(3) for demand in group(prompt, 10, 20, 20, 20, 20)]
    assert shared_lengths(assign_sharing(demands, num_ranks=2, row_tokens=200), demands) == [140, 140]


def test_a_prompt_with_more_responses_than_a_row_holds_is_cut() -> None:
    # 10 + 4 x 20 = 90 in rows of 60: two responses a row.
    demands = group(0, 10, 20, 20, 20, 20)
    assert shared_lengths(assign_sharing(demands, num_ranks=1, row_tokens=60), demands) == [50, 50]


def test_rows_that_wait_for_one_long_sample_are_evened_out_among_themselves() -> None:
    # The first sample's 100 can't be cut. Of the other prompt, 10 + 4 x 30 in rows of 110: 70 and 70, not 100 and 40.
    demands = [*group(0, 40, 60), *group(1, 10, 30, 30, 30, 30)]
    rows = assign_sharing(demands, num_ranks=3, row_tokens=110)
    assert sorted(shared_lengths(rows, demands)) == [70, 70, 100]


def test_ten_thousand_samples_that_share_prompts_stay_together() -> None:
    """Also a test of time. Groups of 8 to a prompt of 100: of all their 1,250 prompts, few lie in two rows."""
    lengths = lognormal(10_000)
    demands = [Demand(index // 8, 100, length) for index, length in enumerate(lengths)]
    rows = assign_sharing(demands, num_ranks=8, row_tokens=8192)
    held = sum(len({demands[index].prompt for index in row}) for row in rows)
    assert held <= 1.1 * 1250
    assert max(shared_lengths(rows, demands)) <= 1.1 * min(shared_lengths(rows, demands))


@pytest.mark.parametrize(
    ("samples", "prompt_tokens", "row_tokens", "lengths"),
    [
        # (prompt, response tokens) of each sample. Evening out moves samples out of rows and into rows: a wrong count
        # of a prompt's samples in a row gives the row a wrong length, and longer rows at the end.
        ([(0, 4), (0, 6), (1, 4), (0, 7), (0, 8)], (5, 5), 22, [18, 17, 9]),
        ([(0, 1), (0, 7), (1, 7), (1, 4), (1, 1), (1, 7)], (1, 5), 18, [16, 13, 9]),
        ([(1, 1), (2, 8), (1, 3), (1, 5), (1, 8), (1, 8), (0, 6), (2, 2)], (6, 6, 2), 21, [19, 17, 17, 16]),
    ],
)
def test_rows_are_evened_out_by_their_true_lengths(
    samples: list[tuple[int, int]], prompt_tokens: tuple[int, ...], row_tokens: int, lengths: list[int]
) -> None:
    demands = [Demand(prompt, prompt_tokens[prompt], length) for prompt, length in samples]
    rows = assign_sharing(demands, num_ranks=1, row_tokens=row_tokens)
    assert sorted(shared_lengths(rows, demands), reverse=True) == lengths
