"""Define what a gate is, build all eight gates, and hold the short ones: language, truncation and empty reasoning."""

from collections.abc import Sequence
from typing import Protocol

from contracts.config.reward import ThinkingUse
from rewards.gates.copying import CopyingGate
from rewards.gates.form import FormatGate, LengthGate
from rewards.gates.identify import LanguageIdentifier
from rewards.gates.repetition import RepetitionGate
from rewards.reading import Reading
from rewards.texts.scripts import weigh

MIN_REASONING_LETTERS = 8
"""Least reasoning, in letters of English. The shortest of 3,000 built-in solutions and MGSM's exemplars has 15 to 25 in
each of 12 languages: one short equation in words is enough. A formula alone is not: it is in no language, so a policy
that writes nothing else has left the asked one."""
READ_CHARACTERS = 2_000
"""Characters of a reasoning that the gate "empty" reads. A longer text is not tiny, unless it has hardly any words."""


class Gate(Protocol):
    """Give one reason for which a response earns nothing, whatever its parts are."""

    @property
    def name(self) -> str:
        """Return the gate's name in config, scores and metrics."""
        ...

    def is_open(self, reading: Reading) -> bool:
        """Return False (shut) where the reward must be 0. The result depends on the reading alone."""
        ...


class LanguageGate:
    """Shut where a sentence of the reasoning, or the whole reasoning, is clearly in another language.

    Without this gate and `AnswerLanguageGate` a policy may collapse to English.
    """

    name = "language"

    def __init__(self, identifier: LanguageIdentifier, *, judges_thinking: bool = False) -> None:
        """Judge by `identifier`; with `judges_thinking` the thinking must be in the language too."""
        self._identifier = identifier
        self._judges_thinking = judges_thinking

    def is_open(self, reading: Reading) -> bool:
        """Return whether the reasoning is in the asked language.

        Formulas alone are in no language, and the gate is open for them; the gate "empty" decides whether they are a
        reasoning.
        """
        if self._judges_thinking and not self.is_thinking_in_language(reading):
            return False
        return self._identifier.is_in(reading.reasoning, reading.task.language)

    def is_thinking_in_language(self, reading: Reading) -> bool:
        """Return whether the thinking is in the asked language; True without any."""
        return self._identifier.is_in(reading.thinking, reading.task.language)


class AnswerLanguageGate:
    """Shut where an answer is declared in another language, or where the closing is in another language."""

    name = "answer_language"

    def __init__(self, identifier: LanguageIdentifier) -> None:
        self._identifier = identifier

    def is_open(self, reading: Reading) -> bool:
        """Return whether declarations and closing are in the asked language.

        The gate is open without a declaration, and for a box or `####`: they have no language, and the gate "format"
        counts them.
        """
        asked = reading.task.language
        if any(answer.language not in (None, asked) for answer in reading.declared):
            return False
        return self._identifier.is_in(reading.closing, asked)


class TruncationGate:
    """Shut where the response was cut off at its token limit."""

    name = "truncation"

    def is_open(self, reading: Reading) -> bool:
        """Return whether the response ended by itself."""
        return not reading.is_truncated


class EmptyGate:
    """Shut where the reasoning has hardly a word."""

    name = "empty"

    def is_open(self, reading: Reading) -> bool:
        """Return whether the reasoning has at least MIN_REASONING_LETTERS letters of English."""
        return weigh(reading.reasoning[:READ_CHARACTERS], reading.task.language) >= MIN_REASONING_LETTERS


class ThinkingGate:
    """Shut where the model thinks before it answers."""

    name = "thinking"

    def is_open(self, reading: Reading) -> bool:
        """Return whether there is no thinking; an empty block is none."""
        return not reading.thinking


def build_gates(
    languages: Sequence[str], *, min_length_ratio: float, max_length_ratio: float, thinking: ThinkingUse = "ignored"
) -> tuple[Gate, ...]:
    """Return all gates for responses in any of `languages` (ISO 639-1), in the order in which they are reported.

    There are eight, and the gate "thinking" where thinking is refused.

    Raises:
        ValueError: a language is unknown.
    """
    identifier = LanguageIdentifier(languages)
    return (
        LanguageGate(identifier, judges_thinking=thinking == "judged"),
        AnswerLanguageGate(identifier),
        FormatGate(),
        TruncationGate(),
        EmptyGate(),
        RepetitionGate(),
        CopyingGate(),
        LengthGate(min_ratio=min_length_ratio, max_ratio=max_length_ratio),
        *((ThinkingGate(),) if thinking == "refused" else ()),
    )
