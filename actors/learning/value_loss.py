"""The critic's loss over response tokens, and what is measured on the way.

Owns the formula and its metrics. Tensors in, tensors out; must not know the model, the ranks or how returns were made.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from actors.learning.totals import Totals
from contracts.metrics.learning import CRITIC_TOKENS

_MOMENTS = ("return_square", "error", "error_square")
"""Sums that are no metrics of their own: they add up over ranks to the explained variance."""


class ValueTotals(Totals):
    """Hold the totals of the critic's loss."""

    __slots__ = ()

    METRICS = CRITIC_TOKENS
    MOMENTS = _MOMENTS

    def per_token(self, num_loss_tokens: int) -> Mapping[str, float]:
        """As of all totals, and `critic/explained_variance` = 1 - Var(R - v) / Var(R) where the returns differ."""
        means = dict(super().per_token(num_loss_tokens))
        moments = [means.pop(name, math.nan) for name in _MOMENTS]
        explained = _explained_variance(means.get("critic/return_mean", math.nan), *moments)
        return means if explained is None else means | {"critic/explained_variance": explained}


def value_loss(
    values: Tensor, *, old_values: Tensor, returns: Tensor, weights: Tensor, value_clip: float
) -> tuple[Tensor, ValueTotals]:
    """Sum over tokens of  weight · max((v - R)², (clip(v, v_old - ε, v_old + ε) - R)²) / 2,  and the totals.

    All are [N]; only `values` carries a gradient. The larger of the two errors counts, so a value that has moved
    further than ε = `value_clip` towards its return is left alone, and one that has moved away is not (the value
    clipping of OpenAI Baselines' ppo2; Engstrom et al. 2020, arXiv 2005.12729, study it). `value_clip` 0: plain squared
    error. No tokens give a loss of 0 that still has a gradient graph.
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
    """None where all returns are the same (up to rounding) or nothing was measured: there is nothing to explain."""
    variance = return_square - return_mean**2
    if not variance > 1e-9 * return_square:
        return None
    return 1 - (error_square - error_mean**2) / variance
