"""The gap between the engine that drew the tokens and the learner that scores them: measured, and corrected for.

Owns the weights and the mismatch metrics. Both sides run the same weights with other kernels, so the ratio
u = exp(logp_old - logp_engine) would be 1 in exact arithmetic. Tensors [N] in and out, none with a gradient; must not
know the loss that the weights go into.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from actors.learning.kl import kl_estimate
from actors.learning.sequences import sequence_means

Correction = Literal["truncate", "sequence_mask", "off"]


def importance_weights(
    old_logprobs: Tensor, sampling_logprobs: Tensor, *, sequences: Tensor, kind: Correction, floor: float, cap: float
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The weight of each token's surrogate loss [N], and what the bounds did.

    truncate: min(u, cap), token by token (Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy
    RL Training", https://fengyao.notion.site/off-policy-rl).
    sequence_mask: 0 for all tokens of a sequence whose geometric mean of u is outside [floor, cap], 1 for those of the
    others (Liu, Li et al. 2025, "When Speed Kills Stability", https://richardli.xyz/rl-collapse). The sequence stays in
    the loss's denominator, which was fixed before anybody knew u: masking shrinks the step, it does not enlarge the
    others' share.
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
        case "off":
            return torch.ones_like(gap), {}


def mismatch(old_logprobs: Tensor, sampling_logprobs: Tensor) -> Mapping[str, Tensor]:
    """Per token [N], by metric name; `policy/mismatch_kl` estimates KL(engine || learner) by k3."""
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
