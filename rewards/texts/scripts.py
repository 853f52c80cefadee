"""Count the letters of a text by script, and weigh them so that texts of different languages compare in length.

Which characters a script has is Unicode's `Script_Extensions` property. Vowel signs count as letters here: to Unicode
they are marks, but they carry as much of a word.
"""

import re
import sys
from functools import cache

import regex

from languages.facts import known_language
from languages.language import Script

KANA: tuple[Script, ...] = ("Hiragana", "Katakana")
MARKS = r"\u0300-\u036f"
"""Combining marks on Latin letters, for a regular expression's brackets."""
_LETTER = re.compile(r"[^\W\d_]")
# Greek letters are formulas in every script.
_NEUTRAL = r"\u00b5\u0370-\u03ff"


def letter_range(scripts: tuple[Script, ...]) -> str:
    """Return the letters and vowel signs of the scripts, as they stand in a regular expression's brackets."""
    return "".join(map(_letter_range, scripts))


@cache
def letters_of(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    """Return the pattern of one letter or vowel sign of the scripts."""
    return re.compile(f"[{letter_range(scripts)}]")


@cache
def foreign_letters(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    """Return the pattern of one letter that is neither of the scripts nor Latin (nor Greek)."""
    return re.compile(rf"[^\W\d_{letter_range(scripts)}{letter_range(('Latin',))}{_NEUTRAL}]")


@cache
def latin_word() -> re.Pattern[str]:
    """Return the pattern of one word in Latin letters, apostrophes and marks inside it included."""
    latin = letter_range(("Latin",))
    return re.compile(rf"[{latin}][{latin}{MARKS}]*(?:['’][{latin}][{latin}{MARKS}]*)*")


def num_letters(text: str) -> int:
    """Count the letters of any script, as Unicode counts: without vowel signs."""
    return len(_LETTER.findall(text))


def num_symbols(text: str, language: str) -> int:
    """Count the characters that are neither white space nor letters, nor vowel signs of the language.

    Digits are symbols here.

    Raises:
        ValueError: the language is not known.
    """
    return len(_symbols(known_language(language).scripts).findall(text))


def weigh(text: str, language: str) -> float:
    """Return the text's letters as so many letters of English, in time linear in the text.

    Letters of the language's scripts count by its letter weight, others as one.

    Raises:
        ValueError: the language is not known.
    """
    known = known_language(language)
    others = letters_of(known.scripts).sub("", text)
    return known.letter_weight * (len(text) - len(others)) + num_letters(others)


@cache
def _symbols(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    return re.compile(rf"[\d_]|[^\w\s{letter_range(scripts)}]")


@cache
def _letter_range(script: Script) -> str:
    """Return the script's ranges, as Python's own `re`, which is faster than `regex`, reads them.

    Marks that Unicode gives to Latin among others are not Latin letters: they are looked at by themselves. The Chinese
    zero (〇) and the mark of repetition (々) are letters: they stand inside words.
    """
    kinds = r"\p{L}" if script == "Latin" else r"\p{L}\p{M}\u3005\u3007"
    found = regex.finditer(rf"(?V1)[\p{{Script_Extensions={script}}}&&[{kinds}]--[{MARKS}\u02bc]]+", _every_character())
    return "".join(f"{run[0][0]}-{run[0][-1]}" if len(run[0]) > 1 else run[0] for run in found)


@cache
def _every_character() -> str:
    """Return every character but the surrogates, in order of code points."""
    return "".join(chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF)
