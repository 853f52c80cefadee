"""Read numbers as people write them, in any script and any grouping, as exact values.

Text is folded first: full-width forms and the digits of any script become ASCII. Then digit groups are read by the
text's decimal mark (`digit_marks`), with fractions and the words around them (`scales`). Each value has one canonical
spelling.

Folding keeps every character's position, so an offset in folded text holds in the NFC text that it came from. The time
is linear in the text; more than MAX_DIGITS digits are no number. The last few folded texts are cached, as gates and
parts read the same one.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

from languages.language import Language
from rewards.answers.digit_marks import (
    ARABIC_DECIMAL,
    ARABIC_THOUSANDS,
    LATEX_SPACE,
    MAX_DIGITS,
    decimal_mark,
    is_list,
    other_reading,
    read_digits,
)
from rewards.answers.scales import (
    apply_scales,
    group_behind,
    half_behind,
    percent_behind,
    read_before,
    tenths_behind,
)

MAX_MARKS = 30
"""Longest run of combining marks that is kept in a long text (UAX 15, stream-safe format): sorting takes quadratic
time."""

_MARK = rf"(?:{LATEX_SPACE}|[.,'’{ARABIC_DECIMAL}{ARABIC_THOUSANDS}])"
_NUMBER = re.compile(
    r"(?P<sign>(?<![A-Za-z0-9)%])[-–])?"
    r"(?P<currency>(?:\\?[$€£¥₹₽฿৳₩₫₦₱₺₴₪]|\\text\{\\?[$€]\})\s?(?P<inner_sign>[-–])?)?"
    r"(?:(?P<whole>\d{1,9}[ ]?)?(?:"
    r"\\[dtc]?frac ?(?:\{ ?(?P<top>-?\d+) ?\} ?\{ ?(?P<bottom>\d+) ?\}|(?P<short>\d\d)(?!\d))"
    r"|(?P<vulgar>[¼-¾⅐-⅞])"
    r"|(?<=\d )(?P<mixed>\d{1,9}/\d{1,9})(?![\d/]))"
    rf"|(?P<digits>\d{{1,3}}(?:[ '’]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:{_MARK}\d+)*|(?<![\w.,)\]}}])[.,]\d+)"
    r"(?:\s?/\s?(?P<denominator>\d+)(?![\d/]))?)"
)
# "$5M" is an amount; "5M" alone may be a length or an unknown.
_CURRENCY_SCALES = {"k": 10**3, "m": 10**6, "b": 10**9}
_CURRENCY_SCALE = re.compile(r"[kKMmB](?!\w)")
# What belongs to a number such as "1万2" and "3割5分", which can't be understood whole.
_REST = re.compile(r"[\d.,十百千万萬亿億兆割成分厘]{1,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberSpan:
    """Hold a number of folded text, from its sign, currency or minus word to its last digit, scale or percent sign."""

    value: str  # canonical: "18", "-2.5", or "1/3" where no finite decimal says it; without the percent sign
    other: str | None = None  # another value that may be meant: of "7,425" in the other style, 24 of "2 dozen"
    start: int
    end: int
    is_percent: bool = False


@lru_cache(maxsize=32)
def nfc(text: str) -> str:
    """Return the text with every accent composed (NFC): all functions of this module use offsets in this form."""
    if len(text) > 100 * MAX_MARKS and not text.isascii():
        text = _long_runs_of_marks().sub(r"\1", text)
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=32)
def fold(text: str) -> str:
    """Return the NFC text with digits of any script, full-width and space variants as ASCII, character by character.

    Direction marks and other invisible characters become spaces.
    """
    return text if text.isascii() else nfc(text).translate(_FOLDING)


def find_number(folded: str, language: Language, start: int = 0, end: int | None = None) -> NumberSpan | None:
    """Return the first number of `folded[start:end]` that can be read; None without one."""
    stop = len(folded) if end is None else end
    mark = decimal_mark(folded, language)
    while match := _NUMBER.search(folded, start, stop):
        if _is_in_list(match, folded, mark, language):
            match = _NUMBER.match(folded, match.start(), match.start("digits") + match["digits"].index(",")) or match
        values = _values(match, mark, language)
        span = _span(match, values, folded, stop, language) if values else None
        if span is not None:
            return span
        rest = _REST.match(folded, match.end(), stop) if values else None
        start = rest.end() if rest else match.end()
    return None


def _is_in_list(match: re.Match[str], folded: str, mark: str, language: Language) -> bool:
    """Return whether a match with commas is several numbers, or the rest of such a list: 1,2,345."""
    if match["digits"] is None or "," not in match["digits"]:
        return False
    goes_on = (
        folded[match.start() - 1 : match.start()] == "," and folded[match.start() - 2 : match.start() - 1].isdecimal()
    )
    return is_list(match["digits"], language) and (goes_on or read_digits(match["digits"], mark, language) is None)


@lru_cache(maxsize=32)
def find_numbers(folded: str, language: Language) -> tuple[NumberSpan, ...]:
    """Return every number of the folded text, in order; cached, as several parts read the same text."""
    return tuple(find_numbers_from(folded, language, 0))


def find_numbers_from(folded: str, language: Language, start: int) -> list[NumberSpan]:
    """Return every number of the folded text from `start` on, in order."""
    spans: list[NumberSpan] = []
    while span := find_number(folded, language, start):
        spans.append(span)
        start = span.end
    return spans


def canonical(value: Fraction) -> str:
    """Return the one spelling of a value: a plain decimal where it is finite, else a reduced fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    shift = _decimal_places(value.denominator)
    if shift is None:
        return f"{value.numerator}/{value.denominator}"
    scaled = abs(value.numerator) * 10**shift // value.denominator
    whole, rest = divmod(scaled, 10**shift)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}" + (f".{rest:0{shift}d}" if shift else "")


def _decimal_places(denominator: int) -> int | None:
    """Return how many decimals a reduced fraction with this denominator has; None where they never end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None


class _Folding(dict[int, str]):
    """Map code points to folded characters; filled as characters are met."""

    def __missing__(self, code_point: int) -> str:
        folded = self[code_point] = _fold_character(chr(code_point))
        return folded


_FOLDING = _Folding()
# Signs that Unicode doesn't fold: the Arabic percent sign, every minus and short hyphen, and a Bengali fraction that is
# typed for the full stop (danda) it looks like.
_FOLDED = {"٪": "%", **dict.fromkeys("\u2010\u2011\u2012\u2212\ufe63", "-"), "\u09f7": "।"}


def _fold_character(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if character in _FOLDED:
        return _FOLDED[character]
    # Two invisible characters are part of words: the joiners of Bengali and Telugu.
    if unicodedata.category(character) == "Cf" and character not in "\u200c\u200d":
        return " "
    if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>", "<noBreak>", "<compat>")):
        plain = unicodedata.normalize("NFKC", character)
        return plain if len(plain) == 1 else character
    # Superscripts stay: folded, the exponent of "m²" would become a second number.
    return character


@cache
def _long_runs_of_marks() -> re.Pattern[str]:
    marks = "".join(chr(point) for point in range(sys.maxunicode + 1) if unicodedata.combining(chr(point)))
    return re.compile(rf"([{marks}]{{{MAX_MARKS}}})[{marks}]+")


def _span(
    match: re.Match[str], values: Sequence[Fraction], folded: str, stop: int, language: Language
) -> NumberSpan | None:
    """Return the number with the words around its digits; None where it can't be understood whole."""
    before = read_before(folded, match.start(), language)
    is_negative = bool(match["sign"] or match["inner_sign"] or before.is_negative)
    letter = _CURRENCY_SCALE.match(folded, match.end(), stop) if match["currency"] else None
    if letter is not None:
        values = [value * _CURRENCY_SCALES[letter[0].lower()] for value in values]
    start = match.end() if letter is None else letter.end()
    found: list[Fraction] = []
    position = start
    for value in values:
        scaled = apply_scales(value, folded, start, stop, language)
        if scaled is None:
            return None
        worth, position = scaled
        if position == start and before.factor != 1:
            worth *= before.factor
        if (end := half_behind(folded, position, stop, language)) is not None:
            worth, position = worth + Fraction(1, 2), end
        elif before.is_half_more:
            worth += Fraction(1, 2)
        found.append(-worth if is_negative else worth)
    if (tenths := tenths_behind(folded, position, stop, language)) is not None:
        return _tenths(found[0], before.start, tenths, folded[tenths:stop])
    if (group := group_behind(folded, position, stop, language)) is not None:
        size, position = group
        found = [found[0], found[0] * size]
    percent = percent_behind(folded, position, stop, language)
    return NumberSpan(
        value=canonical(found[0]),
        other=canonical(found[1]) if len(found) > 1 else None,
        start=before.start,
        end=position if percent is None else percent,
        is_percent=percent is not None or before.is_percent,
    )


def _tenths(value: Fraction, start: int, end: int, rest: str) -> NumberSpan | None:
    """Return tenths as a percentage: 3割 is 30%. 3割5分, which goes on, is not understood whole."""
    if rest[:1].isdecimal():
        return None
    return NumberSpan(value=canonical(10 * value), start=start, end=end, is_percent=True)


def _values(match: re.Match[str], mark: str, language: Language) -> list[Fraction]:
    """Return the number's values without its sign, the likelier first; none where it makes no sense: "1.2.3", 1/0."""
    if match["digits"] is None:
        fraction = _fraction(match)
        return [] if fraction is None else [fraction]
    value = read_digits(match["digits"], mark, language)
    if value is None:
        return []
    if match["denominator"] is not None:
        quotient = _divide(value, match["denominator"])
        return [] if quotient is None else [quotient]
    other = other_reading(match["digits"], mark, language)
    return [value] if other is None else [value, other]


def _fraction(match: re.Match[str]) -> Fraction | None:
    """Return the value of a fraction in LaTeX, "½" or "1 1/2", with its whole part; None where it makes no sense."""
    if match["vulgar"] is not None:
        top, bottom = unicodedata.normalize("NFKC", match["vulgar"]).split("\u2044")
    elif match["mixed"] is not None:
        top, bottom = match["mixed"].split("/")
        if int(top) >= int(bottom):
            return None
    elif match["short"] is not None:
        top, bottom = match["short"]
    else:
        top, bottom = match["top"], match["bottom"]
    if len(top) > MAX_DIGITS:
        return None
    part = _divide(Fraction(int(top)), bottom)
    return part if part is None or match["whole"] is None else part + int(match["whole"])


def _divide(value: Fraction, bottom: str) -> Fraction | None:
    return value / int(bottom) if len(bottom) <= MAX_DIGITS and int(bottom) else None
