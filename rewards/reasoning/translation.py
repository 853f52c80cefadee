"""How close a reasoning is to the pivot's once both are in English.

Owns where the English comes from and that each text is translated once. Must not know how a translator works
(rewards/models/translator.py, or the pivot's engine through driver/rollouts/engine_features.py) nor how two English
texts are compared: any reasoning judge that knows English will do.

A translator may mend what it reads or make something up: what is judged is the translation.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rewards.reading import PIVOT_LANGUAGE
from rewards.reasoning.similarity import ReasoningPair, ReasoningSimilarity


class Translator(Protocol):
    """Turns texts of one language into another."""

    @property
    def fingerprint(self) -> str:
        """Changes with everything that its translations depend on."""
        ...

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """One translation per text, in order, nothing left out. Languages are ISO 639-1 codes."""
        ...


class TranslationSimilarity:
    """The reasoning in English, compared with the pivot's."""

    def __init__(
        self, compare: ReasoningSimilarity, translator: Translator | None, *, translated_by: str = "given"
    ) -> None:
        """`translator` None takes the translations that the pairs carry; `translated_by` then says whose they are."""
        self._compare = compare
        self._translator = translator
        self._translated_by = translated_by

    @property
    def fingerprint(self) -> str:
        translator = self._translator.fingerprint if self._translator else self._translated_by
        return f"translation({translator};{self._compare.fingerprint})"

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] values of the comparer; NaN where there is no translation and nobody to make one."""
        english = self._in_english(pairs)
        known = [index for index, text in enumerate(english) if text is not None]
        values = np.full(len(pairs), math.nan)
        if known:
            values[known] = self._compare.judge([_compared(pairs[index], english[index] or "") for index in known])
        return values

    def _in_english(self, pairs: Sequence[ReasoningPair]) -> list[str | None]:
        given = [_needs_no_translator(pair) for pair in pairs]
        made = self._translated([pair for pair, text in zip(pairs, given, strict=True) if text is None])
        return [
            made.get((pair.language, pair.reasoning)) if text is None else text
            for pair, text in zip(pairs, given, strict=True)
        ]

    def _translated(self, pairs: Sequence[ReasoningPair]) -> dict[tuple[str, str], str]:
        """By language and text; one call a language."""
        made: dict[tuple[str, str], str] = {}
        if self._translator is None:
            return made
        for language in dict.fromkeys(pair.language for pair in pairs):
            texts = list(dict.fromkeys(pair.reasoning for pair in pairs if pair.language == language))
            translations = self._translator.translate(texts, source=language, target=PIVOT_LANGUAGE)
            made.update({(language, text): new for text, new in zip(texts, translations, strict=True)})
        return made


def _needs_no_translator(pair: ReasoningPair) -> str | None:
    """The English that is there: given, English already, or nothing to translate."""
    if pair.translation:
        return pair.translation
    return pair.reasoning if pair.language == PIVOT_LANGUAGE or not pair.reasoning.strip() else None


def _compared(pair: ReasoningPair, english: str) -> ReasoningPair:
    """A pair in English. Where the question stands in for a reasoning, it does so in English too."""
    question = english if pair.reasoning == pair.question else ""
    return ReasoningPair(language=PIVOT_LANGUAGE, reasoning=english, reference=pair.reference, question=question)
