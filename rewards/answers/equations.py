"""Check whether the equations of a reasoning are true.

Finds `a + b × c = d` in running text and works it out: a text can have all the right numbers and still say
`6 + 3 = 18`. What can't be worked out (brackets, percents, unknowns, units that change) is no equation here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from languages.facts import known_language
from rewards.answers.numbers import NumberSpan, find_numbers, fold

TOLERANCE = Fraction(1, 100)
"""Largest relative difference of a true equation: results are rounded, and a slip is mostly larger."""
MAX_WORDS = 24
"""Most characters of the words in "= per game 18" and "= 1 game each 18"."""

_OPERATORS = {"+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "×": "*", "x": "*", "·": "*", "⋅": "*", "∙": "*"}
_OPERATORS |= {"÷": "/", "/": "/", ":": "/", "=": "=", "≈": "="}  # 20 : 4, but "after 20 years: 30 - 20"
_LATEX = {r"\times": "×", r"\cdot": "·", r"\div": "÷", r"\approx": "≈"}
_CURRENCY = r"[\\$€£¥₹₽฿৳\s]*+"
# Between two numbers of one equation: perhaps a unit, one operator, perhaps a currency.
_GAP = re.compile(
    rf"{_CURRENCY}(?P<unit>(?:[^\W\d_]{{2,16}}\.?)?){_CURRENCY}"
    rf"(?P<operator>[-+*×·⋅∙÷/=≈−–]|(?<=\s)[x:](?=\s)){_CURRENCY}"
)
_BREAK = re.compile(r"[\n()\[\]{}%]")
# Words between "=" and a number, or between two numbers behind it: "36 / 2 = per game 18", "36 / 2 = 1 game each 18".
_WORDS = rf"\s?[^\W\d_][^\d\n.,;:!?()\[\]{{}}%+*/×÷·⋅∙=≈−–^_$|<>&@#\"'“”-]{{1,{MAX_WORDS - 1}}}"
_WORDS_BEFORE = re.compile(rf"{_CURRENCY}(?:(?:[^\W\d_]{{2,16}}\.?)?){_CURRENCY}[=≈]{_WORDS}{_CURRENCY}")
_WORDS_BETWEEN = re.compile(_WORDS)
# Signs before the first or after the last number of a chain: that side is only a part of the equation. A single letter
# is an unknown; vowel signs of Indic scripts and Thai (U+0900 to U+0E7F) go on a word: "8টি".
_BEFORE = re.compile(rf"[-+*×·⋅∙÷/−–^√]{_CURRENCY}$")
_AFTER = re.compile(
    rf"[^\W\d_](?![\w\u0900-\u0e7f])|[^\W\d_]\d|{_CURRENCY}(?:[^\W\d_]{{2,16}}\.?)?{_CURRENCY}[-+*×·⋅∙÷/(−–%^²³!]"
)
_LEADING_POINT = re.compile(r"(?<![\w.,])\.(?=\d)")


@dataclass(frozen=True, slots=True)
class _Term:
    """Hold a number of a chain and the operator before it."""

    operator: str  # "" at the start of a chain
    value: Fraction | None  # None: unknown, and so is its side of the equation
    is_quotient: bool = False  # of "10 / 3", which is read as one number; not of 1/2, which is one
    other: Fraction | None = None  # the number behind words that follow: either may be the result


@dataclass(frozen=True, slots=True)
class Equation:
    """Hold two sides around "=", of which the left one is a sum or product."""

    operands: tuple[Fraction, ...]  # of the left side
    results: tuple[Fraction, ...]  # values of the right side that the left side has; two where either may be meant

    @property
    def is_true(self) -> bool:
        """Return whether both sides are equal."""
        return bool(self.results)


def true_share(text: str, language: str) -> float:
    """Return the share of the text's equations that are true, in [0, 1]; 1 without any equation.

    Raises:
        ValueError: the language is unknown.
    """
    verdicts = [equation.is_true for equation in equations(text, language)]
    return sum(verdicts) / len(verdicts) if verdicts else 1.0


def equations(text: str, language: str) -> list[Equation]:
    """Return the equations of a text that can be worked out, in order.

    Raises:
        ValueError: the language is unknown.
    """
    return [equation for chain in _chains(text, language) for equation in _equations(chain)]


def _chains(text: str, language: str) -> Iterator[list[_Term]]:
    """Yield the runs of numbers with one operator between each two."""
    folded = fold(text)
    for command, symbol in _LATEX.items():
        folded = folded.replace(command, symbol)
    folded = _LEADING_POINT.sub("0.", folded)
    chain: list[_Term] = []
    end = 0  # of the number before
    for span in find_numbers(folded, known_language(language)):
        term = _joined(folded[end : span.start], span) if chain else None
        if term is None:
            yield _closed(chain, folded, end, span)
            is_whole = not span.is_percent and not _BEFORE.search(folded, max(0, span.start - 8), span.start)
            value = _fraction(span.value)
            is_quotient = "/" in folded[span.start : span.end] and value > 1
            chain = [_Term("", value if is_whole else None, is_quotient)]
        else:
            chain.append(term)
        end = span.end
    yield _closed(chain, folded, end, None)


def runs_on(between: str) -> bool:
    """Return whether only words stand between two numbers: "1 game each 18"."""
    return _WORDS_BETWEEN.fullmatch(between) is not None


def _closed(chain: list[_Term], folded: str, end: int, following: NumberSpan | None) -> list[_Term]:
    """Return the chain, with its last number unknown where an operator, a bracket or a letter follows.

    Where words and a `following` number do, that number may be the result as well.
    """
    if not chain:
        return chain
    if following is not None and chain[-1].operator == "=" and runs_on(folded[end : following.start]):
        chain[-1] = replace(chain[-1], other=_fraction(following.value))
    elif _AFTER.match(folded, end):
        chain[-1] = replace(chain[-1], value=None)
    return chain


def _joined(gap: str, span: NumberSpan) -> _Term | None:
    """Return the number as the next term of a chain; None where the gap before it is no operator."""
    value = _fraction(span.value)
    if span.is_percent or _BREAK.search(gap):
        return None
    if not gap.strip() and value < 0:  # "5 -3": the operator was read as a sign
        return _Term("+", value)
    if found := _GAP.fullmatch(gap):
        return _Term(_OPERATORS[found["operator"]], value)
    return _Term("=", value) if _WORDS_BEFORE.fullmatch(gap) else None


@lru_cache(maxsize=4096)
def _fraction(value: str) -> Fraction:
    """Return a canonical value; reading it takes longer than any other step, and numbers come again."""
    return Fraction(value)


def _equations(chain: Sequence[_Term]) -> Iterator[Equation]:
    """Yield each two sides around "=" that have a value, if the left one is a sum or product."""
    sides: list[list[_Term]] = [[]]
    for term in chain:
        if term.operator == "=":
            sides.append([])
        sides[-1].append(term)
    for left, right in pairwise(sides):
        if len(left) < 2 and not left[0].is_quotient:  # "2 hours = 120 minutes"
            continue
        worth, results = _value(left), [_value(right)]
        if len(right) == 1:
            results.append(right[0].other)
        known = tuple(result for result in results if result is not None)
        if worth is not None and known:
            true = tuple(value for value in known if abs(worth - value) <= TOLERANCE * max(abs(worth), abs(value)))
            yield Equation(tuple(term.value for term in left if term.value is not None), true)


def _value(side: Sequence[_Term]) -> Fraction | None:
    """Work out one side, products before sums, from left to right; None for an unknown or a division by zero."""
    addends: list[Fraction] = []
    for term in side:
        if term.value is None or (term.operator == "/" and not term.value):
            return None
        match term.operator if addends else "+":
            case "*":
                addends[-1] *= term.value
            case "/":
                addends[-1] /= term.value
            case "-":
                addends.append(-term.value)
            case _:
                addends.append(term.value)
    return sum(addends, Fraction(0))
