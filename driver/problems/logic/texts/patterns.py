"""Read patterns of clauses: words with optional parts [x] and alternatives (x|y), and placeholders such as {a:gen}.

A pattern is said in one way, with its optional parts left out and its first alternatives, and recognised in all.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

_SYNTAX = re.compile(r"\{[^{}]*\}|[\[\]()|]")
_INNERMOST = re.compile(r"\[[^\[\]()]*\]|\(([^\[\]()|]*)(?:\|[^\[\]()]*)?\)")
_FIELD = re.compile(r"\{(\w+)(?::(\w+))?\}")

Forms = Callable[[str, str], str]
"""Give the text of a role in a form: ("a", "gen"); the form is "" where the pattern names none."""


def said(pattern: str, forms: Forms) -> str:
    """Return what a pattern says, with its placeholders filled."""
    while (match := _INNERMOST.search(pattern)) is not None:
        pattern = pattern[: match.start()] + (match[1] or "") + pattern[match.end() :]
    return filled(pattern, forms)


def filled(text: str, forms: Forms) -> str:
    """Return a text without alternatives, with its placeholders filled."""
    return _FIELD.sub(lambda match: forms(match[1], match[2] or ""), text)


def recogniser(pattern: str, forms: Forms) -> str:
    """Return the regular expression that recognises a pattern in text that `plain` made.

    `forms` gives the regular expression of a placeholder.
    """
    signs = {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|"}
    parts: list[str] = []
    end = 0
    for match in _SYNTAX.finditer(pattern):
        field = _FIELD.fullmatch(match[0])
        parts.append(re.escape(plain(pattern[end : match.start()])))
        parts.append(signs[match[0]] if field is None else forms(field[1], field[2] or ""))
        end = match.end()
    return "".join([*parts, re.escape(plain(pattern[end:]))])


@cache
def plain(text: str) -> str:
    """Return the letters, marks and digits of a text in one case: neither blanks nor punctuation tell clauses apart."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")
