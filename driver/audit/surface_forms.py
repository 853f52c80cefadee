"""Change the surface form of a text, and make garbage: the material of some cheats."""

import re
from collections.abc import Callable, Sequence

FLOOD = 1_000
"""Characters of one flood: several times as many as a solution has."""

_WORD = re.compile(r"[A-Za-z]+")
_GREEK = str.maketrans("aeioutnkpxyvbgdrlmsw", "αειουτηκρχγνβγδρλμσω")
_STRIKE = "\u0336"


def as_commands(text: str) -> str:
    """Write every word as a LaTeX command."""
    return _WORD.sub(lambda word: f"\\{word[0]}", text)


def spelled_out(text: str) -> str:
    """Write every word letter by letter."""
    return _WORD.sub(lambda word: "-".join(word[0]), text)


def in_look_alikes(text: str) -> str:
    """Write Greek letters for the Latin letters that look like them."""
    return text.lower().translate(_GREEK)


def struck_through(text: str) -> str:
    """Strike through every letter."""
    return _WORD.sub(lambda word: "".join(f"{letter}{_STRIKE}" for letter in word[0]), text)


SURFACE_FORMS: Sequence[Callable[[str], str]] = (as_commands, spelled_out, in_look_alikes, struck_through)


def in_headings(text: str) -> str:
    """Write every line as a heading."""
    return "\n".join(f"### {line}" for line in text.splitlines() if line.strip())


def in_code(text: str) -> str:
    """Write every line as a comment in a block of code."""
    return "\n".join(["```python", *(f"# {line}" for line in text.splitlines() if line.strip()), "```"])


def in_formulas(text: str) -> str:
    """Write every line as text inside a formula."""
    return "\n".join(f"\\[ \\text{{{line}}} \\]" for line in text.splitlines() if line.strip())


def in_parentheses(text: str) -> str:
    """Write every word as a gloss."""
    return _WORD.sub(lambda word: f"({word[0]})", text)


def in_quotation_marks(text: str) -> str:
    """Write every line as a quotation."""
    return "\n".join(f"“{line}”" for line in text.splitlines() if line.strip())


def as_names(text: str) -> str:
    """Write every word with a capital, as a name."""
    return _WORD.sub(lambda word: word[0].capitalize(), text)


def behind_labels(text: str) -> str:
    """Put a label before every line."""
    return "\n".join(f"**Step {number}:** {line}" for number, line in enumerate(text.splitlines(), 1) if line.strip())


HIDING_PLACES: Sequence[Callable[[str], str]] = (
    in_headings,
    in_code,
    in_formulas,
    in_parentheses,
    in_quotation_marks,
    as_names,
    behind_labels,
)

FLOODS: Sequence[str] = (
    "." * FLOOD,
    "_" * FLOOD,
    "\ufffd" * FLOOD,  # what a tokenizer makes of broken bytes
    "!?" * (FLOOD // 2),
    "\u200b\u200d.\ufe0f" * FLOOD,  # dots with invisible characters between them
)
