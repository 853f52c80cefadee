"""Whether a reasoning works with the reference's numbers.

Owns the part "numbers": an embedding hardly sees a wrong number inside a reasoning, and the answer part sees only the
last one. Compares values, not spellings: digits of any script and grouping, and small numbers that are spelled out. And
whether its equations hold (rewards/answers/equations.py).
Must not know which of the numbers is the answer.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache

from languages.facts import LANGUAGES
from rewards.answers.equations import true_share
from rewards.answers.numbers import find_numbers, fold
from rewards.reading import PIVOT_LANGUAGE, Reading

FREE_WORDS = 2
"""Number words beside the reference's that cost nothing: "los dos" is "both"."""

_LIST_MARK = re.compile(r"(?m)^[ \t*_#>(-]*(?:[^\W\d]+ ?)?\d{1,2}(?:\)|\.|:)[*_]*(?=\s|$)")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_WITHOUT_WORD_BREAKS = ("zh", "ja", "th")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a text, without signs: a minus before a number is as often an operator."""

    digits: Counter[str]  # canonical value -> how often it is written in digits
    words: Counter[str]  # the same of small numbers that are spelled out


def number_coverage(reading: Reading) -> float:
    """[0, 1]: how well the numbers of the response's reasoning are those of the reference's.

    The mean of two F1 (harmonic means of precision and recall): of the sets of values, and of the values as often as
    they are written. The first makes a number that is missing or made up cost, however often the others are
    repeated; the second makes a change cost that ends in another number of the reference. Only numbers in digits are
    asked for; a number word helps where the other text has its value, and more than FREE_WORDS values in words that the
    reference doesn't have cost as if written in digits. Numbers of list items and steps ("1.", "Step 2:") don't count.

    A reference without numbers asks for none: 1 without numbers in digits, else less the more of them the reference
    doesn't have. All of it is multiplied by the share of the response's equations that hold: the right numbers in
    `6 + 3 = 18` are not right.
    """
    response = find_text_numbers(reading.reasoning, reading.task.language)
    reference = _reference_numbers(reading.task.reference_reasoning)
    covered = (coverage(_once(response), _once(reference)) + coverage(response, reference)) / 2
    return covered * true_share(reading.reasoning, reading.task.language)


def coverage(response: Numbers, reference: Numbers) -> float:
    """F1 of two multisets of numbers."""
    precision = _covered(response.digits, reference, extra=_made_up_words(response, reference))
    recall = _covered(reference.digits, response, extra=0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def find_text_numbers(text: str, language: str) -> Numbers:
    """The numbers of a text in a language.

    Raises:
        ValueError: a language that the project doesn't have.
    """
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}; known are {', '.join(LANGUAGES)}")
    # 20 / 4 and 20 ÷ 4 are the same two numbers.
    folded = _FRACTION.sub(r"\1 ÷ \2", _LIST_MARK.sub("", fold(text))).replace("/", "÷")
    spans = find_numbers(folded, LANGUAGES[language])
    pattern = _word_pattern(language)
    words = [] if pattern is None else pattern.findall(folded.lower())
    values = LANGUAGES[language].small_numbers
    return Numbers(
        digits=Counter(span.value.removeprefix("-") for span in spans),
        words=Counter(str(values[word]) for word in words),
    )


@lru_cache(maxsize=256)
def _reference_numbers(text: str) -> Numbers:
    """Of a text that comes again with every response of its item."""
    return find_text_numbers(text, PIVOT_LANGUAGE)


def _once(numbers: Numbers) -> Numbers:
    return Numbers(digits=Counter(set(numbers.digits)), words=Counter(set(numbers.words)))


def _covered(digits: Counter[str], other: Numbers, *, extra: int) -> float:
    """Share of the numbers in digits, and of `extra` others, that the other text has too; 1 where there are none."""
    total = digits.total() + extra
    return (digits & (other.digits + other.words)).total() / total if total else 1.0


def _made_up_words(response: Numbers, reference: Numbers) -> int:
    """Values in words that the reference doesn't have, beyond the free ones: a list of all numbers must not pay."""
    return max(0, len(set(response.words) - set(reference.digits) - set(reference.words)) - FREE_WORDS)


@cache
def _word_pattern(language: str) -> re.Pattern[str] | None:
    words = sorted((fold(word) for word in LANGUAGES[language].small_numbers), key=len, reverse=True)
    if not words:
        return None
    joined = "|".join(map(re.escape, words))
    return re.compile(joined if language in _WITHOUT_WORD_BREAKS else rf"(?<!\w)(?:{joined})(?!\w)")
