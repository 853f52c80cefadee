"""Does a response have the form that was asked for: some reasoning, then exactly one final answer, then nothing much?

Owns that gate. The pay-off of gaming it is closed by counting: two declarations shut it, even of the same number, and
so does a second number or a long text behind the answer. Knows text only.
"""

from collections.abc import Sequence

from rewards.answers import DeclaredAnswer
from rewards.numbers import nfc

MIN_REASONING_LETTERS = 4
"""Least letters of reasoning: an answer alone shows none. Few, because one short equation in words may be enough."""
MAX_TAIL_LETTERS = 40
"""Most letters behind the answer's number: room for a unit ("dollars a day", "個です"), not for more sentences."""


def format_is_open(text: str, declared: Sequence[DeclaredAnswer], reasoning: str) -> bool:
    """True for one declared answer behind at least a few letters of reasoning, with at most a unit after it."""
    if len(declared) != 1 or num_letters(reasoning) < MIN_REASONING_LETTERS:
        return False
    tail = nfc(text)[declared[0].end :]
    return num_letters(tail) <= MAX_TAIL_LETTERS and not any(character.isdecimal() for character in tail)


def num_letters(text: str) -> int:
    return sum(character.isalpha() for character in text)
