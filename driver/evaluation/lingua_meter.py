"""Measure the language of a response as other papers do: by lingua alone, over the whole text.

It stands beside our own meter, which reads sentence by sentence. It also knows languages without a language file.
"""

from lingua import LanguageDetectorBuilder

from rewards.gates.formulas import without_formulas
from rewards.gates.lingua_judge import lingua_language

MAX_CHARACTERS = 2000
"""Characters of a text that are read: enough to be sure, and the time grows with them."""
MIN_LETTERS = 16
"""A text with fewer letters passes: it is an answer without a language (as in PolyMath, arXiv 2504.18428)."""


class LinguaMeter:
    """Say whether a text is in a language by lingua's first choice among all its languages.

    The low-accuracy mode takes 85 MB instead of 1 GB; it fails on short texts first, which pass here anyway.
    """

    def __init__(self) -> None:
        self._detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()

    def is_in(self, text: str, language: str) -> bool | None:
        """Return whether lingua takes a text for `language` (ISO 639); None if lingua does not know the language."""
        asked = lingua_language(language)
        if asked is None:
            return None
        if (plain := readable_part(text)) is None:
            return True
        return self._detector.detect_language_of(plain) == asked


def readable_part(text: str) -> str | None:
    """Return what a meter reads of a text, without formulas; None where it has too few letters to have a language."""
    plain = without_formulas(text)[:MAX_CHARACTERS]
    return plain if sum(map(str.isalpha, plain)) >= MIN_LETTERS else None
