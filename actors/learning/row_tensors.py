"""Packed rows on the device, and what a model measured at their response tokens on the way back to the host.

Owns the way from arrays per row position to tensors per response token, and back to arrays per sequence. Knows torch
and the schema; must not know models, losses or ranks.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.learning.row_inputs import RowInputs
from contracts.batches import PackedRow, TokenMeasures

Values = NDArray[np.float32]

NOTHING = np.zeros(0, dtype=np.float32)
"""Of a model that doesn't exist."""


class RowTensors:
    """One row on the device. N is its number of response tokens; a dummy row has none."""

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        self._device = device
        self._positions = row.loss_mask.nonzero()[0]
        self.inputs = RowInputs(
            token_ids=self._to(row.token_ids[None]),
            position_ids=self._to(row.position_ids[None]),
            positions=self._to(self._positions),
            sources=self._to(predecessors(row)[self._positions]),
            segments=row.segments,
        )
        self.sequences = self.of(row.sequence_ids)  # [N]

    def of(self, values: NDArray[np.float32] | NDArray[np.int64]) -> Tensor:
        """[N] the values [T] at response tokens; [0] where the batch doesn't have them."""
        return self._to(values[self._positions] if values.size else values)

    def _to(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def predecessors(row: PackedRow) -> NDArray[np.int64]:
    """[T] where in the row the token before each one of its sequence is; the first of a whole sequence has none (-1).

    That is the position before, but for the first token of a response that goes on from a shared prompt.
    """
    found = np.arange(row.token_ids.size, dtype=np.int64) - 1
    start = 0
    for segment in row.segments:
        found[start] = segment.prompt_start + segment.prompt_length - 1 if segment.prompt_length else -1
        start += segment.length
    return found


def measured(rows: Sequence[PackedRow], forward: Callable[[RowInputs], Tensor], device: torch.device) -> list[Values]:
    """[N] of each row: what `forward` says of its response tokens. Dummy rows are walked through like any other."""
    return [forward(RowTensors(row, device).inputs).float().cpu().numpy() for row in rows]


def by_sequence(
    row: PackedRow, *, logprobs: Values, reference: Values, values: Values
) -> list[tuple[int, TokenMeasures]]:
    """A row's measures [N] (or [0]) cut into its sequences, in their order in the row, each with its id."""
    sequences = row.sequence_ids[row.loss_mask]
    return [
        (
            int(sequence),
            TokenMeasures(
                logprobs=logprobs[sequences == sequence],
                reference_logprobs=reference[sequences == sequence] if reference.size else NOTHING,
                values=values[sequences == sequence] if values.size else NOTHING,
            ),
        )
        for sequence in dict.fromkeys(sequences.tolist())
    ]
