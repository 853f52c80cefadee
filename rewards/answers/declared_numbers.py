"""Read the numbers that a declaration states: one, if it is clear; several where it states several.

Of an equation the last side counts ("5 + 6 = 11" states 11), and its other sides have to agree with it. Of a sentence
behind a phrase or label the number counts that follows at once, the only one, the emphasised one, or behind a label the
one that ends the sentence. A further number that may be meant as well is looked for too. All offsets are in folded
text.
"""

import re
from fractions import Fraction

from languages.language import Language
from rewards.answers.declarations import MAX_CONTENT, Mark
from rewards.answers.equations import runs_on, true_share
from rewards.answers.hedges import other_choice
from rewards.answers.numbers import NumberSpan, find_number
from rewards.answers.numerals import find_han_number, find_rare_number
from rewards.texts.scripts import weigh

MAX_GAP = 40
"""Most characters between a closing phrase and the first of several numbers: "The answer is that 18 of 20 are red"."""
MAX_REST = 40
"""Most letters, weighted by script, behind the last of several numbers: "and so 9 more books than her brother"."""
MAX_CODE_LETTERS = 8
"""Most letters before a number, weighted by script, that are no words of a sentence: "USD 18", "about 18", "రూ. 18"."""

_UNIT = r"\s{0,3}(?:\\(?:text|mathrm)\{[^{}]{0,20}\}|[$€£¥₹₽]|[^\W\d]{0,12})\s{0,3}"
# An operator and another number after the first one: "12 + 3 = 15". The answer is after the last equals sign.
_COMPUTATION = re.compile(
    rf"(?:\}}{{0,3}}{_UNIT}(?:[-+*/×x÷·=≈−–]|\\(?:times|cdot|div|approx)\b)|\s?:)\s{{0,3}}(?:\\?[($€£¥₹]){{0,3}}[-−]?\d"
)
_EQUALS = re.compile(r"[=≈]|\\approx\b")
# After a number's digits: it is a factor ("2x", "3\sqrt{2}", "2^5") or a side of a ratio ("3:2"), not the answer.
_GOES_ON = re.compile(
    r"_\d|\s?(?:\\(?:sqrt|pi|times|cdot|log|ln|sin|cos|tan)|[√π]|\^(?!\{?\\circ)|:\s?\d)|[abciknpqrtu-zKM](?![^\W\d_])"
)
_LIST_ITEM = re.compile(r"[.)][^\S\n]{1,3}[^\W\d]")
# Before digits that are an exponent, an index or part of a name: "m^2", "x_1", "CO2".
_INDEXED = re.compile(r"(?:[\^_]\{?\s?|[A-Za-z])\Z")
# Sides that are only about equal, or have powers, roots and functions, are not compared.
_NOT_COMPARED = re.compile(r"[≈^√!|]|\\(?!times|cdot|div|text|mathrm|[$%,; ])")
_WRAPPED = re.compile(r"\\(?:text|mathrm)\{([^{}]{0,20})\}|\\")


def declared_numbers(folded: str, mark: Mark, language: Language) -> list[NumberSpan]:
    """Return the numbers that a mark's content states, in order of place: none, one, or two where it states two.

    A second number is a side of an equation that differs from its last side, another number in the same box, or a Roman
    numeral or a number in one character after the first. Digits in the text after a phrase are not read here: the gate
    "format" checks that text.
    """
    number = find_han_number(folded, language, mark.opened, mark.stop)
    number = number or find_number(folded, language, _with_currency(folded, mark), mark.stop)
    if number is None or _is_list_item(folded, mark, number):
        return []
    is_equation = mark.is_box and _EQUALS.search(folded, number.end, mark.stop)
    if is_equation or _COMPUTATION.match(folded, number.end, mark.stop):
        numbers = _last_side(folded, mark, number, language) if number.start - mark.opened <= MAX_GAP else []
    elif mark.is_phrase and has_words(folded[mark.opened : number.start], language):
        stated = _stated_in_sentence(folded, number, mark, language)
        numbers = [] if stated is None else [stated]
    else:
        numbers = [number] if number.start - mark.opened <= MAX_GAP else []
    if not numbers or _GOES_ON.match(folded, numbers[-1].end, mark.stop):
        return []
    further = _further_number(folded, numbers[-1], mark, language)
    return numbers if further is None else [*numbers, further]


def _with_currency(folded: str, mark: Mark) -> int:
    """Return where the content starts with its currency sign, which may be taken for a formula's opening."""
    is_currency = mark.opened > mark.content and folded[mark.opened - 1] in "$€£¥"
    return mark.opened - 1 if is_currency else mark.opened


def has_words(lead: str, language: Language) -> bool:
    """Return whether words of a sentence lead to a number, and not only a currency or one such as "about"."""
    num_words = sum(any(map(str.isalpha, word)) for word in lead.split())
    return num_words > 1 or weigh(lead, language.code) > MAX_CODE_LETTERS


def _stated_in_sentence(folded: str, first: NumberSpan, mark: Mark, language: Language) -> NumberSpan | None:
    """Return the number that a sentence states ("The answer is that she has 18 left"); None where none is clear."""
    numbers = _all_numbers(folded, first, mark, language)
    emphasised = [number for number in numbers if is_emphasised(folded, number, mark)]
    if len({number.value for number in emphasised}) == 1:
        return emphasised[0]
    if mark.stop - mark.opened >= MAX_CONTENT:  # the sentence goes on
        return None
    if len({number.value for number in numbers}) == 1:
        return first
    if mark.lead is not None:
        return numbers[-1] if weigh(folded[numbers[-1].end : mark.stop], language.code) <= MAX_REST else None
    return first if first.start - mark.opened <= MAX_GAP else None


def _all_numbers(folded: str, first: NumberSpan, mark: Mark, language: Language) -> list[NumberSpan]:
    numbers = [first]
    while (number := find_number(folded, language, numbers[-1].end, mark.stop)) is not None:
        numbers.append(number)
    return numbers


def is_emphasised(folded: str, number: NumberSpan, mark: Mark) -> bool:
    """Return whether Markdown's stars open shortly before a number and close shortly behind it."""
    before = folded[max(mark.opened, number.start - MAX_GAP) : number.start]
    behind = folded[number.end : min(mark.stop, number.end + MAX_GAP)]
    return before.count("**") % 2 == 1 and "**" in behind


def _is_list_item(folded: str, mark: Mark, number: NumberSpan) -> bool:
    """Return whether the number begins a list below a heading, "Answer:" over "1. First ...", which is reasoning."""
    is_first = number.value == "1" and "\n" in folded[mark.start : number.start]
    return is_first and _LIST_ITEM.match(folded, number.end) is not None


def _further_number(folded: str, number: NumberSpan, mark: Mark, language: Language) -> NumberSpan | None:
    """Return another number of the same declaration, if it has one."""
    if (choice := other_choice(folded, number, language, mark.stop)) is not None:
        return choice
    rare = find_rare_number(folded, number.end, mark.stop)
    start = number.end
    while mark.is_box and (other := find_number(folded, language, start, mark.stop)):
        if not _is_indexed(folded, other):
            return other
        start = other.end
    return rare


def _is_indexed(folded: str, number: NumberSpan) -> bool:
    """Return whether a number is an exponent, an index or part of a name."""
    return _INDEXED.search(folded[max(0, number.start - 4) : number.start]) is not None


def _last_side(folded: str, mark: Mark, first: NumberSpan, language: Language) -> list[NumberSpan]:
    """Return the number after the last equals sign, preceded by a side that differs from it, if there is one.

    Without an equals sign the computation is unfinished, and the list is empty.
    """
    signs = [first.start, *(sign.end() for sign in _EQUALS.finditer(folded, first.end, mark.stop))]
    last = find_number(folded, language, signs[-1], mark.stop) if len(signs) > 1 else None
    if last is None:
        return []
    if _NOT_COMPARED.search(folded, mark.opened, mark.stop):
        return [last]
    following = find_number(folded, language, last.end, mark.stop)
    if true_share(folded[first.start : mark.stop], language.code) < 1:
        return [first, last]
    if following is not None and runs_on(folded[last.end : following.start]):
        return [following if true_share(folded[first.start : last.end], language.code) < 1 else last]
    edges = signs[1 if _is_indexed(folded, first) else 0 :]
    sides = [
        _plain_side(folded, start, end, language) for start, end in zip(edges, [*edges[1:], mark.stop], strict=True)
    ]
    other = next((side for side in sides if side is not None and sides[-1] and not _agree(side, sides[-1])), None)
    return [last] if other is None else [other[0], last]


def _plain_side(folded: str, start: int, end: int, language: Language) -> tuple[NumberSpan, str] | None:
    """Return the number and the unit of a side that has nothing else; None for any other side."""
    number = find_number(folded, language, start, end)
    if number is None or any(map(str.isalnum, folded[start : number.start])):
        return None
    unit = _WRAPPED.sub(r"\1", folded[number.end : end]).strip(" \n*_$=.,")
    return None if any(map(str.isdecimal, unit)) or set("(){}[]").intersection(unit) else (number, unit)


def _agree(side: tuple[NumberSpan, str], last: tuple[NumberSpan, str]) -> bool:
    """Return whether a side equals the last one, or is rounded to the last one's decimals.

    Sides with different units always agree, as they can't be compared ("120 minutes = 2 hours").
    """
    (number, unit), (last_number, last_unit) = side, last
    if unit and last_unit and unit != last_unit:
        return True
    _, _, decimals = last_number.value.partition(".")
    is_rounded = decimals or ("/" in number.value and "/" not in last_number.value)
    slack = Fraction(1, 2 * 10 ** len(decimals)) if is_rounded else 0
    return any(abs(x - y) <= slack for x in _readings(number) for y in _readings(last_number))


def _readings(number: NumberSpan) -> tuple[Fraction, ...]:
    """Return the values that a number may have: with a percent sign two."""
    value = Fraction(number.value)
    return (value, value / 100) if number.is_percent else (value,)
