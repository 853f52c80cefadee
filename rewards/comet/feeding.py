"""What a COMET metric is fed of an English text and a response: the four ways, by name.

    quality (K)  source = English,   translation = response
    forward (F)  source = English,   translation = response,                 reference = English translated
    back    (B)  source = response,  translation = response translated,      reference = English
    same    (D)  source = English,   translation = response,                 reference = English

Owns the four and which of them a metric can take. COMET was trained on a source, its translation, and a reference in
the translation's language: quality and forward keep to that, back does with the roles turned round, and same does not
(its reference is in another language). Which one the paper uses is not known. Must not know what a score means.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, Protocol

from rewards.comet.alignment import TextPair
from rewards.comet.inputs import CometInput
from rewards.reading import PIVOT_LANGUAGE
from rewards.reasoning.translation import Translator

FeedingName = Literal["quality", "forward", "back", "same"]


class Feeding(Protocol):
    """One way to make a metric's inputs."""

    @property
    def fingerprint(self) -> str:
        """Changes with everything that the inputs depend on."""
        ...

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        """One input per pair, in order; neither side of a pair is empty."""
        ...


class QualityFeeding:
    """K: is the response a faithful translation of the English text? No reference, no translator."""

    fingerprint = "quality"

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        return [CometInput(source=pair.english, translation=pair.native) for pair in pairs]


class SameFeeding:
    """D: the English text is source and reference. The easiest to have, and unlike anything COMET was trained on."""

    fingerprint = "same"

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
        return [CometInput(source=pair.english, translation=pair.native, reference=pair.english) for pair in pairs]


class ForwardFeeding:
    """F: the reference is the English text translated, once for each text and language."""

    def __init__(self, translator: Translator, *, cache_size: int = 8192) -> None:
        self.fingerprint = f"forward({translator.fingerprint})"
        self._translator = translator
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple[str, str], str] = OrderedDict()  # (English text, language) -> translation

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
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
    """B: the response is translated to English and compared there. A translator may mend or invent what it reads."""

    def __init__(self, translator: Translator) -> None:
        self.fingerprint = f"back({translator.fingerprint})"
        self._translator = translator

    def feed(self, pairs: Sequence[TextPair]) -> list[CometInput]:
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
    """Raises ValueError, with what to choose, where the metric can't take this feeding."""
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
    """The feeding of that name. Raises ValueError where the metric can't take it or the translator is missing."""
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
    """In order; what is in the target language already stays as it is."""
    if source == target or not texts:
        return list(texts)
    found = translator.translate(texts, source=source, target=target)
    if len(found) != len(texts):
        raise ValueError(f"the translator gave {len(found)} texts for {len(texts)}")
    return found
