"""Compare reasonings without loading a model: by shared wording (chrF) or by the probability of the pivot's answer."""

import math
from collections.abc import Sequence

import numpy as np
import sacrebleu
from numpy.typing import NDArray
from sacrebleu.metrics.chrf import CHRF

from rewards.reasoning.similarity import ReasoningPair


class ChrfSimilarity:
    """Compute sentence-level chrF of two texts in one language, with sacrebleu.

    chrF (Popović 2015) is the F-score of character 1- to 6-grams in which recall counts twice. It needs no encoder, but
    it compares wording only: a changed number costs little, and a right step in other words costs much.
    """

    def __init__(self) -> None:
        self._metric = CHRF()

    @property
    def fingerprint(self) -> str:
        """Return the orders of chrF and the version of sacrebleu."""
        metric = self._metric
        return f"chrf{metric.char_order}-beta{metric.beta}-sacrebleu-{sacrebleu.__version__}"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return chrF [N] in [0, 1] of each reasoning against its reference; NaN where the reference is empty."""
        return np.array([self._value(pair) for pair in pairs], dtype=np.float64)

    def _value(self, pair: ReasoningPair) -> float:
        if not pair.reference.strip():
            return math.nan
        return self._metric.sentence_score(pair.reasoning, [pair.reference]).score / 100


class LikelihoodSimilarity:
    """Return how likely the policy finds the pivot's answer after its own reasoning.

    The idea is RLPR's (arXiv 2506.18254): the mean probability of the reference answer's tokens. The driver asks the
    policy's engine for it, and each pair carries the result.
    """

    @property
    def fingerprint(self) -> str:
        """Return a fixed name: the policy changes with every step, so it is not part of the fingerprint."""
        return "likelihood"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the mean probabilities [N] of the pivot's answer; NaN where the engine was not asked.

        Raises:
            ValueError: a value is neither in [0, 1] nor NaN.
        """
        values = np.array([pair.answer_probability for pair in pairs], dtype=np.float64)
        if (wrong := values[(values < 0) | (values > 1)]).size:
            raise ValueError(f"an answer probability is {wrong[0]:g}; it must be in [0, 1], or NaN where it is unknown")
        return values
