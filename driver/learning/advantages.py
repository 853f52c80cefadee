"""Compute advantages: how much better a response, or a token of it, is than expected.

Pure maths over rewards and measures. There are two kinds of baseline:

- the other responses of the group (`group_relative`, `leave_one_out`): one advantage a response. An unscored response
  (None) is not in the baseline and gets no advantage; it never counts as a reward of 0.
- the batch (`reinforce_plus_plus`) or a critic (`gae`): one advantage a token.

The distance to the reference model may be charged in the reward, token by token (`kl_penalties`). A number that is not
finite affects only its own response or group, so that the learner can name it.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
StdKind = Literal["population", "sample"]


def group_relative(
    rewards: Sequence[float | None], *, std: StdKind | None = None, eps: float = 1e-6
) -> list[float | None]:
    """Return A_i = r_i - mean(r) [G], divided by std(r) + eps if `std` names a standard deviation.

    `rewards` is [G]. Mean and standard deviation are over the n scored responses; None stays None. The deviation has n
    in its denominator ("population") or n - 1 ("sample"; a single response has 0). With the division it is GRPO's
    advantage (Shao et al. 2024, arXiv 2402.03300, section 4.1.2), without it Dr. GRPO's (Liu et
    al. 2025, arXiv 2503.20783). Equal rewards, and a single scored one, give 0 up to rounding: see `has_signal`. A
    reward that is not finite makes all advantages of the group NaN.
    """
    scored = [reward for reward in rewards if reward is not None]
    if not scored:
        return [None] * len(rewards)
    if not all(map(math.isfinite, scored)):
        return [None if reward is None else math.nan for reward in rewards]
    mean = fmean(scored)
    match std:
        case "population":
            scale = pstdev(scored) + eps
        case "sample":
            scale = (stdev(scored) if len(scored) > 1 else 0.0) + eps
        case None:
            scale = 1.0
    return [None if reward is None else (reward - mean) / scale for reward in rewards]


def leave_one_out(rewards: Sequence[float | None]) -> list[float | None]:
    """Return A_i = r_i - mean of the other scored rewards [G] (RLOO: Ahmadian et al. 2024, arXiv 2402.14740).

    `rewards` is [G]. The result is n / (n - 1) times the deviation from the mean of all n scored rewards. None stays
    None; a single scored response gets 0.
    """
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2:
        return [None if reward is None else 0.0 for reward in rewards]
    total, others = sum(scored), len(scored) - 1
    return [None if reward is None else reward - (total - reward) / others for reward in rewards]


def has_signal(rewards: Sequence[float | None], *, min_spread: float) -> bool:
    """Return whether the rewards [G] of a group differ enough to learn from: by at least `min_spread`, and not by 0."""
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2:
        return False
    spread = max(scored) - min(scored)
    return spread > 0 and spread >= min_spread


def kl_penalties(logprobs: NDArray[np.floating], reference_logprobs: NDArray[np.floating], *, beta: float) -> Floats:
    """Return -beta k1_t [T], the penalty of each token of a response for its distance from the reference model.

    `logprobs` and `reference_logprobs` are [T]. k1 = logp - logp_ref of the drawn token (Schulman 2020, "Approximating
    KL divergence", http://joschu.net/blog/kl-approx.html). A token that is less likely than under the reference has
    k1 < 0: its penalty is a gain. Of the usual estimators only k1 has, as a reward, the gradient of the KL; k2 and k3
    punish that token too, which makes it less likely still.
    """
    return -beta * (logprobs.astype(np.float64) - reference_logprobs.astype(np.float64))


def distillation(
    logprobs: NDArray[np.floating], teacher_logprobs: NDArray[np.floating], *, clip: float | None
) -> Floats:
    """Return A_t = log q_t - log p_t [T], cut to [-clip, clip]: how much more the teacher expects a drawn token.

    `logprobs` (p, the policy's) and `teacher_logprobs` (q) are [T], of the tokens that the policy drew. With such
    advantages the policy gradient is that of the reverse KL divergence, token by token: the mean of A_t over tokens
    that p draws is -KL(p || q), and d/dw KL = -E[A_t d/dw log p_t], as the mean of d/dw log p_t is 0 (Agarwal et
    al. 2024, arXiv 2306.13649, section 3.1, with the drawn token in place of the whole distribution).
    """
    difference = teacher_logprobs.astype(np.float64) - logprobs.astype(np.float64)
    return difference if clip is None else np.clip(difference, -clip, clip)


def reinforce_plus_plus(rewards: Sequence[float], penalties: Sequence[Floats]) -> list[Floats]:
    """Return the advantages [N][T_i] of REINFORCE++ (Hu et al. 2025, arXiv 2501.03262).

    A_t = R + sum over i >= t of penalty_i, then minus the mean and divided by the standard deviation of all tokens of
    the batch. `rewards` [N] holds R of each response, `penalties` [N][T_i] its token penalties (zeros if there are
    none). Equal rewards everywhere give 0.
    """
    to_come = [reward + np.cumsum(of_tokens[::-1])[::-1] for reward, of_tokens in zip(rewards, penalties, strict=True)]
    return whitened(to_come)


def gae(reward: float, penalties: Floats, values: Floats, *, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """Return the advantages [T] and returns [T] of one response by generalised advantage estimation (GAE).

    Schulman et al. 2016, arXiv 1506.02438, equation 16. `penalties` and `values` are [T].

    r_t = penalty_t, and for the last token also the reward R of the whole response;
    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1};  returns = A + V.

    The value after the last token is 0, for truncated responses too: R is the reward of the text as it is, and nothing
    follows it.
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
    """Return (A - mean) / (std + eps) [N][T_i]; mean and (population) std are over all finite tokens of the batch."""
    tokens = np.concatenate(advantages) if advantages else np.zeros(0)
    finite = tokens[np.isfinite(tokens)]
    if not finite.size:
        return list(advantages)
    mean, scale = finite.mean(), finite.std() + eps
    return [(of_tokens - mean) / scale for of_tokens in advantages]
