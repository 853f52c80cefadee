"""Read digits with marks between them: thousands, decimals, and the cases in which a mark may be either.

"7,425" is 7425 in English and 7.425 in German, but models write the English form in every language. Where the
language's decimal mark is a comma, the other numbers of the text decide, and the other reading is kept.
"""

import re
from fractions import Fraction
from functools import lru_cache

from languages.language import Language

MAX_DIGITS = 100
"""Most digits of a number that is read, far below where Python refuses to (4300)."""

ARABIC_DECIMAL, ARABIC_THOUSANDS = "\u066b", "\u066c"
LATEX_SPACE = r"\{,\}|,?\\[,!;: ]|~"
"""LaTeX writes 70{,}000, 70\\,000, 70,\\!000 and 70~000."""

_LATEX_SPACE = re.compile(r"\\[,!;: ]|[~ ]")
# Numbers that only one of the two styles writes. A date ("1.5.2020") or a version has two points and counts for none.
_STYLES = re.compile(
    r"(?<![\d.,])(?:"
    r"(?P<comma>\d{1,3}(?:\.\d{3})+,\d+|\d+,(?:\d\d?|\d{4,})|\d{1,3}(?:\.\d{3})*\.000)"
    r"|(?P<point>\d{1,3}(?:,\d{3})+\.\d+|\d+\.(?:\d\d?|\d{4,})|\d{1,3}(?:,\d{3})*,000|\d{1,3}(?:,\d{3}){2,}"
    r"|(?<=[$€£¥])\d{1,3},\d{3})"
    r")(?![.,]?\d)"
)
_MAYBE_GROUPED = re.compile(r"[1-9]\d{0,2},\d{3}")


@lru_cache(maxsize=64)
def decimal_mark(folded: str, language: Language) -> str:
    """Return the decimal mark with which a text is to be read: the language's, or "." where a text is written so.

    Only a language with a comma has a choice. The numbers that can be read in one way only are counted.
    """
    if language.decimal_mark == ".":
        return "."
    styles = [match.lastgroup for match in _STYLES.finditer(folded)]
    return "." if styles.count("point") > styles.count("comma") else ","


def other_reading(token: str, mark: str, language: Language) -> Fraction | None:
    """Return the second value of digits such as "7,425" that were read by `mark`; None where one value is sure.

    Nobody writes three zeros as decimals: "27,000" has one value.
    """
    if language.decimal_mark == "." or not _MAYBE_GROUPED.fullmatch(token) or token.endswith("000"):
        return None
    return Fraction(token.replace(",", "." if mark == "." else ""))


def read_digits(token: str, mark: str, language: Language) -> Fraction | None:
    """Return the value of digits with marks ("1.234,5", "1,23,456", "1'234"); None where they make no sense ("1.2.3").

    A single mark that may be either ("1,234", "1.234") is read by `mark`, the decimal mark: the other one groups
    thousands where exactly three digits follow. In a language with a decimal point no comma is one: "3,4" is no number.
    """
    if len(token) > MAX_DIGITS:
        return None
    if token.isdecimal():
        return Fraction(int(token))
    token = token.replace("{,}", ",").replace(",\\!", ",")
    token = _LATEX_SPACE.sub("", token)
    token = token.replace(ARABIC_DECIMAL, ".") if ARABIC_DECIMAL in token else token
    if ARABIC_THOUSANDS in token:
        return _join(token, ARABIC_THOUSANDS, ".")
    if "'" in token or "’" in token:
        return _join(token.replace("’", "'"), "'", "," if "," in token else ".")
    marks = [character for character in token if character in ".,"]
    if not marks:
        return Fraction(int(token))
    if token[0] in ".,":
        return _join(f"0{token}", "", token[0])
    if len(set(marks)) == 2:
        return _join(token, marks[0], marks[-1])
    if len(marks) > 1:
        return _join(token, marks[0], "")
    return _read_single_mark(token, marks[0], mark, language)


def is_list(token: str, language: Language) -> bool:
    """Return whether digits with commas, which are no number, are several: "3,4" in a language with a decimal point."""
    return (
        len(token) <= MAX_DIGITS
        and language.decimal_mark == "."
        and "," in token
        and token.replace(",", "").isdecimal()
    )


def _read_single_mark(token: str, single: str, decimal: str, language: Language) -> Fraction | None:
    whole, rest = token.split(single)
    may_group = len(rest) == 3 and len(whole) <= 3 and not whole.startswith("0")
    if may_group and (single != decimal or rest == "000"):
        return _join(token, single, "")
    return None if single == "," and language.decimal_mark == "." else _join(token, "", single)


def _join(token: str, thousands: str, decimal: str) -> Fraction | None:
    """Return the value of a token whose marks are known; None where a group is too long or a decimal mark repeats."""
    whole, _, rest = token.partition(decimal) if decimal else (token, "", "")
    groups = whole.split(thousands) if thousands else [whole]
    if not all(group.isdecimal() for group in groups) or (rest and not rest.isdecimal()):
        return None
    lengths = [len(group) for group in groups]
    if len(groups) > 1:
        is_western = 1 <= lengths[0] <= 3 and all(length == 3 for length in lengths[1:])
        is_indian = 1 <= lengths[0] <= 2 and lengths[-1] == 3 and all(length == 2 for length in lengths[1:-1])
        if not (is_western or is_indian):
            return None
    return Fraction(f"{''.join(groups)}.{rest or '0'}")
