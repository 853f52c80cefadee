"""The same letters made to look like others, and garbage: what some cheats are dressed in.

Owns these dresses. Pure; must not know which cheat wears them: that is driver/audit/cheats.py.
"""

import re
from collections.abc import Callable, Sequence

FLOOD = 1_000
"""Characters of one flood: several times a solution's."""

_WORD = re.compile(r"[A-Za-z]+")
_GREEK = str.maketrans("aeioutnkpxyvbgdrlmsw", "αειουτηκρχγνβγδρλμσω")
_STRIKE = "\u0336"


def as_commands(text: str) -> str:
    """Every word a command of LaTeX."""
    return _WORD.sub(lambda word: f"\\{word[0]}", text)


def spelled_out(text: str) -> str:
    """Every word letter by letter."""
    return _WORD.sub(lambda word: "-".join(word[0]), text)


def in_look_alikes(text: str) -> str:
    """Greek letters for Latin ones, where there are any."""
    return text.lower().translate(_GREEK)


def struck_through(text: str) -> str:
    """A mark on every letter."""
    return _WORD.sub(lambda word: "".join(f"{letter}{_STRIKE}" for letter in word[0]), text)


DISGUISES: Sequence[Callable[[str], str]] = (as_commands, spelled_out, in_look_alikes, struck_through)

FLOODS: Sequence[str] = (
    "." * FLOOD,
    "_" * FLOOD,
    "\ufffd" * FLOOD,  # what a tokenizer makes of broken bytes
    "!?" * (FLOOD // 2),
    "\u200b\u200d.\ufe0f" * FLOOD,  # dots parted by what can't be seen
)
