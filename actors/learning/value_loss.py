"""Compute the critic's loss over response tokens, and its metrics. Tensors in, tensors out."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from actors.learning.totals import Totals
from contracts.metrics.learning import CRITIC_TOKENS

_MOMENTS = ("return_square", "error", "error_square")
"""Sums that are not metrics themselves. Added up over all ranks, they give the explained variance."""


class ValueTotals(Totals):
    """Hold the totals of the critic's loss."""

    __slots__ = ()

    METRICS = CRITIC_TOKENS
    MOMENTS = _MOMENTS

    def per_token(self, num_loss_tokens: int) -> Mapping[str, float]:
        """Return the metrics by name; `critic/explained_variance` = 1 - Var(R - v) / Var(R) if the returns differ."""
        means = dict(super().per_token(num_loss_tokens))
        moments = [means.pop(name, math.nan) for name in _MOMENTS]
        explained = _explained_variance(means.get("critic/return_mean", math.nan), *moments)
        return means if explained is None else means | {"critic/explained_variance": explained}


def value_loss(
    values: Tensor, *, old_values: Tensor, returns: Tensor, weights: Tensor, value_clip: float
) -> tuple[Tensor, ValueTotals]:
    """Return the sum over tokens of  weight · max((v - R)², (clip(v, v_old - ε, v_old + ε) - R)²) / 2,  and the totals.

    All tensors are [N]; only `values` carries a gradient. The larger of the two errors counts. So a value that has
    moved further than ε = `value_clip` towards its return gets no gradient, and one that has moved away from it does.
    This is the value clipping of OpenAI Baselines' ppo2, studied by Engstrom et al. 2020, arXiv 2005.12729. With
    `value_clip` 0 the loss is the plain squared error. Without tokens the loss is 0 and still has a gradient graph.
    """
    errors = (values - returns).square() / 2
    losses, measured = errors, {}
    if value_clip > 0:
        near = values.clamp(old_values - value_clip, old_values + value_clip)
        near_errors = (near - returns).square() / 2
        losses = torch.maximum(errors, near_errors)
        measured["critic/clip_fraction"] = near_errors > errors
    weighted = losses * weights

    with torch.no_grad():
        error = returns.double() - values.double()
        measured |= {
            "critic/loss": weighted,
            "critic/value_mean": values,
            "critic/return_mean": returns,
            "critic/error_max": error.abs(),
            "return_square": returns.double().square(),
            "error": error,
            "error_square": error.square(),
        }
    return weighted.sum(), ValueTotals.of(measured, device=values.device)


def _explained_variance(
    return_mean: float, return_square: float, error_mean: float, error_square: float
) -> float | None:
    """Return the explained variance, or None if all returns are equal (up to rounding) or nothing was measured."""
    variance = return_square - return_mean**2
    if not variance > 1e-9 * return_square:
        return None
    return 1 - (error_square - error_mean**2) / variance
