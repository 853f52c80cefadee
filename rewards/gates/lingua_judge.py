"""Ask lingua for the language of some words, among a script's languages and their relatives.

Where lingua does not know the asked language, its frequent words decide, if it has any.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from lingua import IsoCode639_1, IsoCode639_3, LanguageDetector, LanguageDetectorBuilder
from lingua import Language as LinguaLanguage

from languages.frequent_words import own_words
from languages.language import Language, Script
from rewards.texts.scripts import MARKS, letter_range, letters_of

MIN_LETTERS = 12
"""Least letters of distinct words for which lingua's result counts."""
MIN_CONFIDENCE = 0.6
"""Least confidence of lingua in a language."""
MAX_OWN_CONFIDENCE = 0.15
"""Largest confidence in the asked language with which a text may be refused as another one. Measured, with all the
candidates, on the sentences of 500 built-in solutions and questions and of MGSM's: none in Latin, Cyrillic or Arabic
script is refused."""
MAX_OWN_CONFIDENCE_TOGETHER, MIN_LETTERS_TOGETHER = 0.1, 20
"""The same limit for a text of at least this many letters in which lingua gives no other language MIN_CONFIDENCE, but
several languages a part of it."""
OWN_SHARE = 0.25
"""Share of the asked language's frequent words, without any of another language's, that needs no further check."""
MAX_OWN_SHARE, MIN_WORDS = 0.05, 12
"""In a language that lingua does not know, a text of at least this many words with at most this share of the language's
frequent words is in another language. Frequent words are about every third word of running text."""
LINGUA_CHARACTERS = 400
"""Characters of a text that lingua reads: enough to be sure, and its time grows with them."""

_CANDIDATES: Mapping[Script, str] = {
    "Latin": "de en es fr sw pt it nl ca id la zu so tl sv vi eo hu",
    "Cyrillic": "ru uk bg sr",
    "Arabic": "ar fa",
    "Devanagari": "hi mr",
}
"""The languages among which lingua chooses, by script, beside the asked one; in the other scripts the letters alone
decide. Relatives with letters of their own (Turkish, Polish, Romanian, Kazakh, Urdu) are known by those: each language
here takes up to 60 MB."""
_RELATIVES: Mapping[str, str] = {"cs": "sk", "et": "fi", "nl": "af", "tr": "az"}
"""Languages of the same script among which lingua also chooses where one language is asked for. Not named are relatives
so close that lingua would refuse right texts: Malay beside Indonesian, Xhosa beside Zulu."""


class LinguaJudge:
    """Say whether words are in one language, or clearly in another one of its script."""

    def __init__(self, language: Language) -> None:
        """Load the detector that knows the language, if lingua does and the script alone doesn't decide."""
        self._language = language
        self._detector = _detector_for(language)

    @property
    def asks_lingua(self) -> bool:
        """Return whether lingua is asked: it knows the language, and the script alone doesn't decide."""
        return self._detector is not None

    def judge(self, words: Iterable[str]) -> bool | None:
        """Return whether lingua takes the words, each counted once, for the language or another one; None if unsure."""
        if self._detector is None:
            return _has_own_words(words, self._language)
        text = " ".join(dict.fromkeys(word.lower() for word in words))[:LINGUA_CHARACTERS]
        num_letters = len(letters_of(self._language.scripts).findall(text))
        if num_letters < MIN_LETTERS:
            return None
        values = self._detector.compute_language_confidence_values(text)
        own = next(value for value in values if value.language == lingua_language(self._language.code))
        if own.value >= MIN_CONFIDENCE:
            return True
        if values[0].value >= MIN_CONFIDENCE and own.value <= MAX_OWN_CONFIDENCE:
            return False
        # Close relatives share what is not the asked language's.
        return False if num_letters >= MIN_LETTERS_TOGETHER and own.value <= MAX_OWN_CONFIDENCE_TOGETHER else None


@cache
def own_script_words(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    """Return the pattern of a word in the scripts."""
    return re.compile(f"[{letter_range(scripts)}{MARKS}]+")


def _has_own_words(words: Iterable[str], language: Language) -> bool | None:
    """Return whether a text has the frequent words of a language that lingua does not know; None if unsure.

    The result is True if the language has no list of words, or no spaces to find them: its script alone decides.
    """
    own_list = own_words(language)
    if not own_list or not language.has_spaces:
        return True
    found = [word.lower() for word in words]
    share = sum(word in own_list for word in found) / max(1, len(found))
    if share >= OWN_SHARE:
        return True
    return False if len(found) >= MIN_WORDS and share <= MAX_OWN_SHARE else None


def _detector_for(language: Language) -> LanguageDetector | None:
    """Return the detector that knows the language; None where its script alone decides, or lingua does not know it."""
    codes = next((_CANDIDATES[script] for script in language.scripts if script in _CANDIDATES), "")
    if not codes or lingua_language(language.code) is None:
        return None
    wanted = (*codes.split(), language.code, *_RELATIVES.get(language.code, "").split())
    return detector(" ".join(dict.fromkeys(wanted)))


@cache
def detector(codes: str) -> LanguageDetector:
    """Load a detector for these languages; all judges of a process share it.

    Its models are loaded at once, which takes a second or more, so that the first group does not wait for them.
    """
    languages = filter(None, map(lingua_language, codes.split()))
    return LanguageDetectorBuilder.from_languages(*languages).with_preloaded_language_models().build()


@cache
def lingua_language(code: str) -> LinguaLanguage | None:
    """Return lingua's name of a language; None if lingua does not know it."""
    try:
        if len(code) == 2:
            return LinguaLanguage.from_iso_code_639_1(IsoCode639_1.from_str(code.upper()))
        return LinguaLanguage.from_iso_code_639_3(IsoCode639_3.from_str(code.upper()))
    except ValueError:
        return None
