"""Make the inputs of a model for a row of whole sequences end to end."""

from collections.abc import Sequence
from itertools import accumulate

import torch

from actors.learning.rows import RowInputs
from contracts.batches import Segment


def whole_sequences(parts: Sequence[torch.Tensor], *, asked: Sequence[Sequence[int]]) -> RowInputs:
    """Return a row of these sequences; `asked` are the indices of the tokens to evaluate in each, never the first."""
    starts = accumulate((len(part) for part in parts), initial=0)
    positions = torch.tensor(
        [start + token for start, tokens in zip(starts, asked, strict=False) for token in tokens], dtype=torch.int64
    )
    token_ids = torch.cat(list(parts))
    return RowInputs(
        token_ids=token_ids[None],
        position_ids=torch.cat([torch.arange(len(part)) for part in parts])[None],
        sources=positions - 1,
        targets=token_ids[positions],
        segments=tuple(Segment(len(part)) for part in parts),
    )
