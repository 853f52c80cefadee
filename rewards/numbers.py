"""Numbers as people write them, in any script and any grouping, read as exact values.

Owns folding (full-width forms and any script's digits to ASCII), the reading of digit groups by the language's decimal
mark, and exact comparison. Must not know what a final answer is: that is rewards/answers.py.

Folding keeps every character's position, so an offset found in folded text holds in the NFC text it came from.
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from rewards.languages import Language

_ARABIC_DECIMAL, _ARABIC_THOUSANDS = "\u066b", "\u066c"
_MARKUP = r"\{,\}|,?\\[,!;]"  # LaTeX writes 70{,}000 and 70\,000 and 70,\!000
_MARK = rf"(?:{_MARKUP}|[.,'’{_ARABIC_DECIMAL}{_ARABIC_THOUSANDS}])"
_NUMBER = re.compile(
    r"(?P<sign>(?<![A-Za-z0-9)%])[-−])?"
    r"(?P<currency>(?:\\?[$€£¥₹₽฿৳]|\\text\{\\?[$€]\})\s?)?"
    r"(?:\\d?frac\{(?P<top>\d+)\}\{(?P<bottom>\d+)\}"
    rf"|(?P<digits>\d{{1,3}}(?:[ '’]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:{_MARK}\d+)*)"
    r"(?:\s?/\s?(?P<denominator>\d+)(?![\d/]))?)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberSpan:
    """A number found in folded text, from its sign or currency to its last digit or scale word."""

    value: str  # canonical: "18", "-2.5", or "1/3" where no finite decimal says it
    start: int
    end: int


def nfc(text: str) -> str:
    """The text with every accent composed (NFC): the form whose offsets all functions of this module use."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """NFC text with digits of any script, full-width and space variants as ASCII, character for character."""
    return "".join(_fold_character(character) for character in nfc(text))


def find_number(folded: str, language: Language, start: int = 0, end: int | None = None) -> NumberSpan | None:
    """The first number of `folded[start:end]` that can be read, or None."""
    stop = len(folded) if end is None else end
    while match := _NUMBER.search(folded, start, stop):
        value = _value(match, language)
        if value is not None:
            scaled, position = _apply_scales(value, folded[:stop], match.end(), language)
            sign = -1 if match["sign"] else 1
            return NumberSpan(value=canonical(sign * scaled), start=match.start(), end=position)
        start = match.end()
    return None


def find_numbers(folded: str, language: Language) -> list[NumberSpan]:
    """Every number of the folded text, in order."""
    spans: list[NumberSpan] = []
    start = 0
    while span := find_number(folded, language, start):
        spans.append(span)
        start = span.end
    return spans


def canonical(value: Fraction) -> str:
    """One spelling per value: a plain decimal where one is finite, else a reduced fraction."""
    shift = _decimal_places(value.denominator)
    if shift is None:
        return f"{value.numerator}/{value.denominator}"
    scaled = abs(value.numerator) * 10**shift // value.denominator
    whole, rest = divmod(scaled, 10**shift)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}" + (f".{rest:0{shift}d}" if shift else "")


def _decimal_places(denominator: int) -> int | None:
    """How many decimals a reduced fraction with this denominator has; None where they never end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None


@cache
def _fold_character(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if unicodedata.decomposition(character).startswith(("<wide>", "<narrow>", "<noBreak>", "<compat>")):
        plain = unicodedata.normalize("NFKC", character)
        return plain if len(plain) == 1 else character
    # Superscripts stay: folded, the exponent of "m²" would become a second number.
    return character


def _value(match: re.Match[str], language: Language) -> Fraction | None:
    if match["top"] is not None:
        bottom = int(match["bottom"])
        return Fraction(int(match["top"]), bottom) if bottom else None
    value = _read_groups(match["digits"], language.decimal_mark)
    if value is None or match["denominator"] is None:
        return value
    bottom = int(match["denominator"])
    return value / bottom if bottom else None


def _read_groups(token: str, decimal_mark: str) -> Fraction | None:
    """Digits with marks as a value: "1.234,5", "1,23,456", "1'234"; None where the marks make no sense ("1.2.3").

    A single mark that may be either ("1,234", "1.234") is read by the language: the decimal mark is a decimal mark, the
    other one groups thousands where exactly three digits follow.
    """
    token = token.replace("{,}", ",").replace(",\\!", ",")
    token = re.sub(r"\\[,!;]| ", "", token)
    token = token.replace(_ARABIC_DECIMAL, ".") if _ARABIC_DECIMAL in token else token
    if _ARABIC_THOUSANDS in token:
        return _join(token, _ARABIC_THOUSANDS, ".")
    if "'" in token or "’" in token:
        return _join(token.replace("’", "'"), "'", "," if "," in token else ".")
    marks = [character for character in token if character in ".,"]
    if not marks:
        return Fraction(int(token))
    if len(set(marks)) == 2:
        return _join(token, marks[0], marks[-1])
    mark = marks[0]
    if len(marks) > 1:
        return _join(token, mark, "")
    whole, rest = token.split(mark)
    groups_thousands = mark != decimal_mark and len(rest) == 3 and len(whole) <= 3 and not whole.startswith("0")
    return _join(token, mark, "") if groups_thousands else _join(token, "", mark)


def _join(token: str, thousands: str, decimal: str) -> Fraction | None:
    """The value of a token whose marks are known; None where a group has a wrong length or a decimal mark repeats."""
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


def _apply_scales(value: Fraction, folded: str, position: int, language: Language) -> tuple[Fraction, int]:
    """Multiply by the scale words that follow ("7 million", "8万"), and add what follows a myriad ("3万5000")."""
    pattern = _scale_pattern(language.code, tuple(language.scales))
    if pattern is None:
        return value, position
    total, end, has_scale = Fraction(0), position, False
    while match := pattern.match(folded, end):
        value, end, has_scale = value * language.scales[match["word"].lower()], match.end(), True
        if language.script in ("han", "japanese") and (more := re.compile(r"\d+").match(folded, end)):
            total, value, end = total + value, Fraction(int(more[0])), more.end()
    return (total + value, end) if has_scale else (value, position)


@cache
def _scale_pattern(code: str, words: tuple[str, ...]) -> re.Pattern[str] | None:
    if not words:
        return None
    alternatives = "|".join(re.escape(nfc(word)) for word in sorted(words, key=len, reverse=True))
    # Chinese, Japanese and Thai run words together; elsewhere "mil" must not be read from "miles".
    boundary = "" if code in ("zh", "ja", "th") else r"(?!\w)"
    return re.compile(rf" ?(?P<word>{alternatives}){boundary}", re.IGNORECASE)
