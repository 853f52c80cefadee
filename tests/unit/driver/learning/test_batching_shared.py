"""Test batches whose samples share prompts: what a row holds, and what is counted."""

from dataclasses import replace

import numpy as np
import pytest

from contracts.batches import Segment, TrainSample
from driver.learning.batching import budget_efficiency, packing_efficiency, shared_fraction
from tests.unit.driver.learning.test_batching import (
    all_rows,
    make_sample,
    members,
    pack_samples,
    pad_samples,
    row_lengths,
    share,
)


def siblings(*response_tokens: int, first: int = 0) -> list[TrainSample]:
    """Return samples with the prompt of the first of them."""
    made = [make_sample(first + index, num_response=num) for index, num in enumerate(response_tokens)]
    return [replace(sample, prompt_token_ids=made[0].prompt_token_ids) for sample in made]


def test_a_shared_prompt_lies_in_a_row_once_and_responses_go_on_from_its_end() -> None:
    samples = [replace(sample, old_logprobs=sample.sampling_logprobs) for sample in siblings(3, 2)]
    alone = replace(make_sample(2, num_prompt=1, num_response=1), old_logprobs=(-0.5,))
    (row,) = all_rows(share([samples[0], alone, samples[1]]))
    # The prompt with most to compute comes first, its longest response first of all.
    assert row.token_ids.tolist() == [0, 1, 2, 3, 4, 102, 103, 200, 201]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 4, 2, 3, 0, 1]
    assert row.segments == (Segment(5), Segment(2, prompt_start=0, prompt_length=2), Segment(2))
    assert row.loss_mask.tolist() == [False, False, True, True, True, True, True, False, True]
    assert row.sequence_ids.tolist() == [0, 0, 0, 0, 0, 2, 2, 1, 1]
    assert row.sampling_logprobs.tolist() == row.old_logprobs.tolist() == [0, 0, -0.5, -1, -1.5, -0.5, -1, 0, -0.5]
    assert row.loss_weights.tolist() == pytest.approx([0, 0, *[1 / 6] * 5, 0, 1 / 6])
    assert row.token_ids.dtype == row.position_ids.dtype == row.sequence_ids.dtype == np.int64
    assert row.num_sequence_tokens == 5 + 4 + 2


def test_without_sharing_every_sequence_is_a_segment_with_its_own_prompt() -> None:
    (row,) = all_rows(pack_samples(siblings(3, 2)))
    assert row.segments == (Segment(5), Segment(4))
    assert row.num_sequence_tokens == row.token_ids.size == 9
    (padded, _) = all_rows(pad_samples(siblings(3, 2), row_tokens=8))
    assert (padded.segments, padded.num_sequence_tokens) == ((Segment(5), Segment(3)), 5)


def test_efficiencies_count_what_is_computed_and_the_shared_fraction_what_is_not() -> None:
    # Prompts of 2: 2 + 3 + 3 + 2 = 10 and 2 + 2 + 2 = 6 tokens instead of 14 and 8.
    samples = [*siblings(3, 3, 2), *siblings(2, 2, first=10)]
    batch = share(samples, num_ranks=2, row_tokens=10)
    # Moving a response of 2 from the 10 to the 6 would bring its prompt along: 8 beside 10.
    assert row_lengths(batch) == [[10], [6]]
    assert (packing_efficiency(batch), budget_efficiency(batch, row_tokens=10)) == (0.8, 0.8)
    assert shared_fraction(batch) == pytest.approx(1 - 16 / 22)
    assert shared_fraction(pack_samples(samples)) == 0
    assert (batch.num_loss_tokens, batch.num_sequences) == (12, 5)
    assert batch.group_ids == tuple(sample.group_id for sample in samples)


def test_a_prompt_that_lies_in_two_rows_is_in_each_before_its_responses() -> None:
    batch = share(siblings(3, 3, 3, 3), num_ranks=2)
    assert row_lengths(batch) == [[8], [8]]
    for row in all_rows(batch):
        assert row.token_ids[:2].tolist() == [0, 1]
        assert row.segments == (Segment(5), Segment(3, prompt_start=0, prompt_length=2))
    assert sorted(index for row in all_rows(batch) for index in members(row)) == [0, 1, 2, 3]


def test_shared_rows_have_dummies_and_repeat_too() -> None:
    first, second = (share(siblings(4), num_ranks=3) for _ in range(2))
    assert row_lengths(first) == [[6], [1], [1]]
    assert [row.segments for row in all_rows(first)] == [(Segment(6),), (Segment(1),), (Segment(1),)]
    samples = [*siblings(3, 5, 4), *siblings(7, 2, first=10), *siblings(1, first=20)]
    first, second = (share(samples, num_ranks=2, row_tokens=16) for _ in range(2))
    assert [row.token_ids.tolist() for row in all_rows(first)] == [row.token_ids.tolist() for row in all_rows(second)]
    assert [row.segments for row in all_rows(first)] == [row.segments for row in all_rows(second)]


def test_a_row_with_tokens_in_no_segment_is_refused() -> None:
    (row,) = all_rows(pack_samples([make_sample(0)]))
    with pytest.raises(ValueError):
        replace(row, segments=(Segment(4),))


def test_the_second_shared_prompt_of_a_row_starts_where_the_first_ones_samples_end() -> None:
    (row,) = all_rows(share([*siblings(4, 3), *siblings(2, 1, first=10)]))
    assert row.segments == (
        Segment(6),
        Segment(3, prompt_start=0, prompt_length=2),
        Segment(4),
        Segment(1, prompt_start=9, prompt_length=2),
    )
    assert row.token_ids[9:11].tolist() == [1000, 1001]
