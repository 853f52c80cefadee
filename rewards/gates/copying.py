"""Is the reasoning just the question written again?

Owns that gate. Quoting the question and then solving it is fine, and so is a solution in the question's own words: it
shuts only where nearly all of the reasoning stands in the question and nothing is worked out. Knows text only.
"""

import re

from rewards.gates.identify import MAX_CHARACTERS
from rewards.reading import Reading
from rewards.texts.phrases import phrase_length, phrases, tokens_of

PHRASE_WORDS = 3
"""Words of a phrase that counts as copied; in Chinese, Japanese and Thai twice as many characters."""
MAX_COPIED_SHARE = 0.8
"""Largest share of the reasoning's words inside such phrases."""
MIN_NEW_NUMBERS = 2
"""Numbers that the question doesn't have, of which one may be the answer, that show a step without an equation."""

_EQUATION = re.compile(r"\d[^\w\n=]{0,3}[+\-*/×÷·−–=≈x][^\w\n]{0,3}\d")


class CopyingGate:
    """Open where something is said or worked out that the question doesn't say."""

    name = "copying"

    def is_open(self, reading: Reading) -> bool:
        """Open for an empty question, which nothing can be copied from."""
        reasoning, question = reading.reasoning[:MAX_CHARACTERS], reading.task.question[:MAX_CHARACTERS]
        if works_something_out(reasoning, question):
            return True
        return copied_share(reasoning, question, reading.task.language) <= MAX_COPIED_SHARE


def works_something_out(reasoning: str, question: str) -> bool:
    """An equation or several numbers that the question doesn't have."""
    if set(_EQUATION.findall(reasoning)) - set(_EQUATION.findall(question)):
        return True
    new = {token for token in tokens_of(reasoning) if token.isdecimal()} - set(tokens_of(question))
    return len(new) >= MIN_NEW_NUMBERS


def copied_share(reasoning: str, question: str, language: str) -> float:
    """Share of the reasoning's tokens that stand in a phrase of the question; 0 of an empty text."""
    length = phrase_length(PHRASE_WORDS, language)
    tokens = tokens_of(reasoning)
    known = set(phrases(tokens_of(question), length))
    is_copied = [False] * len(tokens)
    for start, phrase in enumerate(phrases(tokens, length)):
        if phrase in known:
            is_copied[start : start + length] = [True] * length
    return sum(is_copied) / len(tokens) if tokens else 0.0
