"""From a reading to the pair that a judge of reasonings sees.

Owns what of a response is judged, alike for rewards, calibration and the audit. Knows text only.
"""

from dataclasses import replace

from rewards.reading import Reading
from rewards.reasoning.similarity import ReasoningPair
from rewards.texts.markup import plain

VERSION = "plain-1"
"""Part of what a calibration is tied to: to be raised when a pair's texts are made in another way."""


def reasoning_pair(reading: Reading) -> ReasoningPair:
    """Both reasonings and the question, without markup."""
    return ReasoningPair(
        language=reading.task.language,
        reasoning=plain(reading.reasoning),
        reference=plain(reading.task.reference_reasoning),
        question=plain(reading.task.question),
        translation=plain(reading.translation),
        answer_probability=reading.answer_probability,
    )


def question_pair(pair: ReasoningPair) -> ReasoningPair:
    """The question in place of the reasoning: what repeating the topic earns."""
    return replace(pair, reasoning=pair.question, translation="")
