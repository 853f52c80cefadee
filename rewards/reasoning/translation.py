"""Compare a reasoning with the pivot's after both are in English.

The English comes from a translator of ours or from an engine of the run, and each text is translated once. Any
`ReasoningSimilarity` that knows English compares the two texts.

A translator may correct what it reads or invent something: the translation is what is compared.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewards.models.ports import Translator
from rewards.reading import PIVOT_LANGUAGE
from rewards.reasoning.similarity import ReasoningPair, ReasoningSimilarity


class TranslationSimilarity:
    """Translate each reasoning into English and compare it with the pivot's."""

    def __init__(
        self, compare: ReasoningSimilarity, translator: Translator | None, *, translated_by: str = "given"
    ) -> None:
        """Compare with `compare` what `translator` translates.

        With `translator` None the pairs bring their translations, and `translated_by` names what made them.
        """
        self._compare = compare
        self._translator = translator
        self._translated_by = translated_by

    @property
    def fingerprint(self) -> str:
        """Return the fingerprints of translator and comparison as one text."""
        translator = self._translator.fingerprint if self._translator else self._translated_by
        return f"translation({translator};{self._compare.fingerprint})"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the values [N] of the comparison; NaN where a reasoning has no translation and no translator.

        Raises:
            ValueError: the translator returns another number of texts than it was given.
        """
        english = self._in_english(pairs)
        known = [index for index, text in enumerate(english) if text is not None]
        values = np.full(len(pairs), math.nan)
        if known:
            values[known] = self._compare.similarities(
                [_english_pair(pairs[index], english[index] or "") for index in known]
            )
        return values

    def _in_english(self, pairs: Sequence[ReasoningPair]) -> list[str | None]:
        given = [_needs_no_translator(pair) for pair in pairs]
        made = self._translated([pair for pair, text in zip(pairs, given, strict=True) if text is None])
        return [
            made.get((pair.language, pair.reasoning)) if text is None else text
            for pair, text in zip(pairs, given, strict=True)
        ]

    def _translated(self, pairs: Sequence[ReasoningPair]) -> dict[tuple[str, str], str]:
        """Return the translations by (language, text), from one call per language."""
        made: dict[tuple[str, str], str] = {}
        if self._translator is None:
            return made
        for language in dict.fromkeys(pair.language for pair in pairs):
            texts = list(dict.fromkeys(pair.reasoning for pair in pairs if pair.language == language))
            translations = self._translator.translate(texts, source=language, target=PIVOT_LANGUAGE)
            made.update({(language, text): new for text, new in zip(texts, translations, strict=True)})
        return made


def _needs_no_translator(pair: ReasoningPair) -> str | None:
    """Return the English that exists already: a given translation, an English reasoning, or an empty one."""
    if pair.translation:
        return pair.translation
    return pair.reasoning if pair.language == PIVOT_LANGUAGE or not pair.reasoning.strip() else None


def _english_pair(pair: ReasoningPair, english: str) -> ReasoningPair:
    """Return the pair in English. A question that takes the place of a reasoning stays one in English."""
    question = english if pair.reasoning == pair.question else ""
    return ReasoningPair(language=PIVOT_LANGUAGE, reasoning=english, reference=pair.reference, question=question)
