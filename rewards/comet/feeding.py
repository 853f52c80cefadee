"""Make a COMET metric's inputs from an English text and a response, in one of four ways.

    quality (K)  source = English,   translation = response
    forward (F)  source = English,   translation = response,                 reference = English translated
    back    (B)  source = response,  translation = response translated,      reference = English
    same    (D)  source = English,   translation = response,                 reference = English

COMET was trained on a source, its translation, and a reference in the translation's language. quality and forward keep
to that. back does too, with the roles exchanged. same does not: its reference is in another language. Which one the
paper uses is not known.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rewards.comet.alignment import TextPair
from rewards.models.ports import Translator
from rewards.reading import PIVOT_LANGUAGE

FeedingName = Literal["quality", "forward", "back", "same"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CometInput:
    """Hold one segment, its translation, and a reference in the translation's language."""

    source: str
    translation: str
    reference: str = ""


class SegmentMetric(Protocol):
    """Score segments of limited length."""

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with all that the scores depend on."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Return whether an input must have a reference."""
        ...

    def fits(self, inputs: Sequence[CometInput]) -> list[bool]:
        """Return for each of N inputs whether the metric can read it whole."""
        ...

    def score(self, inputs: Sequence[CometInput]) -> NDArray[np.float64]:
        """Return the raw scores [N] in order; higher is better.

        Raises:
            ValueError: an input does not fit.
        """
        ...


class Feeding(Protocol):
    """Make a metric's inputs in one way."""

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with all that the inputs depend on."""
        ...

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """Return one input per pair, in order. Neither side of a pair may be empty."""
        ...


class QualityFeeding:
    """Ask whether the response is a faithful translation of the English text (K): no reference, no translator."""

    fingerprint = "quality"

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """Return one input without reference per pair, in order."""
        return [CometInput(source=pair.english, translation=pair.native) for pair in pairs]


class SameFeeding:
    """Give the English text as source and as reference (D): needs nothing else, and unlike COMET's training data."""

    fingerprint = "same"

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """Return one input with the English text twice per pair, in order."""
        return [CometInput(source=pair.english, translation=pair.native, reference=pair.english) for pair in pairs]


class ForwardFeeding:
    """Give the translated English text as the reference (F): one translation for each text and language."""

    def __init__(self, translator: Translator, *, cache_size: int = 8192) -> None:
        self.fingerprint = f"forward({translator.fingerprint})"
        self._translator = translator
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple[str, str], str] = OrderedDict()  # (English text, language) -> translation

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """Return one input with a reference in the response's language per pair, in order.

        Raises:
            ValueError: the translator returns another number of texts than it was given.
        """
        for language in sorted({pair.language for pair in pairs}):
            self._translate_new([pair.english for pair in pairs if pair.language == language], language)
        inputs = [
            CometInput(source=pair.english, translation=pair.native, reference=self._recall(pair)) for pair in pairs
        ]
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return inputs

    def _translate_new(self, texts: Sequence[str], language: str) -> None:
        new = [text for text in dict.fromkeys(texts) if (text, language) not in self._cache]
        found = _translated(self._translator, new, source=PIVOT_LANGUAGE, target=language)
        self._cache.update({(text, language): translation for text, translation in zip(new, found, strict=True)})

    def _recall(self, pair: TextPair) -> str:
        self._cache.move_to_end((pair.english, pair.language))
        return self._cache[pair.english, pair.language]


class BackFeeding:
    """Translate the response into English and compare there (B). A translator may correct what it reads or invent."""

    def __init__(self, translator: Translator) -> None:
        self.fingerprint = f"back({translator.fingerprint})"
        self._translator = translator

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """Return one input with both texts in English per pair, in order.

        Raises:
            ValueError: the translator returns another number of texts than it was given.
        """
        english: dict[tuple[str, str], str] = {}  # (response, its language) -> translation
        for language in sorted({pair.language for pair in pairs}):
            texts = list(dict.fromkeys(pair.native for pair in pairs if pair.language == language))
            found = _translated(self._translator, texts, source=language, target=PIVOT_LANGUAGE)
            english.update({(text, language): translation for text, translation in zip(texts, found, strict=True)})
        return [
            CometInput(source=pair.native, translation=english[pair.native, pair.language], reference=pair.english)
            for pair in pairs
        ]


def check_feeding(name: FeedingName, *, needs_reference: bool) -> None:
    """Check that a metric can take this feeding.

    Raises:
        ValueError: it needs a reference and gets none, or gets one that it does not read.
    """
    if name == "quality" and needs_reference:
        raise ValueError(
            'comet.feeding is "quality", which gives no reference, but the model needs one; choose "forward", "back" '
            'or "same", or a model without references such as Unbabel/wmt20-comet-qe-da'
        )
    if name != "quality" and not needs_reference:
        raise ValueError(
            f'comet.feeding is "{name}", but the model reads no reference; choose "quality", or a model with '
            "references such as Unbabel/wmt22-comet-da"
        )


def make_feeding(name: FeedingName, *, needs_reference: bool, translator: Translator | None = None) -> Feeding:
    """Return the feeding of that name.

    Raises:
        ValueError: the metric can't take it, its translator is missing, or there is no such feeding.
    """
    check_feeding(name, needs_reference=needs_reference)
    if name in ("forward", "back") and translator is None:
        raise ValueError(f'comet.feeding "{name}" needs a translator; name one in [translator], or choose another')
    match name:
        case "quality":
            return QualityFeeding()
        case "same":
            return SameFeeding()
        case "forward" if translator is not None:
            return ForwardFeeding(translator)
        case "back" if translator is not None:
            return BackFeeding(translator)
    raise ValueError(f'comet.feeding is {name!r}; it must be "quality", "forward", "back" or "same"')


def _translated(translator: Translator, texts: Sequence[str], *, source: str, target: str) -> list[str]:
    """Return the translations in order; texts that are in the target language already stay as they are."""
    if source == target or not texts:
        return list(texts)
    found = translator.translate(texts, source=source, target=target)
    if len(found) != len(texts):
        raise ValueError(f"the translator gave {len(found)} texts for {len(texts)}")
    return found
