"""Test how reasonings are compared in English: what is translated how often, and what if no translator can."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from rewards.reasoning.similarity import ReasoningPair
from rewards.reasoning.translation import TranslationSimilarity
from rewards.reasoning.without_encoder import ChrfSimilarity

GERMAN = "Tom hat 3 Äpfel und kauft 4."
ENGLISH = "Tom has 3 apples and buys 4."
SPANISH = "Tom tiene 3 manzanas y compra 4."


@dataclass
class Dictionary:
    """Translate whole texts from a table."""

    entries: dict[str, str] = field(default_factory=lambda: {GERMAN: ENGLISH, SPANISH: ENGLISH})
    asked: list[tuple[str, str, list[str]]] = field(default_factory=list)
    fingerprint: str = "dictionary"

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        self.asked.append((source, target, list(texts)))
        return [self.entries[text] for text in texts]


@dataclass
class SameText:
    """Return 1 for equal texts, else 0; keep the texts."""

    seen: list[ReasoningPair] = field(default_factory=list)
    fingerprint: str = "same-text"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        self.seen.extend(pairs)
        return np.array([float(pair.reasoning == pair.reference) for pair in pairs])


def pair(reasoning: str = GERMAN, *, language: str = "de", translation: str = "", question: str = "") -> ReasoningPair:
    return ReasoningPair(
        language=language, reasoning=reasoning, reference=ENGLISH, translation=translation, question=question
    )


def test_the_comparer_sees_english_against_english() -> None:
    comparer = SameText()
    assert TranslationSimilarity(comparer, Dictionary()).similarities([pair()]).tolist() == [1.0]
    assert comparer.seen == [ReasoningPair(language="en", reasoning=ENGLISH, reference=ENGLISH)]


def test_each_distinct_text_of_a_language_is_translated_once_in_one_call() -> None:
    translator = Dictionary({GERMAN: ENGLISH, SPANISH: ENGLISH, "Nein.": "No."})
    pairs = [pair(), pair("Nein."), pair(SPANISH, language="es"), pair()]
    assert TranslationSimilarity(SameText(), translator).similarities(pairs).tolist() == [1.0, 0.0, 1.0, 1.0]
    assert translator.asked == [("de", "en", [GERMAN, "Nein."]), ("es", "en", [SPANISH])]


def test_a_given_translation_an_english_text_and_an_empty_one_need_no_translator() -> None:
    translator = Dictionary()
    pairs = [pair(translation=ENGLISH), pair(ENGLISH, language="en"), pair(" ")]
    assert TranslationSimilarity(SameText(), translator).similarities(pairs).tolist() == [1.0, 1.0, 0.0]
    assert translator.asked == []


def test_without_translation_and_translator_it_cannot_say() -> None:
    values = TranslationSimilarity(SameText(), None).similarities([pair(), pair(translation=ENGLISH)])
    assert math.isnan(values[0])
    assert values[1] == 1.0
    assert np.isnan(TranslationSimilarity(SameText(), None).similarities([pair()])).all()
    assert TranslationSimilarity(SameText(), None).similarities([]).shape == (0,)


def test_a_question_in_place_of_a_reasoning_is_one_in_english_too() -> None:
    comparer = SameText()
    TranslationSimilarity(comparer, Dictionary()).similarities([pair(question=GERMAN), pair(question="Wie viele?")])
    assert [compared.question for compared in comparer.seen] == [ENGLISH, ""]


def test_a_translator_that_loses_a_text_is_an_error_not_a_shift() -> None:
    class Forgetful(Dictionary):
        def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
            return []

    with pytest.raises(ValueError):
        TranslationSimilarity(SameText(), Forgetful()).similarities([pair()])


def test_fingerprint_names_translator_and_comparer() -> None:
    assert TranslationSimilarity(SameText(), Dictionary()).fingerprint == "translation(dictionary;same-text)"
    assert TranslationSimilarity(SameText(), None).fingerprint == "translation(given;same-text)"
    assert (
        TranslationSimilarity(SameText(), None, translated_by="pivot-1").fingerprint == "translation(pivot-1;same-text)"
    )


def test_chrf_is_the_mean_of_the_n_gram_f_scores() -> None:
    # "abd" against "abc": 2 of 3 characters, 1 of 2 bigrams and 0 of 1 trigrams are shared, precision = recall, and
    # longer n-grams do not exist: (2/3 + 1/2 + 0) / 3 = 7/18.
    values = ChrfSimilarity().similarities(
        [
            ReasoningPair(language="en", reasoning=reasoning, reference=reference)
            for reasoning, reference in (("abc", "abc"), ("abd", "abc"), ("xyz", "abc"), ("", "abc"))
        ]
    )
    assert values == pytest.approx([1.0, 7 / 18, 0.0, 0.0])


def test_chrf_cannot_say_without_a_reference() -> None:
    (value,) = ChrfSimilarity().similarities([ReasoningPair(language="en", reasoning="abc", reference=" ")])
    assert math.isnan(value)


def test_chrf_names_its_orders_and_its_version() -> None:
    assert ChrfSimilarity().fingerprint.startswith("chrf6-beta2-sacrebleu-")
