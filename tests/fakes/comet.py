"""Stand in for a translator and a COMET metric, by rules that a test can work out by hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.comet.feeding import CometInput, QualityFeeding
from rewards.comet.pairs import PairScorer

ENGLISH = ["Roger has 5 balls.", "He buys 2 cans of 3 balls each, which is 6 more.", "So he has 5 + 6 = 11 balls."]
GERMAN = ["Roger hat 5 Bälle.", "Er kauft 2 Dosen mit je 3 Bällen, das sind 6 mehr.", "Er hat also 5 + 6 = 11 Bälle."]


class Dictionary:
    """Translate by a mark on the text, and count the translations."""

    fingerprint = "dictionary"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        self.asked += texts
        return [f"{target}({text})" for text in texts]


class SharedNumbers:
    """Score 1 if both sides have the same numbers, else 0; each side has at most `limit` words."""

    fingerprint = "shared"
    needs_reference = False

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.scored: list[CometInput] = []

    def fits(self, inputs: Sequence[CometInput]) -> list[bool]:
        return [max(len(one.source.split()), len(one.translation.split())) <= self.limit for one in inputs]

    def score(self, inputs: Sequence[CometInput]) -> NDArray[np.float64]:
        assert all(self.fits(inputs))
        self.scored += inputs
        return np.array([float(numbers(one.source) == numbers(one.translation)) for one in inputs])


def numbers(text: str) -> list[str]:
    return sorted(word.strip(".") for word in text.split() if word.strip(".").isdigit())


def a_pair_scorer(metric: SharedNumbers) -> PairScorer:
    return PairScorer(metric, QualityFeeding())
