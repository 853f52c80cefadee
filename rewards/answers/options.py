"""Read option letters, A to J, in the ways in which multiple-choice answers are written.

Text is folded, so full-width letters are plain. Letters of other scripts (Cyrillic В, Thai ข) are not read: which
option they name differs from one exam to the next.
"""

import re
from dataclasses import dataclass
from functools import cache

from languages.facts import builtin_languages
from languages.language import Language

LETTERS = "ABCDEFGHIJ"
MAX_CHOICE = 60
"""Most characters of the choice's own text that may follow its letter: "(B) 15 apples"."""

_CLOSED = re.compile(r"\s?\*{0,2}[)\]}]")
# What may follow a bare letter. "A dog" and "I think" are words, so those two letters need a mark or the end.
_ENDS = re.compile(r"[\s\"'”“»」`$}*_]{0,9}(?:\Z|\n|[)\]:;,、。，/|]|\.(?!\d)|[^\W\d_A-Za-zÀ-ɏ])")
_GOES_ON = re.compile(r"[*_]{0,3}\s{1,3}(?:[a-zà-ɏ(]|[-–—]\s?[^\W\d])")
_ABBREVIATION = re.compile(r"\.[A-Za-z]")
_TAIL = re.compile(r"[)\]}*_\"'”»」`$]{0,8}")
_CHOICE = re.compile(rf"[:]?[^\S\n]{{0,3}}[^\n]{{0,{MAX_CHOICE}}}\Z")
_ANOTHER = re.compile(
    r"\s{0,2}(?:[,/&、]|[^\W\d_]{1,5})\s{0,2}(?P<open>\()?(?P<letter>[A-J])(?(open)\)|(?![A-Za-zÀ-ɏ\d'’]))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionSpan:
    """Hold an option letter found in folded text. The end is after its brackets and after the choice's own text."""

    value: str  # "A" to "J"
    start: int
    end: int


def find_options(folded: str, start: int, end: int, language: Language) -> list[OptionSpan]:
    """Return the option at `start` and those listed with it ("B or C"); an empty list without an option there."""
    first = _first(language).match(folded, start, end)
    if first is None:
        return []
    tail = _letter_end(first, folded, end)
    if tail is None:
        return []
    spans = [_span(first, folded, tail, end)]
    while len(spans) < len(LETTERS) and (another := _ANOTHER.match(folded, spans[-1].end, end)):
        spans.append(_span(another, folded, another.end(), end))
    return [_with_choice(spans[0], folded, end)] if len(spans) == 1 else spans


@cache
def _first(language: Language) -> re.Pattern[str]:
    """Return the pattern of the first option: perhaps a built-in language's word for it, and a letter."""
    words = [word for known in (*builtin_languages().values(), language) for word in known.option_words]
    return re.compile(
        r"[\s:*_\"'“”„«「`$]{0,20}"
        rf"(?:(?:\w{{1,4}}[ '’])?(?i:{'|'.join(map(re.escape, words))})[\s:*_]{{0,5}})?"
        r"(?:\\(?:text|textbf|mathrm|mathbf|bf)\{)?[\s*_]{0,5}"
        r"(?:(?P<open>[(\[{])\s?\*{0,2})?(?P<letter>[A-J])"
    )


def _letter_end(first: re.Match[str], folded: str, end: int) -> int | None:
    """Return the offset after the letter and its bracket; None where it begins a word, a formula or a sentence."""
    if first["open"]:
        closed = _CLOSED.match(folded, first.end(), end)
        return closed.end() if closed else None
    if _ABBREVIATION.match(folded, first.end()):
        return None
    if _ENDS.match(folded, first.end(), end):
        return first.end()
    goes_on = first["letter"] not in "AI" and _GOES_ON.match(folded, first.end(), end)
    return first.end() if goes_on else None


def _span(match: re.Match[str], folded: str, position: int, end: int) -> OptionSpan:
    tail = _TAIL.match(folded, position, end)
    return OptionSpan(value=match["letter"], start=match.start("letter"), end=tail.end() if tail else position)


def _with_choice(span: OptionSpan, folded: str, end: int) -> OptionSpan:
    """Return the span with the choice's own text, where that follows a bracket or colon: it is no second answer."""
    is_marked = folded[span.end - 1 : span.end] in ")]" or folded[span.end : span.end + 1] == ":"
    choice = _CHOICE.match(folded, span.end, end) if is_marked else None
    return span if choice is None else OptionSpan(value=span.value, start=span.start, end=choice.end())
