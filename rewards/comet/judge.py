"""COMET of a reasoning and the pivot's, segment by segment.

Owns how segments' scores become one value. COMET was trained on sentences and reads about 500 tokens: both texts are
cut into sentences, sentences that stand for each other are found by their length and their numbers
(rewards/comet/alignment.py), and each aligned segment is judged. Must not know the metric, nor how values become
rewards.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.comet.alignment import TextPair, align
from rewards.comet.pairs import PairScorer, weighted_means
from rewards.reasoning.similarity import ReasoningPair
from rewards.texts.chunks import split_sentences


class CometSimilarity:
    """Mean COMET over aligned segments, weighted by their length.

    A segment without a counterpart, in the reference (a step left out) or in the reasoning (padding), counts with its
    own length and earns what an unrelated text earns: both cost.
    """

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    @property
    def fingerprint(self) -> str:
        return f"{self._scorer.fingerprint}/segments-1"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] raw values in order, on the metric's own scale; NaN where the reference is empty."""
        values = np.full(len(pairs), np.nan)
        segments = [(place, segment) for place, pair in enumerate(pairs) for segment in _segments(pair)]
        if not segments:
            return values
        scores = self._scorer.score([segment for _, segment in segments])
        owners = np.array([place for place, _ in segments])
        means = weighted_means(scores, np.array([segment.size for _, segment in segments]), owners)
        values[: len(means)] = means
        return values


def _segments(pair: ReasoningPair) -> list[TextPair]:
    if not pair.reference.strip():
        return []
    return align(split_sentences(pair.reference), split_sentences(pair.reasoning), language=pair.language)
