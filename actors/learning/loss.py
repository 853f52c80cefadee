"""The policy's loss over the response tokens of one row, and what is measured on the way.

Owns how surrogate, importance weight, KL and entropy make up the loss of a token, and which metrics go with it.
Tensors in, tensors out: no model, no ranks. The loss is a weighted sum: the weights carry the aggregation and the
batch's one normaliser, nothing here divides by a count, so losses add up over rows and ranks. docs/learning.md has the
formulas with their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

import torch
from torch import Tensor

from actors.learning.importance import Correction, importance_weights, mismatch
from actors.learning.kl import KlEstimator, kl_estimate
from actors.learning.surrogate import cispo, ppo_clip, sequence_ratio
from actors.learning.totals import TokenTotals
from contracts.config.learning import CLIPS, AlgorithmConfig

__all__ = ["LossSettings", "PolicyLoss", "TokenTotals", "TokenValues", "policy_loss"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSettings:
    """What the loss is made of; names and meanings are those of the config's [algorithm]."""

    loss: Literal["ppo_clip", "gspo", "cispo", "nll"]
    clip_low: float
    clip_high: float
    dual_clip: float  # 0: off
    importance: Correction
    importance_cap: float
    importance_floor: float
    kl_estimator: KlEstimator
    kl_coefficient: float  # 0: no KL in the loss
    entropy_coefficient: float  # 0: no bonus

    @classmethod
    def of(cls, algorithm: AlgorithmConfig) -> Self:
        """As the config says. SFT imitates: no ratio, no engine to correct for, no reference model."""
        is_sft = algorithm.name == "sft"
        clip_low, clip_high = CLIPS["nll"] if is_sft else algorithm.clip
        return cls(
            loss="nll" if is_sft else algorithm.loss,
            clip_low=clip_low,
            clip_high=clip_high,
            dual_clip=algorithm.dual_clip,
            importance="off" if is_sft else algorithm.importance,
            importance_cap=algorithm.importance_cap,
            importance_floor=algorithm.importance_floor,
            kl_estimator=algorithm.kl_estimator,
            kl_coefficient=algorithm.kl_coefficient if algorithm.kl == "loss" else 0.0,
            entropy_coefficient=algorithm.entropy_coefficient,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenValues:
    """One value per response token of a row [N], fp32 unless said. The tokens of a sequence are all here."""

    logprobs: Tensor  # learner, now; carries the gradient
    entropy: Tensor  # of the distribution that the token was drawn from; carries one where a bonus is asked for
    old_logprobs: Tensor  # learner, at the weights that the batch started from
    sampling_logprobs: Tensor  # engine, when it drew the token
    reference_logprobs: Tensor  # [N], or [0] without a reference model
    advantages: Tensor
    weights: Tensor  # of the token's loss in the batch's; 0 for what is left out
    sequences: Tensor  # int64: which sequence

    def __post_init__(self) -> None:
        for field in fields(self):
            shape = getattr(self, field.name).shape
            if shape != self.logprobs.shape and (field.name != "reference_logprobs" or shape.numel() > 0):
                raise ValueError(f"{field.name} {tuple(shape)} don't go with logprobs {tuple(self.logprobs.shape)}")

    @property
    def has_reference(self) -> bool:
        return self.reference_logprobs.shape == self.logprobs.shape


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """Of one row."""

    loss: Tensor  # scalar, with a gradient graph also where there is no token
    token_losses: Tensor  # [N] before weighting, detached: those that are not finite say which sequences are at fault
    totals: TokenTotals


def policy_loss(tokens: TokenValues, settings: LossSettings) -> PolicyLoss:
    """Sum over tokens of  weight · (w·surrogate + kl_coefficient·KL - entropy_coefficient·entropy).

    w, the importance weight, corrects the surrogate alone. `totals` cover all tokens, also those of weight 0.
    """
    if settings.loss == "nll":
        # Imitation asks neither for an advantage nor for who drew the token.
        losses, measured = -tokens.logprobs, {}
    else:
        losses, measured = _corrected_surrogate(tokens, settings)
    if settings.kl_coefficient > 0:
        losses, measured["policy/kl_loss"] = _with_kl(losses, tokens, settings)
    if settings.entropy_coefficient > 0:
        losses = losses - settings.entropy_coefficient * tokens.entropy
    weighted = losses * tokens.weights

    with torch.no_grad():
        measured |= {"policy/loss": weighted, "policy/entropy": tokens.entropy}
        if tokens.has_reference:
            measured["policy/reference_kl"] = kl_estimate(tokens.logprobs, tokens.reference_logprobs, "k3")
        totals = TokenTotals.of(measured, device=losses.device)
    return PolicyLoss(weighted.sum(), losses.detach(), totals)


def _corrected_surrogate(tokens: TokenValues, settings: LossSettings) -> tuple[Tensor, dict[str, Tensor]]:
    """w · surrogate at each token [N], and what ratio, bounds and engine have to say."""
    ratio, losses, clipped = _surrogate(tokens, settings)
    weights, corrected = importance_weights(
        tokens.old_logprobs,
        tokens.sampling_logprobs,
        sequences=tokens.sequences,
        kind=settings.importance,
        floor=settings.importance_floor,
        cap=settings.importance_cap,
    )
    with torch.no_grad():
        moved = {
            "policy/ratio_mean": ratio,
            "policy/ratio_max": ratio,
            "policy/approx_kl": kl_estimate(tokens.old_logprobs, tokens.logprobs, "k3"),
        }
    gap = mismatch(tokens.old_logprobs, tokens.sampling_logprobs)
    return weights * losses, {**moved, **clipped, **corrected, **gap}


def _surrogate(tokens: TokenValues, settings: LossSettings) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
    """Ratio and loss of each token [N], and what the bounds did."""
    low, high = settings.clip_low, settings.clip_high
    if settings.loss == "gspo":
        ratio = sequence_ratio(tokens.logprobs, tokens.old_logprobs, sequences=tokens.sequences)
    else:
        ratio = (tokens.logprobs - tokens.old_logprobs).exp()
    if settings.loss == "cispo":
        return ratio, *cispo(tokens.logprobs, tokens.advantages, ratio=ratio, clip_low=low, clip_high=high)
    return ratio, *ppo_clip(ratio, tokens.advantages, clip_low=low, clip_high=high, dual_clip=settings.dual_clip)


def _with_kl(losses: Tensor, tokens: TokenValues, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """The losses with the KL's added [N], and the KL's share of the weighted loss [N]."""
    if not tokens.has_reference:
        raise ValueError("the loss asks for a KL, but the row has no reference_logprobs; measure the batch first")
    kl_losses = settings.kl_coefficient * kl_estimate(tokens.logprobs, tokens.reference_logprobs, settings.kl_estimator)
    return losses + kl_losses, (kl_losses * tokens.weights).detach()
