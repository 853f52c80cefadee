"""Is a text made to look like what it is not: spelled out letter by letter, under marks, or in look-alike letters?

Owns these checks, each language's alphabet, and the folding of strange letters to plain ones, which shows to the other
checks of a language gate the words that were meant. Names in a text may have strange letters; each counts once.
Expects text as `normal` makes it. Must not know what a language's words are.
"""

import re
import unicodedata
from functools import cache

from languages.language import Language, Script
from rewards.texts.scripts import letter_range

MAX_STRANGE_LETTERS = 4
"""Most letters outside the language's alphabet, and marks on letters, that a text's words have, each word counted once.
None of 7,200 built-in solutions, MGSM's exemplars and its questions has more."""
MAX_SINGLES = 5
"""Most single Latin letters in a row. French has four ("n'y a-t-il"). In the order of the alphabet they are labels."""
MIN_GREEK = 3
"""Greek letters in a row that are a word and no formula."""
MAX_MIXED = 4
"""Most words that mix Greek letters or digits into Latin ones."""

_MARKS = r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_SINGLES = re.compile(rf"(?<![^\W\d_])[A-Za-z](?:(?:[^\w+=<>≤≥≈×÷/^]|_){{1,4}}[A-Za-z](?![^\W\d_])){{{MAX_SINGLES},}}")
_LETTER = re.compile("[A-Za-z]")
# Made of no ASCII letter and a mark, to Unicode.
_LOOK_ALIKES = {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "ð": "d", "þ": "th", "ħ": "h"}
_GREEK = "\u0370-\u03ff\u1f00-\u1fff"
_GREEK_WORD = re.compile(f"[{_GREEK}]{{{MIN_GREEK}}}")
_MIXED = re.compile(rf"[A-Za-z]{{2,20}}[{_GREEK}]|[{_GREEK}][A-Za-z]{{2,20}}|[A-Za-z]\d{{1,3}}[A-Za-z]")
# White letters on black and those that flags are made of, which NFKC leaves as they are.
_EMOJI_LETTER = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f1e6-\U0001f1ff]")
_EMOJI_STARTS = (0x1F150, 0x1F170, 0x1F1E6)


def is_disguised(text: str, language: Language) -> bool:
    """True for a text that shows words of some language without writing them in it. Linear in the text."""
    if _GREEK_WORD.search(text) or _is_spelled_out(text):
        return True
    if len(set(_MIXED.findall(text))) > MAX_MIXED:
        return True
    return num_strange_letters(text, language) > MAX_STRANGE_LETTERS


def normal(text: str) -> str:
    """NFKC: full-width, mathematical and circled letters are the letters that they look like, and so are emoji."""
    return _EMOJI_LETTER.sub(_letter_of, unicodedata.normalize("NFKC", text))


def num_strange_letters(text: str, language: Language) -> int:
    """Latin letters, and letters of the language's script, outside its alphabet; marks that compose with no letter."""
    strange = _strange(language)
    if not strange.search(text):
        return 0
    return sum(len(strange.findall(word)) for word in set(_words(language.scripts).findall(text.lower())))


def in_plain_letters(text: str, language: Language) -> str:
    """The text with strange letters as the ASCII letters that they are made of, where they are, and without marks."""
    return _strange(language).sub(_plain_letter, text)


def _letter_of(emoji: re.Match[str]) -> str:
    start = max(start for start in _EMOJI_STARTS if start <= ord(emoji[0]))
    return chr(ord("A") + ord(emoji[0]) - start)


def _is_spelled_out(text: str) -> bool:
    for run in _SINGLES.finditer(text):
        letters = _LETTER.findall(run[0].lower())
        if letters != sorted(letters):
            return True
    return False


def _plain_letter(found: re.Match[str]) -> str:
    base = unicodedata.normalize("NFD", found[0])[0]
    if base.isascii():
        return base
    return "" if unicodedata.combining(base) else _LOOK_ALIKES.get(base, base)


@cache
def _strange(language: Language) -> re.Pattern[str]:
    """Return the pattern of one strange letter, or of marks behind a letter; marks of the alphabet are not strange."""
    known = language.alphabet
    own = "" if known is None else letter_range(language.scripts)
    return re.compile(
        rf"(?![A-Za-z{known or ''}])[{letter_range(('Latin',))}{own}]"
        rf"|(?<=[^\W\d_])(?:{f'(?![{known}])' if known else ''}[{_MARKS}])+"
    )


@cache
def _words(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    latin, own = letter_range(("Latin",)), letter_range(scripts)
    return re.compile(rf"(?:[{latin}][{_MARKS}]*)+|[{own}{_MARKS}]+")
