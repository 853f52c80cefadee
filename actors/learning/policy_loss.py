"""Compute the policy's loss over the response tokens of one packed row, and the metrics of that loss.

Tensors in, tensors out: no model, no ranks. The loss is a weighted sum. The weights hold the aggregation and the one
normaliser of the batch, so nothing here divides by a count, and losses add up over rows and ranks. From top to bottom:
the settings and inputs, the loss, the surrogates (PPO, GSPO, CISPO), the importance weights, the KL estimators.
docs/learning.md has the formulas with their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self

import torch
from torch import Tensor

from actors.learning.totals import TokenTotals
from contracts.config.learning import AlgorithmConfig, Importance, LossName, PolicyGradientConfig

KlLoss = Literal["k2", "k3"]
"""Estimators whose expected gradient, as a loss, is that of a KL divergence. That of k1 is 0."""

LARGEST_LOG_RATIO = 20.0
"""Upper bound of log(reference / policy) in k3. e^20 is 5e8; from e^89 on fp32 is infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSettings:
    """Hold the settings of the loss. Names and meanings are those of the config's section [algorithm]."""

    loss: LossName | Literal["nll"]
    clip_low: float = 0.0
    clip_high: float = 0.0
    dual_clip: float = 0.0  # 0: off
    importance: Importance = "off"
    importance_cap: float = 1.0
    importance_floor: float = 1.0
    kl_estimator: KlLoss = "k3"
    kl_coefficient: float = 0.0  # 0: no KL in the loss
    entropy_coefficient: float = 0.0  # 0: no entropy bonus

    @classmethod
    def of(cls, algorithm: AlgorithmConfig) -> Self:
        """Return the settings of a config.

        SFT imitates a given text: it has no probability ratio, no engine to correct for and no reference model.
        """
        if not isinstance(algorithm, PolicyGradientConfig):
            return cls(loss="nll", entropy_coefficient=algorithm.entropy_coefficient)
        clip_low, clip_high = algorithm.clip
        floor, cap = algorithm.importance_bounds
        return cls(
            loss=algorithm.loss,
            clip_low=clip_low,
            clip_high=clip_high,
            dual_clip=0.0 if algorithm.dual_clip == "off" else algorithm.dual_clip,
            importance=algorithm.importance,
            importance_cap=cap,
            importance_floor=floor,
            kl_estimator="k2" if algorithm.estimator == "k2" else "k3",
            kl_coefficient=algorithm.kl_coefficient if algorithm.kl == "loss" else 0.0,
            entropy_coefficient=algorithm.entropy_coefficient,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenValues:
    """Hold one value per response token of a row, [N] each, fp32 unless said. All tokens of a sequence are in one row.

    Raises:
        ValueError: a field has another shape than `logprobs`.
    """

    logprobs: Tensor  # [N] of the learner, now; carries the gradient
    entropy: Tensor  # [N] of the distribution that the token was drawn from; carries a gradient if a bonus is asked for
    old_logprobs: Tensor  # [N] of the learner, with the weights at the start of the batch
    sampling_logprobs: Tensor  # [N] of the engine, when it drew the token
    reference_logprobs: Tensor  # [N], or [0] without a reference model
    advantages: Tensor  # [N]
    weights: Tensor  # [N] of the token's loss in the loss of the batch; 0 for a token that is left out
    sequences: Tensor  # [N] int64: id of the token's sequence

    def __post_init__(self) -> None:
        for field in fields(self):
            shape = getattr(self, field.name).shape
            if shape != self.logprobs.shape and (field.name != "reference_logprobs" or shape.numel() > 0):
                raise ValueError(f"{field.name} {tuple(shape)} don't go with logprobs {tuple(self.logprobs.shape)}")

    @property
    def has_reference(self) -> bool:
        """Return whether the row has log-probabilities of a reference model."""
        return self.reference_logprobs.shape == self.logprobs.shape


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """Hold the loss of one row."""

    loss: Tensor  # [] has a gradient graph even if the row has no response token
    token_losses: Tensor  # [N] before weighting, detached: non-finite values show which sequences caused them
    totals: TokenTotals


def policy_loss(tokens: TokenValues, settings: LossSettings) -> PolicyLoss:
    """Return the sum over tokens of  weight · (w · surrogate + kl_coefficient · KL - entropy_coefficient · entropy).

    The loss is [], the token losses are [N]. w is the importance weight; it multiplies the surrogate only. The totals
    cover all tokens, also those of weight 0.

    Raises:
        ValueError: the settings ask for a KL, and the row has no reference log-probabilities.
    """
    if settings.loss == "nll":
        # Imitation needs neither an advantage nor the engine's log-probability.
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
    """Return w · surrogate of each token [N], and the metrics [N] of the ratio, the bounds and the engine."""
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
    """Return the ratio [N] and the loss [N] of each token, and which tokens [N] a bound clipped, by metric name."""
    low, high, advantages = settings.clip_low, settings.clip_high, tokens.advantages
    ratio = (tokens.logprobs - tokens.old_logprobs).exp()
    match settings.loss:
        case "ppo_clip":
            return ratio, *ppo_clip(ratio, advantages, clip_low=low, clip_high=high, dual_clip=settings.dual_clip)
        case "gspo":
            ratio = sequence_ratio(tokens.logprobs, tokens.old_logprobs, sequences=tokens.sequences)
            return ratio, *ppo_clip(ratio, advantages, clip_low=low, clip_high=high, dual_clip=settings.dual_clip)
        case "cispo":
            return ratio, *cispo(tokens.logprobs, advantages, ratio=ratio, clip_low=low, clip_high=high)
        case "nll":
            raise ValueError("a negative log-likelihood has no surrogate")


def _with_kl(losses: Tensor, tokens: TokenValues, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """Return the losses [N] with the KL added, and the KL's share of the weighted loss [N]."""
    if not tokens.has_reference:
        raise ValueError("the loss asks for a KL, but the row has no reference_logprobs; measure the batch first")
    kl_losses = settings.kl_coefficient * kl_estimate(tokens.logprobs, tokens.reference_logprobs, settings.kl_estimator)
    return losses + kl_losses, (kl_losses * tokens.weights).detach()


# --- surrogates -------------------------------------------------------------------------------------------------------


def ppo_clip(
    ratio: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float, dual_clip: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return -min(r · A, clip(r, 1 - clip_low, 1 + clip_high) · A) [N], and the tokens whose gradient a bound stopped.

    `ratio` r and `advantages` A are [N]. Schulman et al. 2017, arXiv 1707.06347, equation 7; two different bounds
    ("clip-higher"): DAPO, arXiv 2503.14476. With `dual_clip` c > 0 the loss of a token with A < 0 is at most c · |A|
    (Ye et al. 2020, arXiv 1912.09729); with c = 0 it has no upper bound.
    """
    gain, clipped_gain = ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    losses = -torch.minimum(gain, clipped_gain)
    is_low = (clipped_gain < gain) & (advantages < 0)
    is_high = (clipped_gain < gain) & (advantages > 0)
    stopped = {"policy/clip_fraction_low": is_low, "policy/clip_fraction_high": is_high}
    if dual_clip > 0:
        most = dual_clip * advantages.abs()
        is_dual = losses.detach() > most  # only possible for A < 0: for other tokens no loss is positive
        losses = torch.where(is_dual, most, losses)
        stopped["policy/dual_clip_fraction"] = is_dual
    stopped["policy/clip_fraction"] = torch.stack(list(stopped.values())).any(dim=0)
    return losses, stopped


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, *, sequences: Tensor) -> Tensor:
    """Return GSPO's ratio s at each token [N]: exp of the mean of logp - logp_old over the token's sequence.

    All arguments are [N]. Zheng et al. 2025, arXiv 2507.18071, in the form that the paper calls GSPO-token: the value
    is that of the sequence, the gradient s · d logp is that of the token, so that advantages may differ within a
    sequence. If all tokens of a sequence have one advantage and one weight, value and gradient of the summed loss are
    those of GSPO itself.
    """
    ratio = sequence_means(logprobs.detach() - old_logprobs, sequences).exp()
    return ratio * (logprobs - logprobs.detach()).exp()


def cispo(
    logprobs: Tensor, advantages: Tensor, *, ratio: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return -sg(clip(r, 1 - clip_low, 1 + clip_high)) · A · logp [N], and the tokens whose ratio was clipped.

    All tensors are [N]. MiniMax-M1, arXiv 2506.13585: the clipped ratio is a weight without gradient (sg, stop
    gradient), so no token loses its gradient.
    """
    ratio = ratio.detach()
    is_low, is_high = ratio < 1 - clip_low, ratio > 1 + clip_high
    losses = -ratio.clamp(1 - clip_low, 1 + clip_high) * advantages * logprobs
    return losses, {
        "policy/clip_fraction": is_low | is_high,
        "policy/clip_fraction_low": is_low,
        "policy/clip_fraction_high": is_high,
    }


# --- importance weights -----------------------------------------------------------------------------------------------


def importance_weights(
    old_logprobs: Tensor, sampling_logprobs: Tensor, *, sequences: Tensor, kind: Importance, floor: float, cap: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return the weight of each token's surrogate [N], without gradient, and which tokens [N] a bound changed.

    All tensors are [N]. Engine and learner run the same weights with different kernels, so the ratio
    u = exp(logp_old - logp_engine) would be 1 in exact arithmetic. The weight is, by `kind`:

    truncate: min(u, cap), token by token (Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy
    RL Training", https://fengyao.notion.site/off-policy-rl).
    sequence_mask: 0 for all tokens of a sequence whose geometric mean of u is outside [floor, cap], 1 for all others
    (Liu, Li et al. 2025, "When Speed Kills Stability", https://richardli.xyz/rl-collapse). The sequence stays in the
    denominator of the loss, which was fixed before u was known: masking makes the step smaller and does not raise the
    share of the others.
    sequence_ratio: the product of u over the token's sequence, and 0 if it is outside [floor, cap] (the masked
    importance sampling of the same source).
    off: 1.
    """
    gap = (old_logprobs - sampling_logprobs).detach()
    match kind:
        case "truncate":
            ratio = gap.exp()
            return ratio.clamp(max=cap), {"policy/importance_capped_fraction": ratio > cap}
        case "sequence_mask":
            mean = sequence_means(gap, sequences).exp()
            is_inside = (mean >= floor) & (mean <= cap)
            return is_inside.to(gap.dtype), {"policy/importance_masked_fraction": ~is_inside}
        case "sequence_ratio":
            product = sequence_sums(gap, sequences).exp()
            is_inside = (product >= floor) & (product <= cap)
            return product.where(is_inside, 0.0), {"policy/importance_masked_fraction": ~is_inside}
        case "off":
            return torch.ones_like(gap), {}


def mismatch(old_logprobs: Tensor, sampling_logprobs: Tensor) -> Mapping[str, Tensor]:
    """Return the gap between learner and engine at each token [N], by metric name.

    Both arguments are [N]. `policy/mismatch_kl` is the k3 estimate of KL(engine || learner).
    """
    with torch.no_grad():
        gap = old_logprobs - sampling_logprobs
        size, ratio = gap.abs(), gap.exp()
        return {
            "policy/logprob_diff_mean": size,
            "policy/logprob_diff_max": size,
            "policy/mismatch_kl": kl_estimate(sampling_logprobs, old_logprobs, "k3"),
            "policy/importance_ratio_mean": ratio,
            "policy/importance_ratio_max": ratio,
        }


def sequence_means(values: Tensor, sequences: Tensor) -> Tensor:
    """Return for each token [N] the mean of `values` [N] over the tokens of its sequence (`sequences` int64 [N]).

    The sum is taken in fp64, so that the result depends neither on the length nor on the order of the tokens. It
    carries no gradient.
    """
    sums, num_tokens = _sums(values, sequences)
    return (sums / num_tokens).to(values.dtype)


def sequence_sums(values: Tensor, sequences: Tensor) -> Tensor:
    """Return for each token [N] the sum of `values` [N] over the tokens of its sequence, as `sequence_means` does."""
    return _sums(values, sequences)[0].to(values.dtype)


def _sums(values: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum, fp64, and the number of tokens of each token's sequence, [N] each."""
    with torch.no_grad():
        _, indices, num_tokens = sequences.unique(return_inverse=True, return_counts=True)
        sums = torch.zeros(num_tokens.shape, dtype=torch.float64, device=values.device)
        sums = sums.index_add(0, indices, values.double())
        return sums[indices], num_tokens[indices]


# --- KL ---------------------------------------------------------------------------------------------------------------


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, kind: KlLoss) -> Tensor:
    """Return an estimate of KL(policy || reference) at each token [N], from a token that the policy drew.

    Both arguments are [N]. With x = log(reference / policy) of the token (Schulman 2020, "Approximating KL divergence",
    http://joschu.net/blog/kl-approx.html):

        k2 = x² / 2             biased, never negative
        k3 = exp(x) - 1 - x     unbiased, never negative (except for rounding)

    Used as a loss over tokens that the policy itself drew, the expected gradient of k2 is the gradient of
    KL(policy || reference), that of k3 the gradient of KL(reference || policy): d k3 / d logp is 1 - exp(x), and exp(x)
    turns the mean over the policy's tokens into the mean over the reference's tokens. Near the reference, k2 and k3
    have the same gradient to first order (Liu et al. 2025, arXiv 2510.01555). The expected gradient of k1 = -x is 0, so
    it is no loss.

    k2 is exact at any distance. k3 takes x as at most LARGEST_LOG_RATIO and has no gradient beyond that.
    """
    log_ratio = reference_logprobs - logprobs
    if kind == "k2":
        return log_ratio.square() / 2
    bounded = log_ratio.clamp(max=LARGEST_LOG_RATIO)
    # expm1 keeps the digits that exp(x) - 1 loses for a small x.
    return torch.expm1(bounded) - bounded
