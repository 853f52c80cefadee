"""Find questions that are not in the language in which they were taken to be, where no column says it.

English questions that are taken for Swahili would be learned as Swahili. Only English is told from other languages
here: other pairs may be too close for a file of short questions.
"""

from collections.abc import Iterable
from itertools import islice

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

from rewards.gates.formulas import without_formulas
from rewards.gates.lingua_judge import lingua_language

_NUM_READ = 50  # texts, the first ones
_MIN_LETTERS = 16  # a shorter text has too little of a language


def is_other_language(texts: Iterable[str], language: str) -> bool:
    """Return whether most texts are English although `language` is another one, or are not although it is English.

    It is False for a language that lingua does not know, and where all texts are too short.
    """
    detector = _detector(language)
    if detector is None:
        return False
    read = [without_formulas(text) for text in islice(texts, _NUM_READ)]
    read = [text for text in read if sum(map(str.isalpha, text)) >= _MIN_LETTERS]
    english = sum(detector.detect_language_of(text) == Language.ENGLISH for text in read)
    others = len(read) - english if language == "en" else english
    return others > len(read) / 2


def _detector(language: str) -> LanguageDetector | None:
    asked = lingua_language(language)
    if asked is None:
        return None
    # Of two languages lingua is surer, and reads the models of no other.
    builder = (
        LanguageDetectorBuilder.from_all_languages()
        if language == "en"
        else LanguageDetectorBuilder.from_languages(asked, Language.ENGLISH)
    )
    return builder.with_low_accuracy_mode().build()
