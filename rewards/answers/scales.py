"""Read the words around a number's digits that change its value: scales, halves, minus and percent.

"7 million" is 7000000, "1万2千" 12000, "elfu 5" 5000, "minus 5" -5, "18 and a half" 18.5. The words are facts of the
language.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from languages.language import Language

MAX_SCALE_WORDS = 4
"""Most scale words after one number: "3万5000" has one, "5 тыс. млн" two."""
LONGEST_WORD = 24
"""Longest word before a number that is looked for, in characters."""

_ADJACENT_DIGITS = re.compile(r"(\d{1,101})(?![.,]?\d)")
_SPACED_DIGITS = re.compile(r" (\d{1,3})(?![\d/:%]|[.,]\d)")
# Vowel signs and other marks inside words, which are no word characters to `re`: Latin, Arabic, Indic.
_MARKS = (
    r"\u0300-\u036f\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0980-\u0983\u09bc-\u09d7"
    r"\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c56"
)
# A minus word behind a number is an operator: "10 minus 5", "10 euros minus 5".
_NUMBER_BEFORE = re.compile(r"[\d)\]}][^\w\n]{0,3}(?:[^\W\d_]{1,15}[^\w\n]{0,3})?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """Hold what the words before a number's digits say. The number starts at `start`: with its minus word, if any."""

    start: int
    factor: int = 1
    is_negative: bool = False
    is_percent: bool = False
    is_half_more: bool = False


def apply_scales(
    value: Fraction, folded: str, position: int, stop: int, language: Language
) -> tuple[Fraction, int] | None:
    """Multiply by the scale words at `position` ("7 million", "8万"), and add a smaller number behind ("1万2千").

    Returns the value and its end; None where the number can't be understood whole: "1万2" is 12000 to one writer and
    10002 to another.
    """
    pattern = _scale_pattern(language)
    if not pattern.match(folded, position, stop):
        return value, position
    total, end, num_words = Fraction(0), position, 0
    while num_words < MAX_SCALE_WORDS and (match := pattern.match(folded, end, stop)):
        factor = language.scale_values[match["word"].lower()]
        value, end = value * factor, match.end()
        num_words += 1
        more = (_ADJACENT_DIGITS if language.has_han else _SPACED_DIGITS).match(folded, end, stop)
        if more is None or int(more[1]) >= factor or value.denominator != 1:
            continue
        if language.has_han and len(more[1]) == 1 and not pattern.match(folded, more.end(), stop):
            return None
        total, value, end = total + value, Fraction(int(more[1])), more.end()
    return total + value, end


def half_behind(folded: str, position: int, stop: int, language: Language) -> int | None:
    """Return the end of the words at `position` that add a half ("18 and a half", "2 hours and a half"), else None."""
    match = _half_pattern(language).match(folded, position, stop) if language.halves else None
    return match.end() if match else None


def percent_behind(folded: str, position: int, stop: int, language: Language) -> int | None:
    """Return the end of the percent sign or word at `position`; None without one."""
    match = _percent_pattern(language).match(folded, position, stop)
    return match.end() if match else None


def tenths_behind(folded: str, position: int, stop: int, language: Language) -> int | None:
    """Return the end of the word for tenths at `position` ("3割" is 30%); None without one."""
    match = _tenths_pattern(language).match(folded, position, stop) if language.tenths else None
    return match.end() if match else None


def group_behind(folded: str, position: int, stop: int, language: Language) -> tuple[int, int] | None:
    """Return (size, end) of the word for so many things at `position`: 12 for "dozen"; None without one."""
    match = _group_pattern(language).match(folded, position, stop) if language.groups else None
    return None if match is None else (language.group_sizes[match["word"].lower()], match.end())


def read_before(folded: str, start: int, language: Language) -> Before:
    """Return what the words just before the number at `start` say."""
    before = folded[max(0, start - LONGEST_WORD) : start].rstrip().lower()
    if before.endswith(composed(language.percents_before)):
        return Before(start=start, is_percent=True)
    if _last_word(before, composed(language.halves_before), language) is not None:
        return Before(start=start, is_half_more=True)
    if (word := _last_word(before, composed(language.minus_words), language)) is not None:
        place = len(folded[:start].rstrip()) - len(word)
        phrases = tuple(hedge for hedge in composed(language.hedges) if hedge.endswith(word) and hedge != word)
        is_minus = not before.endswith(phrases) and not _NUMBER_BEFORE.search(before[: -len(word)])
        return Before(start=place, is_negative=True) if is_minus else Before(start=start)
    if (word := _last_word(before, tuple(language.scale_values_before), language)) is not None:
        return Before(start=start, factor=language.scale_values_before[word])
    return Before(start=start)


def alternatives(words: Iterable[str]) -> str:
    """Return words as alternatives of a regular expression, the longest first; an expression that never matches for
    none."""
    return (
        "|".join(re.escape(unicodedata.normalize("NFC", word)) for word in sorted(words, key=len, reverse=True))
        or "(?!)"
    )


def word_end(language: Language) -> str:
    """Return what must follow a word: "mil" must not be read from "miles" where spaces separate words.

    What the closing writes on to its answer may follow too: 5천입니다.
    """
    if not language.has_spaces:
        return ""
    end = rf"(?![\w{_MARKS}])"
    return rf"(?:{end}|(?={language.closing_suffix}))" if language.closing_suffix else end


@cache
def composed(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words in lower case with every accent composed."""
    return tuple(unicodedata.normalize("NFC", word).lower() for word in words)


def _last_word(before: str, words: tuple[str, ...], language: Language) -> str | None:
    """Return the longest of the words with which a text ends, as a whole word."""
    if not before.endswith(words):
        return None
    word = max((word for word in words if before.endswith(word)), key=len)
    return None if language.has_spaces and before[-len(word) - 1 : -len(word)].isalpha() else word


@cache
def _scale_pattern(language: Language) -> re.Pattern[str]:
    return re.compile(rf" ?(?P<word>{alternatives(language.scale_values)}){word_end(language)}", re.IGNORECASE)


@cache
def _group_pattern(language: Language) -> re.Pattern[str]:
    return re.compile(rf"[ -]?(?P<word>{alternatives(language.group_sizes)}){word_end(language)}", re.IGNORECASE)


@cache
def _tenths_pattern(language: Language) -> re.Pattern[str]:
    """Return the pattern of a word for tenths. Before another Chinese character it is part of a word: 成员, 割引."""
    return re.compile(rf"\s?(?:{alternatives(language.tenths)})(?![\u4e00-\u9fff]){word_end(language)}")


@cache
def _half_pattern(language: Language) -> re.Pattern[str]:
    words = alternatives(language.halves)
    return re.compile(rf"(?: ?[^\s\d.,;:!?]{{1,14}}?)?[ -]?(?:{words}){word_end(language)}", re.IGNORECASE)


@cache
def _percent_pattern(language: Language) -> re.Pattern[str]:
    return re.compile(rf"\s?(?:\\?%|(?:{alternatives(language.percents)}){word_end(language)})", re.IGNORECASE)
