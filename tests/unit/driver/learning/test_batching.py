"""Test batches: contents of rows, weights of tokens, equal numbers of micro-batches, and that no sample is lost."""

from dataclasses import replace
from functools import partial
from random import Random
from typing import Literal

import numpy as np
import pytest

from contracts.batches import PackedRow, TrainBatch, TrainSample
from driver.learning.batching import (
    PADDING,
    LossWeighting,
    budget_efficiency,
    cut,
    pack,
    packing_efficiency,
)
from tests.refusals import raised

BY_TOKEN = LossWeighting(aggregation="token", max_response_tokens=64)


def make_sample(index: int, *, num_prompt: int = 2, num_response: int = 3) -> TrainSample:
    """Return a sample whose tokens are 100·index + position."""
    first = 100 * index
    return TrainSample(
        group_id=f"1/item/{index}",
        prompt_token_ids=tuple(range(first, first + num_prompt)),
        response_token_ids=tuple(range(first + num_prompt, first + num_prompt + num_response)),
        sampling_logprobs=tuple(-0.5 * (place + 1) for place in range(num_response)),
        advantages=(float(index + 1),) * num_response,
        policy_version=7,
    )


def pack_lengths(lengths: list[int], *, num_ranks: int, row_tokens: int) -> TrainBatch:
    samples = [make_sample(index, num_response=length - 2) for index, length in enumerate(lengths)]
    return pack_samples(samples, num_ranks=num_ranks, row_tokens=row_tokens)


def pack_samples(
    samples: list[TrainSample],
    *,
    num_ranks: int = 1,
    row_tokens: int = 64,
    weighting: LossWeighting = BY_TOKEN,
    is_padded: bool = False,
    share_prompts: bool = False,
) -> TrainBatch:
    return pack(
        samples,
        num_ranks=num_ranks,
        row_tokens=row_tokens,
        pad_token_id=9,
        policy_version=7,
        weighting=weighting,
        is_padded=is_padded,
        share_prompts=share_prompts,
    )


pad_samples = partial(pack_samples, is_padded=True)
share = partial(pack_samples, share_prompts=True)


def all_rows(batch: TrainBatch) -> list[PackedRow]:
    return [row for share in batch.rows for row in share]


def members(row: PackedRow) -> list[int]:
    return list(dict.fromkeys(row.sequence_ids.tolist()))


def row_lengths(batch: TrainBatch) -> list[list[int]]:
    return [[row.token_ids.size for row in rows] for rows in batch.rows]


def test_a_row_holds_its_sequences_end_to_end_with_their_own_positions() -> None:
    samples = [make_sample(0), make_sample(1, num_prompt=1, num_response=2)]
    (rows,) = pack_samples(samples, row_tokens=8).rows
    (row,) = rows
    assert row.token_ids.tolist() == [0, 1, 2, 3, 4, 100, 101, 102]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert row.loss_mask.tolist() == [False, False, True, True, True, False, True, True]
    assert row.sampling_logprobs.tolist() == [0, 0, -0.5, -1, -1.5, 0, -0.5, -1]
    assert row.advantages.tolist() == [0, 0, 1, 1, 1, 0, 2, 2]
    assert row.sequence_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert row.advantages.dtype == row.sampling_logprobs.dtype == row.loss_weights.dtype == np.float32
    assert row.token_ids.dtype == row.position_ids.dtype == row.sequence_ids.dtype == np.int64
    assert row.old_logprobs.size == row.reference_logprobs.size == row.returns.size == row.old_values.size == 0


def test_a_batch_counts_response_tokens_and_sequences_once() -> None:
    batch = pack_lengths([5, 6, 7], num_ranks=2, row_tokens=10)
    assert (batch.num_loss_tokens, batch.num_sequences, batch.policy_version) == (3 + 4 + 5, 3, 7)
    assert batch.group_ids == ("1/item/0", "1/item/1", "1/item/2")


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("num_samples", [1, 2, 7, 40])
def test_every_sample_is_in_exactly_one_row_under_the_cap(num_ranks: int, num_samples: int) -> None:
    lengths = np.random.default_rng(num_samples).integers(3, 50, num_samples).tolist()
    batch = pack_lengths(lengths, num_ranks=num_ranks, row_tokens=64)
    rows = [row for share in batch.rows for row in share]
    assert len({len(share) for share in batch.rows}) == 1
    assert len(batch.rows) == num_ranks
    assert max(row.token_ids.size for row in rows) <= 64
    assert sorted(index for row in rows for index in members(row) if index != PADDING) == list(range(num_samples))
    assert sum(int((row.sequence_ids != PADDING).sum()) for row in rows) == sum(lengths)
    assert sum(int(row.loss_mask.sum()) for row in rows) == batch.num_loss_tokens


def test_a_rank_without_a_sample_gets_a_short_row_that_adds_no_loss() -> None:
    batch = pack_lengths([6], num_ranks=2, row_tokens=10)
    (first,), (dummy,) = batch.rows
    assert first.token_ids.size == 6
    assert (dummy.token_ids.tolist(), dummy.position_ids.tolist()) == ([9], [0])
    assert not dummy.loss_mask.any()
    assert dummy.sequence_ids.tolist() == [PADDING]


def test_efficiency_is_the_share_of_slots_that_are_samples() -> None:
    # One row of 6, one dummy: 6 tokens, and 2 ranks spend as long as 6 tokens take: 6 / 12.
    batch = pack_lengths([6], num_ranks=2, row_tokens=10)
    assert packing_efficiency(batch) == 0.5
    assert budget_efficiency(batch, row_tokens=10) == 0.3  # two rows could hold 20
    # Two ranks, rows of 10 and 10, then 5 and 5: no rank waits, and 30 of 40 slots of the budget are used.
    even = pack_lengths([5] * 6, num_ranks=2, row_tokens=10)
    assert row_lengths(even) == [[10, 5], [10, 5]]
    assert (packing_efficiency(even), budget_efficiency(even, row_tokens=10)) == (1.0, 0.75)


def test_the_same_samples_give_the_same_batch() -> None:
    lengths = [5, 9, 5, 7, 5, 9, 4, 4]
    first, second = (pack_lengths(lengths, num_ranks=2, row_tokens=20) for _ in range(2))
    for ours, theirs in zip(first.rows, second.rows, strict=True):
        for row, other in zip(ours, theirs, strict=True):
            assert row.token_ids.tolist() == other.token_ids.tolist()


# --- weights ---


Aggregation = Literal["token", "sequence", "constant"]


def weights_of(batch: TrainBatch, sequence: int) -> list[float]:
    """Return the weights of a sequence's response tokens."""
    (row,) = [row for row in all_rows(batch) if sequence in row.sequence_ids]
    return row.loss_weights[(row.sequence_ids == sequence) & row.loss_mask].tolist()


@pytest.mark.parametrize(
    ("aggregation", "first", "second"),
    [
        ("token", 1 / 5, 1 / 5),  # 2 + 3 tokens
        ("sequence", 1 / (2 * 2), 1 / (2 * 3)),  # two sequences
        ("constant", 1 / (2 * 10), 1 / (2 * 10)),  # of at most 10 tokens
    ],
)
def test_every_response_token_has_its_share_in_the_batchs_loss(
    aggregation: Aggregation, first: float, second: float
) -> None:
    samples = [make_sample(0, num_response=2), make_sample(1, num_response=3)]
    batch = pack_samples(samples, weighting=LossWeighting(aggregation=aggregation, max_response_tokens=10))
    assert weights_of(batch, 0) == pytest.approx([first] * 2)
    assert weights_of(batch, 1) == pytest.approx([second] * 3)
    (row,) = all_rows(batch)
    assert not row.loss_weights[~row.loss_mask].any()


@pytest.mark.parametrize(
    ("aggregation", "expected"), [("token", 1 / 5), ("sequence", 1 / (2 * 3)), ("constant", 1 / (2 * 10))]
)
def test_masked_responses_weigh_nothing_and_leave_the_denominators(aggregation: Aggregation, expected: float) -> None:
    cut = replace(make_sample(0, num_response=4), is_truncated=True)
    samples = [cut, make_sample(1, num_response=3), make_sample(2, num_response=2)]
    weighting = LossWeighting(aggregation=aggregation, max_response_tokens=10, mask_truncated=True)
    batch = pack_samples(samples, weighting=weighting)
    assert weights_of(batch, 0) == [0.0] * 4
    assert weights_of(batch, 1) == pytest.approx([expected] * 3)
    assert (batch.num_loss_tokens, batch.num_sequences) == (9, 3)  # they are still measured
    unmasked = pack_samples(samples, weighting=replace(weighting, mask_truncated=False))
    assert all(weight > 0 for weight in weights_of(unmasked, 0))


@pytest.mark.parametrize("aggregation", ["token", "sequence"])
@pytest.mark.parametrize(("num_ranks", "row_tokens"), [(1, 64), (2, 30), (3, 64)])
def test_weights_of_a_batch_add_up_to_one_however_it_is_packed(
    aggregation: Aggregation, num_ranks: int, row_tokens: int
) -> None:
    samples = [make_sample(index, num_response=1 + index * 3) for index in range(8)]
    weighting = LossWeighting(aggregation=aggregation, max_response_tokens=64)
    batch = pack_samples(samples, num_ranks=num_ranks, row_tokens=row_tokens, weighting=weighting)
    assert sum(float(row.loss_weights.sum()) for row in all_rows(batch)) == pytest.approx(1.0)


def test_a_batch_of_masked_responses_is_refused() -> None:
    cut = replace(make_sample(0), is_truncated=True)
    weighting = LossWeighting(aggregation="token", max_response_tokens=10, mask_truncated=True)
    with pytest.raises(ValueError):
        pack_samples([cut, cut], weighting=weighting)


# --- measures ---


def test_measures_lie_beside_their_tokens_and_dummies_have_them_too() -> None:
    sample = replace(
        make_sample(0, num_response=2),
        old_logprobs=(-1.0, -2.0),
        reference_logprobs=(-3.0, -4.0),
        returns=(0.5, 0.25),
        old_values=(0.75, 1.0),
    )
    (row,), (dummy,) = pack_samples([sample], num_ranks=2).rows
    assert row.old_logprobs.tolist() == [0, 0, -1, -2]
    assert row.reference_logprobs.tolist() == [0, 0, -3, -4]
    assert row.returns.tolist() == [0, 0, 0.5, 0.25]
    assert row.old_values.tolist() == [0, 0, 0.75, 1]
    for values in (dummy.old_logprobs, dummy.reference_logprobs, dummy.returns, dummy.old_values):
        assert values.tolist() == [0]


def test_measures_of_some_samples_only_are_refused() -> None:
    measured = replace(make_sample(0), old_logprobs=(-1.0, -1.0, -1.0))
    with raised(ValueError, "old_logprobs"):
        pack_samples([measured, make_sample(1)])


# --- padding ---


def test_padded_rows_hold_one_sequence_and_fill_the_row() -> None:
    rows = all_rows(pad_samples([make_sample(index) for index in range(3)], num_ranks=2, row_tokens=8))
    assert sorted(members(row)[0] for row in rows) == [PADDING, 0, 1, 2]
    assert sorted(row.token_ids.size for row in rows) == [1, 8, 8, 8]  # the fourth is a dummy
    row = next(row for row in rows if members(row)[0] == 1)
    assert row.token_ids.tolist() == [100, 101, 102, 103, 104, 9, 9, 9]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert row.sequence_ids.tolist() == [1] * 5 + [PADDING] * 3
    assert row.loss_mask.tolist() == [False, False, True, True, True, False, False, False]
    assert row.loss_weights.tolist() == pytest.approx([0, 0, 1 / 9, 1 / 9, 1 / 9, 0, 0, 0])
    assert row.advantages.tolist() == [0, 0, 2, 2, 2, 0, 0, 0]


# --- what is refused ---


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError):
        pack_samples([])


def test_a_sample_longer_than_a_row_is_refused_with_its_group_and_both_lengths() -> None:
    with raised(ValueError, "1/item/0", " 11 tokens", " 10 "):
        pack_lengths([11], num_ranks=1, row_tokens=10)


def test_a_sample_without_a_response_is_refused() -> None:
    with pytest.raises(ValueError):
        pack_lengths([2], num_ranks=1, row_tokens=10)


def test_a_dummy_row_has_one_token_in_every_array() -> None:
    [[_], [dummy]] = pack_lengths([5], num_ranks=2, row_tokens=64).rows
    arrays = {name: getattr(dummy, name) for name in ("token_ids", "position_ids", "loss_mask", "loss_weights")}
    arrays |= {name: getattr(dummy, name) for name in ("sampling_logprobs", "advantages", "sequence_ids")}
    assert {name: array.shape for name, array in arrays.items()} == dict.fromkeys(arrays, (1,))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_left_over_goes_to_the_emptiest_part(seed: int) -> None:
    sizes = [10, 1, 1]
    parts = cut(sizes, num_parts=2, random=Random(seed))
    assert sorted(sum(sizes[index] for index in part) for part in parts) == [2, 10]


def test_every_second_micro_batch_is_dealt_in_reverse_so_that_the_ranks_get_the_same_total() -> None:
    batch = pack_lengths([10, 9, 8, 7], num_ranks=2, row_tokens=10)  # no two fit into one row
    assert row_lengths(batch) == [[10, 7], [9, 8]]


def test_a_dummy_row_and_absent_measures_have_the_types_of_a_row_with_samples() -> None:
    measures = ("old_logprobs", "reference_logprobs", "returns", "old_values")
    sample = make_sample(0)
    measured = replace(sample, **dict.fromkeys(measures, (0.5,) * 3))
    (row,), (dummy,) = pack_samples([measured], num_ranks=2).rows
    (bare,), _ = pack_samples([sample], num_ranks=2).rows
    for name in ("token_ids", "position_ids", "loss_mask", "loss_weights", "sampling_logprobs", "advantages"):
        assert getattr(dummy, name).dtype == getattr(row, name).dtype, name
    for name in measures:
        assert getattr(dummy, name).dtype == getattr(row, name).dtype == np.float32, name
        assert (getattr(bare, name).dtype, getattr(bare, name).size) == (np.float32, 0), name


@pytest.mark.parametrize("num_ranks", [1, 3, 5, 6, 7])
def test_ranks_that_do_not_divide_the_batch_wait_for_each_other_no_longer_than_others(num_ranks: int) -> None:
    """1,024 responses in rows of 4,096 tokens: rows come in a multiple of the ranks, and of nearly equal length."""
    lengths = np.random.default_rng(0).lognormal(6.5, 0.6, 1024).clip(3, 4096).round().astype(int).tolist()
    batch = pack_lengths(lengths, num_ranks=num_ranks, row_tokens=4096)
    assert packing_efficiency(batch) > 0.98
    assert min(row.token_ids.size for rows in batch.rows for row in rows) > 1  # no rank computes a dummy row
