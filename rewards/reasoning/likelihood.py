"""How likely the pivot's answer is after the policy's own reasoning, as a reasoning judge.

Owns no model: the policy's engine is asked by the driver (driver/rollouts/engine_features.py), and the pair carries
what it said. The idea is RLPR's (arXiv 2506.18254): the mean probability of the reference answer's tokens, so it
lies in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.reasoning.similarity import ReasoningPair


class LikelihoodSimilarity:
    """Passes on what the policy's engine said. Needs no encoder."""

    @property
    def fingerprint(self) -> str:
        """The policy is not part of it: it changes with every step."""
        return "likelihood"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] mean probability of the pivot's answer after each reasoning; NaN where the engine was not asked.

        Raises:
            ValueError: something that is no probability.
        """
        values = np.array([pair.answer_probability for pair in pairs], dtype=np.float64)
        if (wrong := values[(values < 0) | (values > 1)]).size:
            raise ValueError(f"an answer probability is {wrong[0]:g}; it must be in [0, 1], or NaN where it is unknown")
        return values
