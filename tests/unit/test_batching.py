"""Packing: who lies where, the same number of micro-batches on every rank, and nobody lost."""

import numpy as np
import pytest

from driver.batching import PADDING, pack, packing_efficiency
from driver.schema import PackedRow, TrainBatch, TrainSample


def make_sample(index: int, *, num_prompt: int = 2, num_response: int = 3) -> TrainSample:
    """Tokens that tell which sample they are from: 100·index + place."""
    first = 100 * index
    return TrainSample(
        group_id=f"1/item/{index}",
        prompt_token_ids=tuple(range(first, first + num_prompt)),
        response_token_ids=tuple(range(first + num_prompt, first + num_prompt + num_response)),
        sampling_logprobs=tuple(-0.5 * (place + 1) for place in range(num_response)),
        advantage=float(index + 1),
        policy_version=7,
    )


def pack_lengths(lengths: list[int], *, num_ranks: int, row_tokens: int) -> TrainBatch:
    samples = [make_sample(index, num_response=length - 2) for index, length in enumerate(lengths)]
    return pack(samples, num_ranks=num_ranks, row_tokens=row_tokens, pad_token_id=9, policy_version=7)


def members(row: PackedRow) -> list[int]:
    return list(dict.fromkeys(row.sequence_ids.tolist()))


def row_lengths(batch: TrainBatch) -> list[list[int]]:
    return [[row.token_ids.size for row in rows] for rows in batch.rows]


def test_a_row_holds_its_sequences_end_to_end_with_their_own_positions() -> None:
    samples = [make_sample(0), make_sample(1, num_prompt=1, num_response=2)]
    (rows,) = pack(samples, num_ranks=1, row_tokens=8, pad_token_id=9, policy_version=7).rows
    (row,) = rows
    assert row.token_ids.tolist() == [0, 1, 2, 3, 4, 100, 101, 102]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert row.loss_mask.tolist() == [False, False, True, True, True, False, True, True]
    assert row.sampling_logprobs.tolist() == [0, 0, -0.5, -1, -1.5, 0, -0.5, -1]
    assert row.advantages.tolist() == [0, 0, 1, 1, 1, 0, 2, 2]
    assert row.sequence_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert row.advantages.dtype == row.sampling_logprobs.dtype == np.float32


def test_a_batch_counts_response_tokens_and_sequences_once() -> None:
    batch = pack_lengths([5, 6, 7], num_ranks=2, row_tokens=10)
    assert (batch.num_loss_tokens, batch.num_sequences, batch.policy_version) == (3 + 4 + 5, 3, 7)


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


def test_rows_are_as_few_as_first_fit_decreasing_and_then_evened_out() -> None:
    # FFD with a cap of 10: [6, 4], [5, 3], [3]. Three rows for one rank: longest first to the emptiest row gives
    # 6 | 5 | 4, then 3 to the 4 (7) and 3 to the 5 (8).
    batch = pack_lengths([3, 4, 5, 3, 6], num_ranks=1, row_tokens=10)
    assert row_lengths(batch) == [[8, 7, 6]]


def test_rows_that_cannot_be_evened_out_under_the_cap_stay_first_fit_decreasing() -> None:
    # FFD with a cap of 12: [6, 6], [4, 4, 4]. Emptiest first gives 6 | 6, then 4 | 4 on top, and the third 4 makes 14.
    batch = pack_lengths([6, 6, 4, 4, 4], num_ranks=1, row_tokens=12)
    assert row_lengths(batch) == [[12, 12]]
    assert [members(row) for row in batch.rows[0]] == [[0, 1], [2, 3, 4]]


def test_another_row_is_opened_rather_than_a_dummy_where_there_are_samples_for_it() -> None:
    # Three rows of 10 would do, but two ranks share four as evenly: 10 and 10, then 5 and 5.
    batch = pack_lengths([5] * 6, num_ranks=2, row_tokens=10)
    assert row_lengths(batch) == [[10, 5], [10, 5]]
    assert packing_efficiency(batch) == 1.0


def test_efficiency_is_the_share_of_slots_that_are_samples() -> None:
    # One row of 6, one dummy: 6 tokens, and 2 ranks spend as long as 6 tokens take: 6 / 12.
    assert packing_efficiency(pack_lengths([6], num_ranks=2, row_tokens=10)) == 0.5


def test_the_same_samples_give_the_same_batch() -> None:
    lengths = [5, 9, 5, 7, 5, 9, 4, 4]
    first, second = (pack_lengths(lengths, num_ranks=2, row_tokens=20) for _ in range(2))
    for ours, theirs in zip(first.rows, second.rows, strict=True):
        for row, other in zip(ours, theirs, strict=True):
            assert row.token_ids.tolist() == other.token_ids.tolist()


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        pack([], num_ranks=1, row_tokens=10, pad_token_id=0, policy_version=0)


def test_a_sample_longer_than_a_row_is_refused_with_its_group_and_both_lengths() -> None:
    with pytest.raises(ValueError, match=r"1/item/0 has 11 tokens, and a row holds 10"):
        pack_lengths([11], num_ranks=1, row_tokens=10)


def test_a_sample_without_a_response_is_refused() -> None:
    with pytest.raises(ValueError, match="0 response tokens"):
        pack_lengths([2], num_ranks=1, row_tokens=10)


def test_a_sample_with_missing_logprobs_is_refused() -> None:
    sample = TrainSample(
        group_id="1/item/0",
        prompt_token_ids=(1,),
        response_token_ids=(2, 3),
        sampling_logprobs=(-1.0,),
        advantage=1.0,
        policy_version=0,
    )
    with pytest.raises(ValueError, match="2 response tokens but 1 log-probabilities"):
        pack([sample], num_ranks=1, row_tokens=10, pad_token_id=0, policy_version=0)
