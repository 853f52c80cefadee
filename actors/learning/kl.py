"""How far a policy is from another one, token by token, from log-probabilities of drawn tokens alone.

Owns the three estimators and their one safety bound. Tensors in, a tensor out; must not know who asks: the loss charges
the distance to a reference, the metrics watch the distances to the old policy and to the engine.
"""

from typing import Literal

import torch
from torch import Tensor

KlEstimator = Literal["k1", "k2", "k3"]

LARGEST_LOG_RATIO = 20.0
"""k3 takes log(reference / policy) as at most this: e^20 is 5e8, and from e^89 on fp32 is infinite."""


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor, kind: KlEstimator) -> Tensor:
    """KL(policy || reference) at each token [N], estimated from a token that the policy drew.

    With x = log(reference / policy) of the token (Schulman 2020, "Approximating KL divergence",
    http://joschu.net/blog/kl-approx.html):

        k1 = -x                 unbiased, of either sign
        k2 = x² / 2             biased, never negative
        k3 = exp(x) - 1 - x     unbiased, never negative (but for rounding)

    As a loss, over tokens that the policy itself drew, the expected gradients are other ones than the values suggest:
    k1's is 0, k2's is that of KL(policy || reference), k3's that of KL(reference || policy): d k3 / d logp is
    1 - exp(x), and exp(x) turns the mean over the policy's tokens into the one over the reference's. Near the reference
    k2's and k3's agree to first order (Liu et al. 2025, arXiv 2510.01555).

    k1 and k2 are exact at any distance. k3 takes x as at most LARGEST_LOG_RATIO, and has no gradient beyond that.
    """
    log_ratio = reference_logprobs - logprobs
    match kind:
        case "k1":
            return -log_ratio
        case "k2":
            return log_ratio.square() / 2
        case "k3":
            bounded = log_ratio.clamp(max=LARGEST_LOG_RATIO)
            # expm1 keeps the digits that exp(x) - 1 loses where x is small.
            return torch.expm1(bounded) - bounded
