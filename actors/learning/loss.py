"""The policy loss over response tokens, and what is measured on the way.

Owns the formula and its metrics. Tensors in, tensors out: no model, no ranks, no config object. Losses and metrics are
sums (and maxima) over tokens, so they add up over micro-batches and ranks; whoever holds the totals divides once, by
the number of loss tokens of the whole batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

SUMS = (
    "policy/loss",
    "policy/entropy",
    "policy/clip_fraction",
    "policy/logprob_diff_mean",
    "policy/mismatch_kl",
    "policy/importance_ratio_mean",
    "policy/importance_capped_fraction",
)
MAXIMA = ("policy/logprob_diff_max", "policy/importance_ratio_max")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clipping:
    """Bounds of the policy loss."""

    clip_low: float
    clip_high: float
    importance_cap: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenValues:
    """One value per response token [N], all fp32; only `logprobs` carries a gradient."""

    logprobs: Tensor  # learner, now
    old_logprobs: Tensor  # learner, at the weights that the step started from
    sampling_logprobs: Tensor  # engine, when it drew the token
    advantages: Tensor
    entropy: Tensor


@dataclass(frozen=True, slots=True)
class TokenTotals:
    """Metrics over some tokens: `sums` in the order of SUMS, `maxima` in that of MAXIMA, both fp64."""

    sums: Tensor
    maxima: Tensor

    @classmethod
    def nothing(cls, device: torch.device) -> "TokenTotals":
        """Of no token: neutral for `merged`. No measured maximum is negative."""
        return cls(
            torch.zeros(len(SUMS), dtype=torch.float64, device=device),
            torch.zeros(len(MAXIMA), dtype=torch.float64, device=device),
        )

    def merged(self, other: "TokenTotals") -> "TokenTotals":
        return TokenTotals(self.sums + other.sums, torch.maximum(self.maxima, other.maxima))

    def per_token(self, num_loss_tokens: int) -> Mapping[str, float]:
        """The metrics by name: sums become means over the batch's loss tokens."""
        means = (self.sums / num_loss_tokens).tolist()
        return dict(zip((*SUMS, *MAXIMA), (*means, *self.maxima.tolist()), strict=True))


def policy_loss(tokens: TokenValues, bounds: Clipping) -> tuple[Tensor, TokenTotals]:
    """Sum over tokens of  -w · min(r·A, clip(r, 1 - low, 1 + high)·A),  and the totals of the same tokens.

    r = exp(logp - logp_old): PPO's ratio (Schulman et al. 2017, arXiv 1707.06347), clipped further up than down
    ("clip-higher", DAPO, arXiv 2503.14476). On-policy, with one optimiser step a batch, r is 1 and only its gradient
    counts. w = min(exp(logp_old - logp_engine), cap), without gradient, corrects for the engine that drew the tokens
    and whose kernels differ from the learner's (truncated importance sampling, Yao et al. 2025). No tokens give a loss
    of 0 that still has a gradient graph.

    `policy/mismatch_kl` estimates KL(engine || learner) by k3, u - 1 - log u with u = exp(logp_old - logp_engine)
    (Schulman 2020, "Approximating KL divergence"): never negative, and of low variance where u is near 1.
    """
    ratio = (tokens.logprobs - tokens.old_logprobs).exp()
    clipped = ratio.clamp(1 - bounds.clip_low, 1 + bounds.clip_high)
    unclipped_gain, clipped_gain = ratio * tokens.advantages, clipped * tokens.advantages
    with torch.no_grad():
        engine_gap = tokens.old_logprobs - tokens.sampling_logprobs
        importance = engine_gap.exp()
        weight = importance.clamp(max=bounds.importance_cap)
    losses = -weight * torch.minimum(unclipped_gain, clipped_gain)
    loss = losses.sum()

    with torch.no_grad():
        per_token = torch.stack(
            [
                losses,
                tokens.entropy,
                (clipped_gain < unclipped_gain).float(),
                engine_gap.abs(),
                importance - 1 - engine_gap,
                importance,
                (importance > bounds.importance_cap).float(),
            ]
        ).double()
        totals = TokenTotals.nothing(losses.device)
        if losses.numel():
            peaks = torch.stack([engine_gap.abs().max(), importance.max()]).double()
            totals = TokenTotals(per_token.sum(dim=-1), peaks)
    return loss, totals
