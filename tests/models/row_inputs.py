"""Rows as a model is given them, of whole sequences end to end: what the packing of samples comes down to."""

from collections.abc import Sequence
from itertools import accumulate

import torch

from actors.learning.rows import RowInputs
from contracts.batches import Segment


def whole_sequences(parts: Sequence[torch.Tensor], *, asked: Sequence[Sequence[int]]) -> RowInputs:
    """`asked`: of each sequence, the tokens in it that are asked for; not its first."""
    starts = accumulate((len(part) for part in parts), initial=0)
    positions = torch.tensor(
        [start + token for start, tokens in zip(starts, asked, strict=False) for token in tokens], dtype=torch.int64
    )
    return RowInputs(
        token_ids=torch.cat(list(parts))[None],
        position_ids=torch.cat([torch.arange(len(part)) for part in parts])[None],
        positions=positions,
        sources=positions - 1,
        segments=tuple(Segment(len(part)) for part in parts),
    )
