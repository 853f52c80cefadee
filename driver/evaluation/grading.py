"""Read the answer of a response as the rewards read it, and compare it with the gold answer.

A declared final answer counts. Without one, a response that is clear all the same counts too: by its last number where
a number is asked for, by a letter that stands alone where a letter is. An answer that is hedged or negated ("at least
18", "not 18", "18 or 20") is not right.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from driver.evaluation.sets.item import LETTERS, Item
from driver.language_names import has_file
from driver.problems.logic.checker import means
from rewards.answers.final import (
    DeclaredAnswer,
    answer_of,
    declared_answers,
    kind_of,
    last_number,
    plain_answer,
    same_answer,
)
from rewards.reading import PIVOT_LANGUAGE

MAX_PLAIN = 120
"""Longest line, in characters, that can be nothing but an option: its letter, perhaps with the option's text."""

_LAST_LETTER = re.compile(r"(?:[:：]\s*|\()\**(?P<letter>[A-J])\**\)?[.。।]?\Z")
"""A line that ends with a letter behind a colon or in brackets, in whatever language the words before it are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """Hold how one response was graded."""

    answer: str  # canonical; "" where none was found
    is_correct: bool
    is_declared: bool  # the response declares a final answer


def grade(response: str, item: Item) -> Grade:
    """Grade a response without its thinking."""
    language = item.language if has_file(item.language) else PIVOT_LANGUAGE
    declared = declared_answers(response, language)
    if item.is_clause:
        clause = answer_of(declared) or ""
        return Grade(answer=clause, is_correct=means(clause, item.gold, language), is_declared=bool(declared))
    answer = _letter(response, declared, item, language) if item.options else _value(response, declared, item, language)
    is_correct = answer == item.gold if item.options else bool(answer) and same_answer(answer, item.gold)
    return Grade(answer=answer, is_correct=is_correct, is_declared=bool(declared))


def _value(response: str, declared: Sequence[DeclaredAnswer], item: Item, language: str) -> str:
    """Return the declared answer; without one the last number, where a number is asked for."""
    if (answer := answer_of(declared)) is not None:
        return answer
    return (last_number(response, language) or "") if kind_of(item.gold) == "number" else ""


def _letter(response: str, declared: Sequence[DeclaredAnswer], item: Item, language: str) -> str:
    """Return the letter of the option that a response chooses; "" where that is not clear."""
    letters = LETTERS[: len(item.options)]
    if (answer := answer_of(declared)) is not None:
        named_at_once = {other.value for other in declared if other.start == declared[-1].start}
        if answer not in letters:
            return _named(answer, item, language)
        return answer if len(named_at_once) == 1 else ""
    line = next((line.strip() for line in reversed(response.splitlines()) if line.strip()), "")
    found = plain_answer(line, language) if len(line) <= MAX_PLAIN else None
    if found is not None and found in letters:
        return found
    if found is not None and (named := _named(line, item, language)):
        return named
    last = _LAST_LETTER.search(line)
    return last["letter"] if last and last["letter"] in letters else ""


def _named(answer: str, item: Item, language: str) -> str:
    """Return the letter of the one option that an answer spells out; "" where there is none, or several."""
    canonical = {answer, plain_answer(answer, language) or answer}
    options = [plain_answer(option, language) or option for option in item.options]
    found = [
        letter
        for letter, option in zip(LETTERS, options, strict=False)
        if any(same_answer(value, option) for value in canonical)
    ]
    return found[0] if len(found) == 1 else ""
