"""What a model is given of one packed row. Knows torch and the schema's segments; must not know models or losses."""

from typing import NamedTuple

from torch import Tensor

from contracts.batches import Segment


class RowInputs(NamedTuple):
    """T tokens, of which N are asked for."""

    token_ids: Tensor  # [1, T]
    position_ids: Tensor  # [1, T] in the sequence
    positions: Tensor  # [N] in the row, of the tokens that are asked for
    sources: Tensor  # [N] in the row, of the token before each in its sequence: what predicts it
    segments: tuple[Segment, ...]  # that fill the row
