"""Refuse a reasoning that only copies the question.

Quoting the question and then solving it is allowed, and so is a solution in the question's own words. The gate shuts
only where nearly all of the reasoning is text of the question and nothing is worked out.
"""

import re

from rewards.gates.identify import MAX_CHARACTERS
from rewards.reading import Reading
from rewards.texts.phrases import phrase_length, phrases, tokens_of

PHRASE_WORDS = 3
"""Words of a phrase that counts as copied; twice as many characters where words have no spaces between them."""
MAX_COPIED_SHARE = 0.8
"""Largest share of the reasoning's words inside copied phrases."""
MIN_NEW_NUMBERS = 2
"""Least number of numbers that the question lacks that show a step without an equation. One may be the answer."""

# A unit may stand behind a number: "5 laps + 6 laps = 11 laps".
_EQUATION = re.compile(r"\d[^\d\n=+]{0,20}?(?:[+*/×÷·−–=≈]|(?<![^\W\d_])[-x])[^\w\n]{0,3}\d")


class CopyingGate:
    """Shut where a reasoning says and works out nothing beyond the question."""

    name = "copying"

    def is_open(self, reading: Reading) -> bool:
        """Return whether the reasoning is more than a copy. Nothing can be copied from an empty question."""
        reasoning, question = reading.reasoning[:MAX_CHARACTERS], reading.task.question[:MAX_CHARACTERS]
        if works_something_out(reasoning, question):
            return True
        return copied_share(reasoning, question, reading.task.language) <= MAX_COPIED_SHARE


def works_something_out(reasoning: str, question: str) -> bool:
    """Return whether the reasoning has an equation, or MIN_NEW_NUMBERS numbers, that the question lacks."""
    if set(_EQUATION.findall(reasoning)) - set(_EQUATION.findall(question)):
        return True
    new = {token for token in tokens_of(reasoning) if token.isdecimal()} - set(tokens_of(question))
    return len(new) >= MIN_NEW_NUMBERS


def copied_share(reasoning: str, question: str, language: str) -> float:
    """Return the share of the reasoning's tokens that stand in a phrase of the question; 0 for an empty reasoning."""
    length = phrase_length(PHRASE_WORDS, language)
    tokens = tokens_of(reasoning)
    known = set(phrases(tokens_of(question), length))
    is_copied = [False] * len(tokens)
    for start, phrase in enumerate(phrases(tokens, length)):
        if phrase in known:
            is_copied[start : start + length] = [True] * length
    return sum(is_copied) / len(tokens) if tokens else 0.0
