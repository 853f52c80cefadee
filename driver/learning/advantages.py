"""Advantages: how much better a response, or a token of it, did than was to be expected.

Pure maths over rewards and measures; knows no model, no sample and no config. Two kinds of baseline:

- a response's siblings (`group_relative`, `leave_one_out`): one advantage a response; an unscored one (None) leaves the
  baseline and gets none, and is never read as a reward of 0;
- the batch (`reinforce_plus_plus`) or a critic (`gae`): one advantage a token.

A distance to the reference model may be charged in the reward, token by token: `kl_penalties`. A number that is not
finite spoils only its own response, or group, so that the learner can name it.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LARGEST_LOG_RATIO = 20.0
"""k3 takes log(reference / policy) as at most this, as the learner does in its loss."""

KlEstimator = Literal["k1", "k2", "k3"]
Floats = NDArray[np.float64]


def group_relative(
    rewards: Sequence[float | None], *, scale_by_std: bool = False, eps: float = 1e-6
) -> list[float | None]:
    """A_i = r_i - mean(r), over std(r) + eps if asked; mean and (population) std over the scored ones.

    With the std it is GRPO's (Shao et al. 2024, arXiv 2402.03300), without it Dr. GRPO's (Liu et al. 2025, 2503.20783).
    None stays None. Equal rewards, and a lone scored one, give 0 up to rounding: see `has_signal`. A reward that is not
    finite makes the whole group's advantages NaN.
    """
    scored = [reward for reward in rewards if reward is not None]
    if not scored:
        return [None] * len(rewards)
    if not all(map(math.isfinite, scored)):
        return [None if reward is None else math.nan for reward in rewards]
    mean = fmean(scored)
    scale = pstdev(scored) + eps if scale_by_std else 1.0
    return [None if reward is None else (reward - mean) / scale for reward in rewards]


def leave_one_out(rewards: Sequence[float | None]) -> list[float | None]:
    """A_i = r_i - mean of the other scored ones (RLOO: Ahmadian et al. 2024, arXiv 2402.14740).

    It is n / (n - 1) times the deviation from the mean of all n. None stays None; a lone scored one gets 0.
    """
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2:
        return [None if reward is None else 0.0 for reward in rewards]
    total, others = sum(scored), len(scored) - 1
    return [None if reward is None else reward - (total - reward) / others for reward in rewards]


def has_signal(rewards: Sequence[float | None], *, min_spread: float) -> bool:
    """Whether a group can teach by comparison: two or more scored rewards, spread by at least `min_spread` (not 0)."""
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2:
        return False
    spread = max(scored) - min(scored)
    return spread > 0 and spread >= min_spread


def kl_penalties(
    logprobs: NDArray[np.floating], reference_logprobs: NDArray[np.floating], *, estimator: KlEstimator, beta: float
) -> Floats:
    """[T] -beta kl_t, what each token of a response costs by its distance from the reference model.

    With d = logp - logp_ref of the drawn token:  k1 = d,  k2 = d^2 / 2,  k3 = exp(-d) - 1 + d  (Schulman 2020,
    "Approximating KL divergence"). A token that the policy has made less likely has k1 < 0: its penalty is a gain.
    """
    gap = logprobs.astype(np.float64) - reference_logprobs.astype(np.float64)
    match estimator:
        case "k1":
            kl = gap
        case "k2":
            kl = gap**2 / 2
        case "k3":
            log_ratio = np.minimum(-gap, LARGEST_LOG_RATIO)
            kl = np.expm1(log_ratio) - log_ratio
    return -beta * kl


def reinforce_plus_plus(rewards: Sequence[float], penalties: Sequence[Floats]) -> list[Floats]:
    """[N][T_i] REINFORCE++ (Hu et al. 2025, arXiv 2501.03262): what is still to come, normalised over the whole batch.

    A_t = R + sum over i >= t of penalty_i, then less the mean and over the std of all tokens of the batch. R is the
    response's reward and `penalties` its token costs, zeros where none is charged. Equal rewards everywhere give 0.
    """
    to_come = [reward + np.cumsum(of_tokens[::-1])[::-1] for reward, of_tokens in zip(rewards, penalties, strict=True)]
    return whitened(to_come)


def gae(reward: float, penalties: Floats, values: Floats, *, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """([T] advantages, [T] returns) of one response: generalised advantages (Schulman et al. 2016, arXiv 1506.02438).

    r_t = penalty_t, and the last token's also has the reward R of the whole response;
    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1};  returns = A + V.

    The value after the last token is 0, for truncated responses too: R was given to the text as it stands, and nothing
    comes after it.
    """
    num_tokens = len(values)
    advantages = np.zeros(num_tokens)
    following_value, following = 0.0, 0.0
    for token in reversed(range(num_tokens)):
        token_reward = penalties[token] + (reward if token == num_tokens - 1 else 0.0)
        delta = token_reward + gamma * following_value - values[token]
        following = delta + gamma * lam * following
        advantages[token], following_value = following, values[token]
    return advantages, advantages + values


def whitened(advantages: Sequence[Floats], *, eps: float = 1e-8) -> list[Floats]:
    """(A - mean) / (std + eps), mean and (population) std over all tokens of the batch that are finite."""
    tokens = np.concatenate(advantages) if advantages else np.zeros(0)
    finite = tokens[np.isfinite(tokens)]
    if not finite.size:
        return list(advantages)
    mean, scale = finite.mean(), finite.std() + eps
    return [(of_tokens - mean) / scale for of_tokens in advantages]
