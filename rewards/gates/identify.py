"""Decide whether a text is in the language that was asked for, sentence by sentence and as a whole.

The script of the letters decides where it can. Among languages in Latin script frequent words decide, and lingua where
the words leave it open. Text that is spelled or written to escape these checks is refused as a disguise.

Candidates are all built-in languages and their relatives, not only those of a run: a policy may drift to any. Digits,
operators, LaTeX commands and capitalised names are ignored, and text that is too short to decide passes. Results for
sentences are kept in a bounded cache, as the responses of a group repeat each other's sentences.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from lingua import IsoCode639_1, IsoCode639_3, LanguageDetector, LanguageDetectorBuilder
from lingua import Language as LinguaLanguage

from languages.closings import STOPS
from languages.facts import known_language
from languages.frequent_words import frequent_words, own_words
from languages.language import Language, Script
from rewards.gates.disguise import in_plain_letters, is_disguised, normal, without_commands
from rewards.gates.japanese import is_chinese, is_like_japanese
from rewards.texts.scripts import MARKS, foreign_letters, latin_word, letter_range, letters_of

MAX_CHARACTERS = 50_000
"""Characters of a text that are read. The length gate shuts for a longer text."""
MAX_SENTENCE = 500
"""Characters that are checked at once: a text without full stops is checked piece by piece."""
CACHE_SENTENCES = 16_384
"""Sentences whose results are kept."""
MAX_FOREIGN_LETTERS = 2
"""Most letters of a third script (neither the asked one nor Latin) in a sentence: room for a symbol, not for a word."""
MIN_LETTERS, MIN_LETTERS_SURE = 8, 12
"""Least letters of a text for which lingua's result counts, and from which on MIN_CONFIDENCE is enough."""
MIN_CONFIDENCE, MIN_CONFIDENCE_SHORT = 0.6, 0.8
"""Least confidence of lingua in a language; the second one for texts below MIN_LETTERS_SURE letters."""
MAX_OWN_CONFIDENCE = 0.15
"""Largest confidence in the asked language with which a text may be refused as another one. Measured, with all the
candidates, on the sentences of 500 built-in solutions and questions and of MGSM's: none in Latin, Cyrillic or Arabic
script is refused."""
MAX_OWN_CONFIDENCE_TOGETHER, MIN_LETTERS_TOGETHER = 0.1, 20
"""The same limit for a text of at least this many letters in which lingua gives no other language MIN_CONFIDENCE, but
several languages a part of it."""
FOREIGN_SHARE = 0.2
"""Least share of other languages' words in a sentence that makes it foreign, even if it is one word."""
MIXED_SHARE = 0.125
"""The same from two such words on: half a sentence in another language has that many."""
TEXT_SHARE = 0.03
"""The same over a whole text, from two different such words on: it finds single words in every other sentence."""
OWN_SHARE = 0.25
"""Share of the asked language's frequent words, without any of another language's, that needs no further check."""
MAX_OWN_SHARE, MIN_WORDS = 0.05, 12
"""In a language that lingua does not know, a text of at least this many words with at most this share of the language's
frequent words is in another language. Frequent words are about every third word of running text."""
MIN_SCRIPT_SHARE = 0.4
"""Least share of the asked script in a sentence's letters: the rest is room for names, each counted once."""
LATIN_SHARE = 0.1
"""Share of lower-case Latin words in a sentence of another script that makes it foreign; single letters and units are
not counted."""
MAX_LOWER_CASE_WORDS = 3
"""Most lower-case Latin words in a sentence of another script ("miles per hour")."""
MAX_KNOWN_CAPITALS = 3
"""Most frequent words of Latin-script languages in a sentence of another script, with capitals or without."""
LINGUA_CHARACTERS = 400
"""Characters of a text that lingua reads: enough to be sure, and its time grows with them."""

_SENTENCE_END = re.compile(rf"\n+|[!?。{STOPS}！？؟]+|\.(?!\d)")
_NOT_WORDS = re.compile(r"[\d_+\-*/×÷=<>≈$€£¥%^(){}\[\]|\\#~`]+")
# Written the same in every language, so they are words of none.
_UNITS = frozenset(
    ("cm", "dm", "mm", "km", "kg", "mg", "ml", "lb", "lbs", "oz", "ft", "in", "mi", "mph", "hr", "min", "sec")
)

_CANDIDATES: Mapping[Script, str] = {
    "Latin": "de en es fr sw pt it nl ca id la zu so tl sv vi eo hu",
    "Cyrillic": "ru uk bg sr",
    "Arabic": "ar fa",
    "Devanagari": "hi mr",
}
"""The languages among which lingua chooses, by script, beside the asked one; in the other scripts the letters alone
decide. Relatives with letters of their own (Turkish, Polish, Romanian, Kazakh, Urdu) are known by those: each language
here takes up to 60 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sentence:
    """Hold what one sentence tells about its language."""

    is_foreign: bool
    is_sure: bool = True  # False: too little to decide by itself, checked again together with the others
    num_words: float = 0  # estimated where words have no spaces between them
    foreign_words: frozenset[str] = frozenset()


_FOREIGN = _Sentence(is_foreign=True)


class LanguageIdentifier:
    """Decide whether texts are in one of the languages that it was built for."""

    def __init__(self, languages: Sequence[str]) -> None:
        """Load what is needed for `languages` (ISO 639-1).

        Raises:
            ValueError: a language is unknown.
        """
        self._asked = {code: known_language(code) for code in languages}
        self._detectors = {code: _detector_for(language) for code, language in self._asked.items()}
        self._foreign_words = frequent_words()
        self._check_cached = lru_cache(maxsize=CACHE_SENTENCES)(self._check)

    def is_in(self, text: str, language: str) -> bool:
        """Return False where some sentence, or the text as a whole, is clearly in another language.

        Raises:
            ValueError: the identifier was not built for `language`.
        """
        if language not in self._asked:
            raise ValueError(
                f"the identifier was built for {', '.join(self._asked)}, not for {language!r}; add it to the languages"
            )
        facts = self._asked[language]
        plain = without_commands(normal(text[:MAX_CHARACTERS])[:MAX_CHARACTERS])
        if is_disguised(plain, facts) or (facts.has_kana and not is_like_japanese(plain)):
            return False
        plain = in_plain_letters(plain, facts)
        sentences = [piece for part in _SENTENCE_END.split(plain) for piece in _pieces(part.strip())]
        checked: list[_Sentence] = []
        for sentence in sentences:
            checked.append(self._check_cached(sentence, language))
            if checked[-1].is_foreign:
                return False
        if _is_sprinkled(checked):
            return False
        unsure = [part for part, result in zip(sentences, checked, strict=True) if not result.is_sure]
        return self._ask_lingua("\n".join(unsure), facts) is not False

    def _check(self, sentence: str, code: str) -> _Sentence:
        language = self._asked[code]
        if len(foreign_letters(language.scripts).findall(sentence)) > MAX_FOREIGN_LETTERS:
            return _FOREIGN
        words = latin_word().findall(sentence)
        if language.is_latin:
            return self._check_by_words(sentence, words, language)
        return self._check_by_script(sentence, words, language)

    def _check_by_words(self, sentence: str, words: Sequence[str], language: Language) -> _Sentence:
        """Check a sentence among languages in Latin script, by frequent words and, where they don't decide, lingua."""
        own_list = own_words(language)
        num_own, num_names = 0, 0
        foreign: list[str] = []
        for position, word in enumerate(words):
            is_listed = word.lower() in self._foreign_words
            if word.lower() in own_list:
                num_own += 1
            elif word[0].isupper() and (position > 0 or not is_listed):
                num_names += 1
            elif is_listed and len(word) > 1:
                foreign.append(word.lower())
        num_words = len(words) - num_names
        if _is_mixed(len(foreign), num_words):
            return _FOREIGN
        is_own = not foreign and num_own >= max(1, OWN_SHARE * num_words)
        by_lingua = True if is_own else self._ask_lingua(sentence, language)
        # One word of another language is a loan word only in a sentence that is otherwise surely in the asked one.
        is_foreign = by_lingua is False or (by_lingua is None and bool(foreign))
        return _Sentence(
            is_foreign=is_foreign, is_sure=by_lingua is not None, num_words=num_words, foreign_words=frozenset(foreign)
        )

    def _check_by_script(self, sentence: str, words: Sequence[str], language: Language) -> _Sentence:
        """Check a sentence in another script: its Latin words, and whether lingua takes it for a relative."""
        num_own = len(letters_of(language.scripts).findall(sentence))
        lower_case = [word for word in words if word.islower() and len(word) > 1 and word not in _UNITS]
        known = [word for word in lower_case if word in self._foreign_words]
        num_words = num_own / language.letters_per_word + len(words)
        is_foreign = (
            len(lower_case) > MAX_LOWER_CASE_WORDS
            or (len(lower_case) >= LATIN_SHARE * num_words and (len(known) > 0 or len(lower_case) > 1))
            or self._is_mostly_latin(words, num_own)
            or (language.has_kana and is_chinese(sentence))
        )
        by_lingua = None if is_foreign else self._ask_lingua(sentence, language)
        return _Sentence(
            is_foreign=is_foreign or by_lingua is False,
            is_sure=by_lingua is not None,
            num_words=num_words,
            foreign_words=frozenset(known),
        )

    def _is_mostly_latin(self, words: Sequence[str], num_own: int) -> bool:
        """Return whether a sentence has more Latin letters than names explain, or many frequent words with capitals."""
        distinct = {word.lower() for word in words}  # a name that comes again is still one name
        num_latin = sum(map(len, distinct))
        if num_latin + num_own >= MIN_LETTERS and num_own < MIN_SCRIPT_SHARE * (num_latin + num_own):
            return True
        return sum(len(word) > 1 and word in self._foreign_words for word in distinct - _UNITS) > MAX_KNOWN_CAPITALS

    def _ask_lingua(self, text: str, language: Language) -> bool | None:
        """Return whether lingua takes the text for the language, or for another one of its script; None if unsure."""
        detector = self._detectors[language.code]
        if detector is None:
            return _has_own_words(text, language)
        words = " ".join(_NOT_WORDS.sub(" ", text).split())[:LINGUA_CHARACTERS]
        num_letters = len(letters_of(language.scripts).findall(words))
        if num_letters < MIN_LETTERS:
            return None
        values = detector.compute_language_confidence_values(words)
        own = next(value for value in values if value.language == _lingua_language(language.code))
        needed = MIN_CONFIDENCE if num_letters >= MIN_LETTERS_SURE else MIN_CONFIDENCE_SHORT
        if own.value >= needed:
            return True
        if values[0].value >= needed and own.value <= MAX_OWN_CONFIDENCE:
            return False
        # Close relatives share what is not the asked language's.
        return False if num_letters >= MIN_LETTERS_TOGETHER and own.value <= MAX_OWN_CONFIDENCE_TOGETHER else None


def _pieces(sentence: str) -> list[str]:
    """Cut a sentence into pieces of MAX_SENTENCE characters, which bounds the cache; an empty one has none."""
    return [sentence[start : start + MAX_SENTENCE] for start in range(0, len(sentence), MAX_SENTENCE)]


def _is_mixed(num_foreign: int, num_words: float) -> bool:
    """Return whether a sentence has one foreign word among few words, or several among many."""
    share = FOREIGN_SHARE if num_foreign == 1 else MIXED_SHARE
    return num_foreign > 0 and num_foreign >= share * num_words


def _is_sprinkled(sentences: Sequence[_Sentence]) -> bool:
    """Return whether single words of other languages are spread over a whole text."""
    num_foreign = len(frozenset[str]().union(*(sentence.foreign_words for sentence in sentences)))
    return num_foreign > 1 and num_foreign >= TEXT_SHARE * sum(sentence.num_words for sentence in sentences)


def _has_own_words(text: str, language: Language) -> bool | None:
    """Return whether a text has the frequent words of a language that lingua does not know; None if unsure.

    The result is True if the language has no list of words, or no spaces to find them: its script alone decides.
    """
    own_list = own_words(language)
    if not own_list or not language.has_spaces:
        return True
    words = _own_script_words(language.scripts).findall(text.lower())
    share = sum(word in own_list for word in words) / max(1, len(words))
    if share >= OWN_SHARE:
        return True
    return False if len(words) >= MIN_WORDS and share <= MAX_OWN_SHARE else None


@cache
def _own_script_words(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    return re.compile(f"[{letter_range(scripts)}{MARKS}]+")


def _detector_for(language: Language) -> LanguageDetector | None:
    """Return the detector that knows the language; None where its script alone decides, or lingua does not know it."""
    codes = next((_CANDIDATES[script] for script in language.scripts if script in _CANDIDATES), "")
    if not codes or _lingua_language(language.code) is None:
        return None
    return _detector(codes if language.code in codes.split() else f"{codes} {language.code}")


@cache
def _detector(codes: str) -> LanguageDetector:
    """Load a detector for these languages; all identifiers of a process share it.

    Its models are loaded at once, which takes a second or more, so that the first group does not wait for them.
    """
    languages = filter(None, map(_lingua_language, codes.split()))
    return LanguageDetectorBuilder.from_languages(*languages).with_preloaded_language_models().build()


@cache
def _lingua_language(code: str) -> LinguaLanguage | None:
    """Return lingua's name of a language; None if lingua does not know it."""
    try:
        if len(code) == 2:
            return LinguaLanguage.from_iso_code_639_1(IsoCode639_1.from_str(code.upper()))
        return LinguaLanguage.from_iso_code_639_3(IsoCode639_3.from_str(code.upper()))
    except ValueError:
        return None
