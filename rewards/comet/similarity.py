"""Compare a reasoning with the pivot's, and an answer in words with the pivot's answer, by COMET."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.comet.alignment import TextPair, align
from rewards.comet.pairs import PairScorer, weighted_means
from rewards.reasoning.similarity import ReasoningPair
from rewards.texts.chunks import split_sentences


class CometSimilarity:
    """Compute the mean COMET of two reasonings over aligned segments, weighted by their length.

    COMET was trained on sentences and reads about 500 tokens. So both texts are cut into sentences, sentences that say
    the same are found by their length and their numbers, and each aligned segment is scored.

    A segment without a counterpart counts with its own length and earns what an unrelated text earns. So a step that
    the reasoning leaves out costs, and so does padding.
    """

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    @property
    def fingerprint(self) -> str:
        """Return the scorer's fingerprint and the version of this way to compare."""
        return f"{self._scorer.fingerprint}/segments-1"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the raw values [N] in order, on the metric's own scale; NaN where the reference is empty."""
        values = np.full(len(pairs), np.nan)
        segments = [(index, segment) for index, pair in enumerate(pairs) for segment in _segments(pair)]
        if not segments:
            return values
        scores = self._scorer.score([segment for _, segment in segments])
        owners = np.array([index for index, _ in segments])
        means = weighted_means(scores, np.array([segment.size for _, segment in segments]), owners)
        values[: len(means)] = means
        return values


class CometAnswers:
    """Compare answers in words, which no exact rule can compare.

    Compare numbers and option letters exactly: COMET hardly sees them (Amrhein and Sennrich 2022, arXiv 2202.05148).
    """

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    @property
    def fingerprint(self) -> str:
        """Return the scorer's fingerprint."""
        return self._scorer.fingerprint

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """Return the raw scores [N] of the responses' answers against the pivot's, in order.

        `english` [N] are the pivot's answers, `native` [N] the responses', in `languages` [N] (ISO 639-1). A score is
        NaN where both answers are empty.

        Raises:
            ValueError: the three sequences differ in length.
        """
        answers = zip(english, native, languages, strict=True)
        return self._scorer.score(
            [TextPair(english=left.strip(), native=right.strip(), language=code) for left, right, code in answers]
        )


def _segments(pair: ReasoningPair) -> list[TextPair]:
    if not pair.reference.strip():
        return []
    return align(split_sentences(pair.reference), split_sentences(pair.reasoning), language=pair.language)
