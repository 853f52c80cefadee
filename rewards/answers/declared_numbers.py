"""The numbers that a declaration comes to: one, if it is clear; more where it says several.

Owns which side of an equation counts ("5 + 6 = 11" comes to its last), that its other sides have to agree, and the
search for a further number beside the first. Reads folded text (rewards/answers/numbers.py). Must not know what
becomes of several numbers.
"""

import re
from fractions import Fraction

from languages.language import Language
from rewards.answers.declarations import Mark
from rewards.answers.equations import true_share
from rewards.answers.numbers import NumberSpan, find_number
from rewards.answers.numerals import find_han_number, find_rare_number

MAX_GAP = 40
"""Most characters between a closing phrase and its number: "The answer is that she makes 18 dollars"."""

_UNIT = r"\s{0,3}(?:\\(?:text|mathrm)\{[^{}]{0,20}\}|[$€£¥₹₽]|[^\W\d]{0,12})\s{0,3}"
# An operator and another number after the first one: "12 + 3 = 15". The answer is behind the last equals sign.
_COMPUTATION = re.compile(
    rf"(?:\}}{{0,3}}{_UNIT}(?:[-+*/×x÷·=≈−–]|\\(?:times|cdot|div|approx)\b)|\s?:)\s{{0,3}}(?:\\?[($€£¥₹]){{0,3}}[-−]?\d"
)
_EQUALS = re.compile(r"[=≈]|\\approx\b")
# Behind a number's digits: it is a factor ("2x", "3\sqrt{2}", "2^5") or a side of a ratio ("3:2"), not the answer.
_GOES_ON = re.compile(
    r"\s?(?:\\(?:sqrt|pi|times|cdot|log|ln|sin|cos|tan)|[√π]|\^(?!\{?\\circ)|:\s?\d)|[abcinpqrtu-z](?![^\W\d_])"
)
_LIST_ITEM = re.compile(r"[.)][^\S\n]{1,3}[^\W\d]")
# Before digits that are an exponent, an index or part of a name: "m^2", "x_1", "CO2".
_INDEXED = re.compile(r"(?:[\^_]\{?\s?|[A-Za-z])\Z")
# Sides that are only about equal, or of powers, roots and functions, are not compared.
_NOT_COMPARED = re.compile(r"[≈^√!|]|\\(?!times|cdot|div|text|mathrm|[$%,; ])")
_WRAPPED = re.compile(r"\\(?:text|mathrm)\{([^{}]{0,20})\}|\\")


def declared_numbers(folded: str, mark: Mark, language: Language) -> list[NumberSpan]:
    """What the mark's content comes to, in order of place: no number, one, or two where it says two.

    Two are: a side of an equation that differs from its last side; another number in the same box; a Roman numeral or a
    number in one character behind the first. Digits in the text behind a phrase are left to who judges that text.
    """
    number = find_han_number(folded, language, mark.opened, mark.stop)
    number = number or find_number(folded, language, mark.opened, mark.stop)
    if number is None or number.start - mark.opened > MAX_GAP or _is_list_item(folded, mark, number):
        return []
    numbers = [number]
    is_equation = mark.is_box and _EQUALS.search(folded, number.end, mark.stop)
    if is_equation or _COMPUTATION.match(folded, number.end, mark.stop):
        numbers = _last_side(folded, mark, number, language)
    if not numbers or _GOES_ON.match(folded, numbers[-1].end, mark.stop):
        return []
    further = _further_number(folded, numbers[-1].end, mark, language)
    return numbers if further is None else [*numbers, further]


def _is_list_item(folded: str, mark: Mark, number: NumberSpan) -> bool:
    """A list below a heading, "Answer:" over "1. First ...", is reasoning."""
    is_first = number.value == "1" and "\n" in folded[mark.content : number.start]
    return is_first and _LIST_ITEM.match(folded, number.end) is not None


def _further_number(folded: str, start: int, mark: Mark, language: Language) -> NumberSpan | None:
    rare = find_rare_number(folded, start, mark.stop)
    while mark.is_box and (number := find_number(folded, language, start, mark.stop)):
        if not _is_indexed(folded, number):
            return number
        start = number.end
    return rare


def _is_indexed(folded: str, number: NumberSpan) -> bool:
    return _INDEXED.search(folded[max(0, number.start - 4) : number.start]) is not None


def _last_side(folded: str, mark: Mark, first: NumberSpan, language: Language) -> list[NumberSpan]:
    """The number behind the last equals sign, and before it one that the equation says it is but is not.

    Nothing without an equals sign: an unfinished computation.
    """
    signs = [first.start, *(sign.end() for sign in _EQUALS.finditer(folded, first.end, mark.stop))]
    last = find_number(folded, language, signs[-1], mark.stop) if len(signs) > 1 else None
    if last is None:
        return []
    if _NOT_COMPARED.search(folded, mark.opened, mark.stop):
        return [last]
    if true_share(folded[first.start : mark.stop], language.code) < 1:
        return [first, last]
    edges = signs[1 if _is_indexed(folded, first) else 0 :]
    sides = [
        _plain_side(folded, start, end, language) for start, end in zip(edges, [*edges[1:], mark.stop], strict=True)
    ]
    other = next((side for side in sides if side is not None and sides[-1] and not _agree(side, sides[-1])), None)
    return [last] if other is None else [other[0], last]


def _plain_side(folded: str, start: int, end: int, language: Language) -> tuple[NumberSpan, str] | None:
    """A side that is nothing but a number, and its unit; None for anything else."""
    number = find_number(folded, language, start, end)
    if number is None or any(map(str.isalnum, folded[start : number.start])):
        return None
    unit = _WRAPPED.sub(r"\1", folded[number.end : end]).strip(" \n*_$=.,")
    return None if any(map(str.isdecimal, unit)) or set("(){}[]").intersection(unit) else (number, unit)


def _agree(side: tuple[NumberSpan, str], last: tuple[NumberSpan, str]) -> bool:
    """Equal, or rounded to the last side's decimals; different units can't be compared ("120 minutes = 2 hours")."""
    (number, unit), (last_number, last_unit) = side, last
    if unit and last_unit and unit != last_unit:
        return True
    _, _, decimals = last_number.value.partition(".")
    is_rounded = decimals or ("/" in number.value and "/" not in last_number.value)
    slack = Fraction(1, 2 * 10 ** len(decimals)) if is_rounded else 0
    return any(abs(x - y) <= slack for x in _readings(number) for y in _readings(last_number))


def _readings(number: NumberSpan) -> tuple[Fraction, ...]:
    value = Fraction(number.value)
    return (value, value / 100) if number.is_percent else (value,)
