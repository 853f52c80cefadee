"""What a judge of reasonings is asked and what it answers.

Owns the Protocol that every way to compare a reasoning with the pivot's keeps: embeddings, translation, COMET,
likelihood. A new one is one small class. Must not know how raw values become rewards: that is rewards/calibration.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningPair:
    """A response's reasoning and the pivot's, of one problem, with what else is known of the response."""

    language: str  # of the response; the pivot's is English
    reasoning: str
    reference: str
    question: str = ""  # in the response's language
    translation: str = ""  # of the reasoning into English, where the driver's engine made one
    answer_probability: float = math.nan  # of the pivot's answer after the reasoning, where the driver asked for it


class ReasoningSimilarity(Protocol):
    """Anything that says how close the two reasonings of a pair are, in its own unit."""

    @property
    def fingerprint(self) -> str:
        """Changes with all that its values depend on: models, prefixes, chunk sizes. A calibration is tied to it."""
        ...

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] raw values in order, higher is closer; NaN where it can't say. All pairs of a batch at once."""
        ...
