"""Bring packed rows to the device, run models on them, and turn results back into arrays per sequence.

From arrays per row position [T] to tensors per response token [N], and back. A model is any callable from a row's
inputs to tensors. Must not import DeepSpeed: everything here also runs on an unsharded model.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.learning.policy_loss import LossSettings, TokenValues, policy_loss
from actors.learning.totals import TokenTotals
from actors.learning.value_loss import ValueTotals, value_loss
from contracts.batches import PackedRow, Segment, TokenMeasures

Values = NDArray[np.float32]

NOTHING = np.zeros(0, dtype=np.float32)
"""The measures [0] of a model that does not exist."""


class RowInputs(NamedTuple):
    """Hold a model's inputs: a row of T tokens, of which N are to be evaluated."""

    token_ids: Tensor  # [1, T]
    position_ids: Tensor  # [1, T] position of each token in its sequence
    sources: Tensor  # [N] where in the row the token before each token to evaluate is: it predicts that token
    targets: Tensor  # [N] ids of the tokens to evaluate
    segments: tuple[Segment, ...]  # fill the row from end to end


PolicyForward = Callable[[RowInputs], tuple[Tensor, Tensor]]
"""Log-probabilities [N] and entropies [N] of a row's tokens."""
ValueForward = Callable[[RowInputs], Tensor]
"""Values [N] of a row's tokens."""


class RowTensors:
    """Hold one row on the device. N is its number of response tokens; a dummy row has N = 0."""

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        self._device = device
        self._positions = row.loss_mask.nonzero()[0]
        self.inputs = RowInputs(
            token_ids=self._to(row.token_ids[None]),
            position_ids=self._to(row.position_ids[None]),
            sources=self._to(predecessors(row)[self._positions]),
            targets=self._to(row.token_ids[self._positions]),
            segments=row.segments,
        )
        self.sequences = self.of(row.sequence_ids)  # [N]

    def of(self, values: NDArray[np.float32] | NDArray[np.int64]) -> Tensor:
        """Return the values [T] at the response tokens [N]; [0] if the batch does not have these values."""
        return self._to(values[self._positions] if values.size else values)

    def _to(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def predecessors(row: PackedRow) -> NDArray[np.int64]:
    """Return for each token [T] the row position of the token before it in its sequence; -1 for a sequence's first.

    That is the position before, except for the first token of a response that continues a shared prompt.
    """
    found = np.arange(row.token_ids.size, dtype=np.int64) - 1
    start = 0
    for segment in row.segments:
        found[start] = segment.prompt_start + segment.prompt_length - 1 if segment.prompt_length else -1
        start += segment.length
    return found


def measured(rows: Sequence[PackedRow], forward: Callable[[RowInputs], Tensor], device: torch.device) -> list[Values]:
    """Return the results of `forward` for the response tokens [N] of each row. Dummy rows are passed through it too."""
    return [forward(RowTensors(row, device).inputs).float().cpu().numpy() for row in rows]


def by_sequence(
    row: PackedRow, *, logprobs: Values, reference: Values, values: Values
) -> list[tuple[int, TokenMeasures]]:
    """Return a row's measures [N] (or [0]) cut into its sequences, in row order, each with its sequence id."""
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


class PolicyLosses:
    """Compute the policy's loss of one row after another, and keep the totals so far."""

    def __init__(self, forward: PolicyForward, settings: LossSettings, device: torch.device) -> None:
        self._forward, self._settings, self._device = forward, settings, device
        self.totals = TokenTotals.nothing(device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.not_finite: list[Tensor] = []  # of each row, the sequence ids of tokens whose loss is not finite

    def __call__(self, row: PackedRow) -> Tensor:
        """Return the row's loss [].

        A row without old log-probabilities takes the current ones: its batch has one optimiser step.
        """
        tensors = RowTensors(row, self._device)
        logprobs, entropy = self._forward(tensors.inputs)
        old_logprobs = tensors.of(row.old_logprobs) if row.old_logprobs.size else logprobs.detach()
        result = policy_loss(
            TokenValues(
                logprobs=logprobs,
                entropy=entropy,
                old_logprobs=old_logprobs,
                sampling_logprobs=tensors.of(row.sampling_logprobs),
                reference_logprobs=tensors.of(row.reference_logprobs),
                advantages=tensors.of(row.advantages),
                weights=tensors.of(row.loss_weights),
                sequences=tensors.sequences,
            ),
            self._settings,
        )
        self.totals = self.totals.merged(result.totals)
        self.loss += result.loss.detach()
        self.not_finite.append(tensors.sequences[~result.token_losses.isfinite()])
        return result.loss


class CriticLosses:
    """Compute the critic's loss of one row after another, and keep the totals so far."""

    def __init__(self, forward: ValueForward, value_clip: float, device: torch.device) -> None:
        self._forward, self._value_clip, self._device = forward, value_clip, device
        self.totals = ValueTotals.nothing(device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.not_finite: list[Tensor] = []  # of each row, the sequence ids of tokens whose loss is not finite

    def __call__(self, row: PackedRow) -> Tensor:
        """Return the row's loss []."""
        tensors = RowTensors(row, self._device)
        values = self._forward(tensors.inputs)
        returns = tensors.of(row.returns)
        loss, totals = value_loss(
            values,
            old_values=tensors.of(row.old_values),
            returns=returns,
            weights=tensors.of(row.loss_weights),
            value_clip=self._value_clip,
        )
        self.totals = self.totals.merged(totals)
        self.loss += loss.detach()
        self.not_finite.append(tensors.sequences[~(values.detach() - returns).square().isfinite()])
        return loss
