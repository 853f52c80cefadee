"""Define how a reasoning is compared with the pivot's: the pair of texts and the Protocol of every comparison.

Embeddings, translation, COMET, chrF and likelihood implement `ReasoningSimilarity`; another way to compare is one small
class. Raw values become rewards in the calibration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rewards.reading import Reading
from rewards.texts.markup import plain

VERSION = "plain-1"
"""Part of the fingerprint that a calibration is tied to. Raise it when the texts of a pair are made in another way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningPair:
    """Hold a response's reasoning and the pivot's to the same problem, with what else is known of the response."""

    language: str  # of the response, ISO 639-1; the pivot's reasoning is English
    reasoning: str
    reference: str
    question: str = ""  # in the response's language
    translation: str = ""  # of the reasoning into English, where an engine of the run made one
    answer_probability: float = math.nan  # of the pivot's answer after the reasoning, where the policy was asked


class ReasoningSimilarity(Protocol):
    """Measure how close the two reasonings of a pair are, in a unit of its own."""

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with all that the values depend on: models, prefixes, chunk sizes.

        A calibration is tied to it.
        """
        ...

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the raw values [N] of N pairs, in order; higher is closer, NaN where no value can be given.

        A caller passes all pairs of a batch at once.
        """
        ...


def reasoning_pair(reading: Reading, *, with_thinking: bool = False) -> ReasoningPair:
    """Return the pair that is compared for a response: both reasonings and the question, without markup.

    Rewards, calibration and the reward audit all use this function, so they compare the same texts. `with_thinking`
    puts the thinking before the response's reasoning.
    """
    return ReasoningPair(
        language=reading.task.language,
        reasoning=plain(reading.compared_reasoning(with_thinking=with_thinking)),
        reference=plain(reading.task.reference_reasoning),
        question=plain(reading.task.question),
        translation=plain(reading.translation),
        answer_probability=reading.answer_probability,
    )


def question_pair(pair: ReasoningPair) -> ReasoningPair:
    """Return the pair with the question in place of the reasoning: its value is what repeating the topic earns."""
    return replace(pair, reasoning=pair.question, translation="")
