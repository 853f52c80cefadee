"""COMET as the judge of final answers that nothing exact can compare.

Owns one thing: raw scores of the pivot's answers and the responses'. Must not know how they become [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.comet.alignment import TextPair
from rewards.comet.pairs import PairScorer


class CometAnswers:
    """For answers in words. Numbers and option letters are no question for COMET, which hardly sees them (Amrhein and
    Sennrich 2022, arXiv 2202.05148): compare those exactly."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    @property
    def fingerprint(self) -> str:
        return self._scorer.fingerprint

    def judge(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """[N] raw scores of the responses' answers `native` against the pivot's `english`, in order; NaN where both are
        empty. The three have one length."""
        facts = zip(english, native, languages, strict=True)
        return self._scorer.score(
            [TextPair(english=left.strip(), native=right.strip(), language=code) for left, right, code in facts]
        )
