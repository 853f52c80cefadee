"""Tell whether a number is stated as the answer, or only hedged: "not 18", "at least 18", "18 or 20", "18-20", "≥ 18".

The words are facts of the language. All offsets are in folded text.
"""

import re
from functools import cache

from languages.language import Language
from rewards.answers.numbers import NumberSpan, find_number
from rewards.answers.scales import alternatives, word_end

WINDOW = 40
"""Characters before and behind a number that are read."""

# Markup, quotes and currency signs between a word and its number.
_THIN = r"[\s*_\"'“”„«»「」`$(\[{\\€£¥₹]{0,9}"
_COMPARED = re.compile(rf"(?:[<>≤≥≠±∓]|\\(?:le|leq|ge|geq|ne|neq|lt|gt|pm|mp|leqslant|geqslant)\b|[<>!]=|=/=){_THIN}\Z")
_CLOSED = r"[ *_\"'“”»」`$)\]}\\]{0,9}"
_UNIT = r"(?:\\(?:text|mathrm)\{[^{}]{0,20}\}|[^\s\d.,;:!?()|。、]{1,20}?)?"
_DASHES = r"[-–—~/,;、]|\\(?:sim|ldots)|\.\.\.?"


def is_hedged(folded: str, number: NumberSpan, language: Language) -> bool:
    """Return whether words or a sign right at the number make it no answer."""
    before = folded[max(0, number.start - WINDOW) : number.start]
    if _before(language).search(before) or _COMPARED.search(before):
        return True
    pattern = _behind(language)
    return pattern is not None and pattern.match(folded, number.end, number.end + WINDOW) is not None


def other_choice(folded: str, number: NumberSpan, language: Language, stop: int) -> NumberSpan | None:
    """Return the number that is offered beside `number`, as in "18 or 20" and "18-20"; None without one."""
    link = _link(language).match(folded, number.end, min(stop, number.end + 2 * WINDOW))
    if link is None:
        return None
    other = find_number(folded, language, link.end(), stop)
    return other if other is not None and not _has_word(folded[link.end() : other.start]) else None


def follows_choice_word(folded: str, number: NumberSpan, language: Language) -> bool:
    """Return whether a word such as "or" stands right before the number."""
    before = folded[max(0, number.start - WINDOW) : number.start]
    return _choice_before(language).search(before) is not None


def _has_word(text: str) -> bool:
    return any(map(str.isalpha, text))


@cache
def _before(language: Language) -> re.Pattern[str]:
    begin = r"(?<!\w)" if language.has_spaces else ""
    return re.compile(rf"{begin}(?:{alternatives(language.hedges)}):?{_THIN}\Z", re.IGNORECASE)


@cache
def _behind(language: Language) -> re.Pattern[str] | None:
    if not language.hedges_behind:
        return None
    end = word_end(language)
    words = alternatives(language.hedges_behind)
    return re.compile(rf"{_CLOSED}{_UNIT}{_CLOSED}(?:{words}){end}", re.IGNORECASE)


@cache
def _link(language: Language) -> re.Pattern[str]:
    words = alternatives((*language.range_words, language.or_word))
    spaced = rf"\s(?:{words})\s" if language.has_spaces else rf"(?:{words})"
    return re.compile(rf"{_CLOSED}{_UNIT}{_CLOSED}(?:{spaced}|{_DASHES}){_THIN}(?=[^\W_]|[-.])", re.IGNORECASE)


@cache
def _choice_before(language: Language) -> re.Pattern[str]:
    words = alternatives((*language.range_words, language.or_word))
    begin = r"(?<!\w)" if language.has_spaces else ""
    return re.compile(rf"{begin}(?:{words}){_THIN}\Z", re.IGNORECASE)
