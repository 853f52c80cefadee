"""What a token's probability is worth to the policy: PPO's clipped ratio, GSPO's, CISPO's.

Owns the formulas between ratio and advantage, and what their bounds did. Tensors [N] in, a loss per token [N] out; must
not know weights, KL, the engine that drew the tokens, or how losses are added up.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from actors.learning.sequences import sequence_means


def ppo_clip(
    ratio: Tensor, advantages: Tensor, *, clip_low: float, clip_high: float, dual_clip: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """-min(r·A, clip(r, 1 - clip_low, 1 + clip_high)·A), and where a bound stopped the gradient.

    Schulman et al. 2017, arXiv 1707.06347; two bounds ("clip-higher"): DAPO, arXiv 2503.14476. With `dual_clip` c > 0
    the loss of a token with A < 0 is at most c·|A| (Ye et al. 2020, arXiv 1912.09729); c = 0 leaves it without bound.
    """
    gain, clipped_gain = ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    losses = -torch.minimum(gain, clipped_gain)
    is_low = (clipped_gain < gain) & (advantages < 0)
    is_high = (clipped_gain < gain) & (advantages > 0)
    stopped = {"policy/clip_fraction_low": is_low, "policy/clip_fraction_high": is_high}
    if dual_clip > 0:
        most = dual_clip * advantages.abs()
        is_dual = losses.detach() > most  # only where A < 0: elsewhere no loss is positive
        losses = torch.where(is_dual, most, losses)
        stopped["policy/dual_clip_fraction"] = is_dual
    stopped["policy/clip_fraction"] = torch.stack(list(stopped.values())).any(dim=0)
    return losses, stopped


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, *, sequences: Tensor) -> Tensor:
    """GSPO's ratio s at each token [N]: exp of its sequence's mean of logp - logp_old.

    Zheng et al. 2025, arXiv 2507.18071, in the form that the paper calls GSPO-token: the value is the sequence's, the
    gradient s · d logp is the token's own, so that advantages may differ within a sequence. Where they don't, and the
    tokens of a sequence weigh the same, value and gradient of the summed loss are those of GSPO itself.
    """
    ratio = sequence_means(logprobs.detach() - old_logprobs, sequences).exp()
    return ratio * (logprobs - logprobs.detach()).exp()


def cispo(
    logprobs: Tensor, advantages: Tensor, *, ratio: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """-sg(clip(r, 1 - clip_low, 1 + clip_high))·A·logp, and whose ratio was clipped.

    MiniMax-M1, arXiv 2506.13585: the clipped ratio is a weight without gradient (sg), so no token loses its gradient.
    """
    ratio = ratio.detach()
    is_low, is_high = ratio < 1 - clip_low, ratio > 1 + clip_high
    losses = -ratio.clamp(1 - clip_low, 1 + clip_high) * advantages * logprobs
    return losses, {
        "policy/clip_fraction": is_low | is_high,
        "policy/clip_fraction_low": is_low,
        "policy/clip_fraction_high": is_high,
    }
