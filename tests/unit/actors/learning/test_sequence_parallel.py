"""Test how a row is cut into the slices of the ranks that split it. What they compute is an integration test."""

from typing import cast

import pytest
import torch
import torch.distributed as dist

from actors.learning.rows import RowInputs
from actors.learning.sequence_parallel import SequenceGroup
from contracts.batches import Segment

# Two sequences of 4 and 3 tokens; of the first the last two are asked for, of the second the last one.
ROW = RowInputs(
    token_ids=torch.tensor([[11, 12, 13, 14, 21, 22, 23]]),
    position_ids=torch.tensor([[0, 1, 2, 3, 0, 1, 2]]),
    sources=torch.tensor([1, 2, 5]),
    targets=torch.tensor([13, 14, 23]),
    segments=(Segment(4), Segment(3)),
)


def slices(row: RowInputs, size: int) -> list[tuple[RowInputs, torch.Tensor]]:
    nobody = cast(dist.ProcessGroup, None)  # cutting a row asks no other rank
    return [SequenceGroup(nobody, rank, size).slice_of(row) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_slices_are_as_long_as_each_other_and_make_the_row_with_padding(size: int) -> None:
    found = [part for part, _ in slices(ROW, size)]
    assert {part.token_ids.shape for part in found} == {(1, -(-7 // size))}
    padding = [0] * (-7 % size)
    assert torch.cat([part.token_ids for part in found], dim=1).tolist() == [[11, 12, 13, 14, 21, 22, 23, *padding]]
    assert torch.cat([part.position_ids for part in found], dim=1).tolist() == [[0, 1, 2, 3, 0, 1, 2, *padding]]
    for part in found:
        assert part.segments == (*ROW.segments, *([Segment(len(padding))] if padding else []))


def test_a_token_is_evaluated_by_the_rank_that_has_the_token_before_it() -> None:
    (first, of_first), (second, of_second) = slices(ROW, 2)  # of four tokens each
    assert (first.sources.tolist(), first.targets.tolist()) == ([1, 2], [13, 14])
    assert (second.sources.tolist(), second.targets.tolist()) == ([1], [23])
    assert of_first.tolist() == [True, True, False] and of_second.tolist() == [False, False, True]
    # In slices of two, 13 and 14 are evaluated where 12 and 13 are.
    assert [part.targets.tolist() for part, _ in slices(ROW, 4)] == [[13], [14], [23], []]


def test_a_row_without_responses_is_cut_too() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    dummy = RowInputs(
        token_ids=torch.tensor([[5]]),
        position_ids=torch.tensor([[0]]),
        sources=nothing,
        targets=nothing,
        segments=(Segment(1),),
    )
    parts = [part for part, _ in slices(dummy, 2)]
    assert [part.token_ids.tolist() for part in parts] == [[[5]], [[0]]]
    assert all(part.targets.numel() == 0 and part.segments == (Segment(1), Segment(1)) for part in parts)
