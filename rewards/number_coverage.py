"""Compute the part "numbers": does a reasoning work with the reference's numbers, and are its equations true?

An embedding hardly sees a wrong number inside a reasoning, and the part "answer" sees only the last number. Values are
compared, not spellings: digits of any script and grouping, and small numbers that are spelled out.
"""

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from functools import cache, lru_cache

from languages.facts import known_language
from languages.language import Language
from rewards.answers.equations import true_share
from rewards.answers.numbers import NumberSpan, find_numbers, fold
from rewards.reading import PIVOT_LANGUAGE, Reading

FREE_WORDS = 2
"""Most number words that cost nothing although the reference lacks their values: "los dos" is "both"."""

# Possessive, and a word begins with a letter: else marks that a word may have, too, are tried in all divisions.
_LIST_MARK = re.compile(r"(?m)^[ \t*_#>(-]*+(?:[^\W\d_][^\W\d]*+ ?)?\d{1,2}(?:\)|\.|:)[*_]*(?=\s|$)")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


@dataclass(frozen=True, slots=True)
class Numbers:
    """Count the numbers of a text, without signs: a minus before a number is as often an operator."""

    digits: Counter[str]  # canonical value -> how often it is written in digits
    words: Counter[str]  # canonical value -> how often it is spelled out; small numbers only


def number_coverage(reading: Reading) -> float:
    """Return in [0, 1] how well the numbers of the response's reasoning match those of the reference's.

    The value is the mean of two F1 (harmonic means of precision and recall), times the share of the response's
    equations that are true: the right numbers in `6 + 3 = 18` are not right. One F1 is over the sets of values: a
    missing or invented number costs, however often the others are repeated. The other F1 counts a value as often as it
    is written: a change into another number of the reference costs too.

    Only numbers in digits are required. A number word counts where the other text has its value. More than FREE_WORDS
    values in words that the reference lacks cost as if written in digits. Numbers of list items and steps ("1.",
    "Step 2:") don't count. A reference without numbers requires none: the F1 is 1 for a reasoning without numbers in
    digits, else lower, the larger the share of its numbers that the reference lacks.
    """
    reference = _reference_numbers(reading.task.reference_reasoning)
    response = find_text_numbers(reading.reasoning, reading.task.language, likely=reference.digits)
    covered = (coverage(_once(response), _once(reference)) + coverage(response, reference)) / 2
    return covered * true_share(reading.reasoning, reading.task.language)


def coverage(response: Numbers, reference: Numbers) -> float:
    """Return the F1 of two multisets of numbers."""
    precision = _covered(response.digits, reference, extra=_made_up_words(response, reference))
    recall = _covered(reference.digits, response, extra=0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def find_text_numbers(text: str, language: str, *, likely: Container[str] = ()) -> Numbers:
    """Return the numbers of a text in a language. Of two readings ("7,425") the one that is `likely` counts, if one is.

    Raises:
        ValueError: the language is unknown.
    """
    known = known_language(language)
    # 20 / 4 and 20 ÷ 4 are the same two numbers.
    folded = _FRACTION.sub(r"\1 ÷ \2", _LIST_MARK.sub("", fold(text))).replace("/", "÷")
    spans = find_numbers(folded, known)
    pattern = _word_pattern(known)
    words = [] if pattern is None else pattern.findall(folded.lower())
    values = known.small_numbers
    return Numbers(
        digits=Counter(_reading(span, likely).removeprefix("-") for span in spans),
        words=Counter(str(values[word]) for word in words),
    )


def _reading(number: NumberSpan, likely: Container[str]) -> str:
    if number.other is not None and number.value not in likely and number.other in likely:
        return number.other
    return number.value


@lru_cache(maxsize=256)
def _reference_numbers(text: str) -> Numbers:
    """Return the numbers of a reference; cached, as it comes again with every response of its problem."""
    return find_text_numbers(text, PIVOT_LANGUAGE)


def _once(numbers: Numbers) -> Numbers:
    """Return the numbers with each value counted once."""
    return Numbers(digits=Counter(set(numbers.digits)), words=Counter(set(numbers.words)))


def _covered(digits: Counter[str], other: Numbers, *, extra: int) -> float:
    """Return the share of `digits` and `extra` further numbers that the other text has too; 1 where there are none."""
    total = digits.total() + extra
    return (digits & (other.digits + other.words)).total() / total if total else 1.0


def _made_up_words(response: Numbers, reference: Numbers) -> int:
    """Return how many values in words the reference lacks, beyond the free ones.

    Without this a list of all number words would earn something.
    """
    return max(0, len(set(response.words) - set(reference.digits) - set(reference.words)) - FREE_WORDS)


@cache
def _word_pattern(language: Language) -> re.Pattern[str] | None:
    words = sorted((fold(word) for word in language.small_numbers), key=len, reverse=True)
    if not words:
        return None
    joined = "|".join(map(re.escape, words))
    return re.compile(rf"(?<!\w)(?:{joined})(?!\w)" if language.has_spaces else joined)
