"""Rows of a batch on their way through a model: the policy's loss of each, the critic's, and what they add up to.

Owns which of a row's arrays goes where, and which sequences turned out not finite. The formulas are loss.py's and
value_loss.py's; must not know ranks, optimisers or ZeRO-3: a model is whatever maps a row's tokens to tensors.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from actors.learning.loss import LossSettings, TokenTotals, TokenValues, policy_loss
from actors.learning.row_inputs import RowInputs
from actors.learning.row_tensors import RowTensors
from actors.learning.value_loss import ValueTotals, value_loss
from contracts.batches import PackedRow

PolicyForward = Callable[[RowInputs], tuple[Tensor, Tensor]]
ValueForward = Callable[[RowInputs], Tensor]


class PolicyLosses:
    """The policy's loss of one row after another, with the totals so far."""

    def __init__(self, forward: PolicyForward, settings: LossSettings, device: torch.device) -> None:
        self._forward, self._settings, self._device = forward, settings, device
        self.totals = TokenTotals.nothing(device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.not_finite: list[Tensor] = []  # sequence ids, of each row

    def __call__(self, row: PackedRow) -> Tensor:
        """Without old log-probabilities, those of now count: one optimiser step a batch."""
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
    """The critic's loss of one row after another, with the totals so far."""

    def __init__(self, forward: ValueForward, value_clip: float, device: torch.device) -> None:
        self._forward, self._value_clip, self._device = forward, value_clip, device
        self.totals = ValueTotals.nothing(device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.not_finite: list[Tensor] = []  # sequence ids, of each row

    def __call__(self, row: PackedRow) -> Tensor:
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
