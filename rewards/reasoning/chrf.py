"""How much of the reference's wording a text shares, as a reasoning judge for two texts in one language.

Owns chrF between two English texts. Loads no model, so it serves where no encoder fits. It knows wording only: a
changed number costs little, and a right step in other words costs much.
"""

import math
from collections.abc import Sequence

import numpy as np
import sacrebleu
from numpy.typing import NDArray
from sacrebleu.metrics.chrf import CHRF

from rewards.reasoning.similarity import ReasoningPair


class ChrfComparer:
    """Sentence-level chrF (Popović 2015): F-score of character 1- to 6-grams, recall counted twice, by sacrebleu."""

    def __init__(self) -> None:
        self._metric = CHRF()

    @property
    def fingerprint(self) -> str:
        metric = self._metric
        return f"chrf{metric.char_order}-beta{metric.beta}-sacrebleu-{sacrebleu.__version__}"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] chrF in [0, 1] of each reasoning against its reference; NaN where the reference is empty."""
        return np.array([self._value(pair) for pair in pairs], dtype=np.float64)

    def _value(self, pair: ReasoningPair) -> float:
        if not pair.reference.strip():
            return math.nan
        return self._metric.sentence_score(pair.reasoning, [pair.reference]).score / 100
