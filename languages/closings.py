"""Turn the closing phrases of a language file into regular expressions.

A phrase in a file is written in words: `[x]` may be left out, `(x|y)` is x or y, and every other character stands for
itself. A pattern in a file is a regular expression in which the names in braces of `PLACEHOLDERS` may be used.

All expressions are meant for text in which full-width forms and digits were made ASCII, and are matched without regard
to case. No repetition in them is unbounded, so that each takes time linear in the text.
"""

import re
from collections.abc import Iterator, Sequence

STOPS = "।\u0589\u06d4\u0f0d\u0f0e\u104b\u1362\u1367\u17d4\u17d5"
"""Marks that end a sentence, for a regular expression's brackets: Indic, Armenian, Urdu, Tibetan (two), Burmese,
Ethiopic (two) and Khmer (two)."""

# A label such as "Answer:" counts at the start of a line, sentence or quotation and behind a colon only: MGSM's own
# "Step-by-Step Answer:" opens the reasoning and declares nothing.
_BULLET = r"[-–•*_#>+¡¿ ]{0,9}(?:\\text(?:bf)?\{)?(?:\d{1,2}[.)] ?)?[*_]{0,3}"
_LABEL = rf"(?:(?m:^)|(?<=[.!?。:「『“\"({STOPS}]))[^\S\n]{{0,9}}{_BULLET}"
_LINE = rf"(?m:^)[^\S\n]{{0,9}}{_BULLET}"
_EMPHASIS = r"[*_ ]{0,9}"
# A number with at most a unit. "1. First" and "2) Then" go on behind the mark of a list, "5 + 6" with another number.
_NUMBER = rf"[^\w\n]{{0,12}}\d(?:[\d.,'/ ]{{0,40}}\d)?[^\d\n.!?。{STOPS})]{{0,30}}[^\w\n]{{0,9}}"
_ALONE = rf"(?={_NUMBER}(?m:$))"

_LAST_LINE = r"(?!\d{1,2}[.)] )(?=[^\n]{1,300}\s{0,9}\Z)"

PLACEHOLDERS = {"label": _LABEL, "line": _LINE, "emphasis": _EMPHASIS, "number": _NUMBER, "alone": _ALONE}
"""label: the start of a line or sentence. line: the start of a line. emphasis: Markdown's stars and spaces, or nothing.
number: a number with at most a unit. alone: what follows is a number with at most a unit, and then the line ends."""

_WORD_SYNTAX = re.compile(r"[\[\]()|]")
_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")
_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")


def check_words(text: str) -> str:
    """Return the words of a phrase as they are.

    Raises:
        ValueError: the phrase is empty, or its brackets don't fit together.
    """
    if not text.strip():
        raise ValueError("it is empty; write the words, or leave it out")
    open_brackets: list[str] = []
    for bracket in _WORD_SYNTAX.findall(text):
        if bracket in "[(":
            open_brackets.append(bracket)
        elif bracket == "|":
            if not open_brackets:
                raise ValueError(f"{text!r} has a | outside brackets; write (one|other)")
        elif not open_brackets or open_brackets.pop() + bracket not in ("[]", "()"):
            raise ValueError(f"{text!r} has a {bracket} that closes nothing")
    if open_brackets:
        raise ValueError(f"{text!r} has a {open_brackets[-1]} that is never closed")
    return text


def check_pattern(pattern: str) -> str:
    """Return a pattern as it is.

    Raises:
        ValueError: the pattern is no regular expression, uses an unknown placeholder, or repeats without a bound.
    """
    if unknown := set(re.findall(r"\{([a-z_]+)\}", pattern)) - set(PLACEHOLDERS):
        raise ValueError(f"unknown placeholder {{{min(unknown)}}}; there are {', '.join(PLACEHOLDERS)}")
    if _UNBOUNDED.search(_CLASS.sub("", pattern)):
        raise ValueError(f"{pattern!r} repeats without a bound; write {{0,9}} for *, and {{1,9}} for +")
    try:
        re.compile(_filled(pattern))
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


def closing_patterns(
    *,
    phrases: Sequence[str],
    patterns: Sequence[str],
    labels: Sequence[str],
    headings: Sequence[str],
    results: Sequence[str],
    has_spaces: bool,
) -> Iterator[str]:
    """Yield the regular expressions of a language; each ends where the answer begins.

    `has_spaces` tells whether spaces separate the language's words: a phrase then begins and ends with a whole word.
    """
    before, after = (r"(?<!\w)", r"(?!\w)") if has_spaces else ("", "")
    for words in phrases:
        yield f"{before}{_words(words)}{after}:?"
    yield from map(_filled, patterns)
    for words in labels:
        yield f"{_LABEL}{_words(words)}{_EMPHASIS}[:=]"
    for words in headings:  # a line of its own, "### Answer", above a line of nothing but the number or above the last
        yield rf"{_LINE}{_words(words)}{_EMPHASIS}(?:\n[^\S\n]{{0,9}}){{1,3}}(?:{_ALONE}|{_LAST_LINE})"
    for words in results:  # they count only where the number ends the text
        colon = f"{_EMPHASIS}:" if words.endswith(":") else ":?"
        yield rf"{_LINE}{_words(words.removesuffix(':'))}{colon}[*_\s]{{0,9}}(?={_NUMBER}\s{{0,9}}\Z)"


def _words(text: str) -> str:
    parts = {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|"}
    return "(?:" + "".join(parts.get(character) or re.escape(character) for character in text) + ")"


def _filled(pattern: str) -> str:
    for name, meaning in PLACEHOLDERS.items():
        pattern = pattern.replace(f"{{{name}}}", meaning)
    return pattern
