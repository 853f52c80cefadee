"""Group-relative advantages: how much better a response did than its siblings.

Pure Python. An unscored response (None) leaves the baseline and gets no advantage; it is never read as a reward of 0.
"""

from collections.abc import Sequence
from statistics import fmean, pstdev


def group_relative(
    rewards: Sequence[float | None], *, scale_by_std: bool = False, eps: float = 1e-6
) -> list[float | None]:
    """A_i = r_i - mean(r), over std(r) + eps if asked; mean and (population) std over the scored ones.

    None stays None. Equal rewards, and a lone scored one, give 0 up to rounding: see `has_signal`.
    """
    scored = [reward for reward in rewards if reward is not None]
    if not scored:
        return [None] * len(rewards)
    mean = fmean(scored)
    scale = pstdev(scored) + eps if scale_by_std else 1.0
    return [None if reward is None else (reward - mean) / scale for reward in rewards]


def has_signal(rewards: Sequence[float | None], *, min_spread: float) -> bool:
    """Whether a group can teach: two or more scored rewards, spread by at least `min_spread` (not 0)."""
    scored = [reward for reward in rewards if reward is not None]
    if len(scored) < 2:
        return False
    spread = max(scored) - min(scored)
    return spread > 0 and spread >= min_spread
