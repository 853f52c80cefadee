"""Read numbers as people write them, in any script and any grouping, as exact values.

Text is folded first: full-width forms and the digits of any script become ASCII. Then digit groups are read by the
language's decimal mark, with fractions, percents and scale words. Each value has one canonical spelling.

Folding keeps every character's position, so an offset in folded text holds in the NFC text that it came from. The time
is linear in the text; more than MAX_DIGITS digits are no number. The last few folded texts are cached, as gates and
parts read the same one.
"""

import re
import sys
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

from languages.language import Language

MAX_DIGITS = 100
"""Most digits of a number that is read, far below where Python refuses to (4300)."""
MAX_SCALE_WORDS = 4
"""Most scale words after one number: "3万5000" has one, "5 тыс. млн" two."""
LONGEST_WORD = 24
"""Longest word before a number that is looked for, in characters."""
MAX_MARKS = 30
"""Longest run of combining marks that is kept in a long text (UAX 15, stream-safe format): sorting takes quadratic
time."""

_ARABIC_DECIMAL, _ARABIC_THOUSANDS = "\u066b", "\u066c"
_MARKUP = r"\{,\}|,?\\[,!;]"  # LaTeX writes 70{,}000 and 70\,000 and 70,\!000
_MARK = rf"(?:{_MARKUP}|[.,'’{_ARABIC_DECIMAL}{_ARABIC_THOUSANDS}])"
_NUMBER = re.compile(
    r"(?P<sign>(?<![A-Za-z0-9)%])[-−])?"
    r"(?P<currency>(?:\\?[$€£¥₹₽฿৳]|\\text\{\\?[$€]\})\s?)?"
    r"(?:(?P<whole>\d{1,9}[ ]?)?(?:"
    r"\\[dtc]?frac ?(?:\{ ?(?P<top>-?\d+) ?\} ?\{ ?(?P<bottom>\d+) ?\}|(?P<short>\d\d)(?!\d))"
    r"|(?P<vulgar>[¼-¾⅐-⅞])"
    r"|(?<=\d )(?P<mixed>\d{1,9}/\d{1,9})(?![\d/]))"
    rf"|(?P<digits>\d{{1,3}}(?:[ '’]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:{_MARK}\d+)*)"
    r"(?:\s?/\s?(?P<denominator>\d+)(?![\d/]))?)"
)
_DIGITS = re.compile(r"\d{1,101}")


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberSpan:
    """Hold a number of folded text, from its sign or currency to its last digit, scale word or percent sign."""

    value: str  # canonical: "18", "-2.5", or "1/3" where no finite decimal says it; without the percent sign
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
    while match := _NUMBER.search(folded, start, stop):
        value = _value(match, language)
        if value is not None:
            return _span(match, value, folded, stop, language)
        start = match.end()
    return None


def find_numbers(folded: str, language: Language) -> list[NumberSpan]:
    """Return every number of the folded text, in order."""
    spans: list[NumberSpan] = []
    start = 0
    while span := find_number(folded, language, start):
        spans.append(span)
        start = span.end
    return spans


def canonical(value: Fraction) -> str:
    """Return the one spelling of a value: a plain decimal where it is finite, else a reduced fraction."""
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


def _fold_character(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if character == "٪":
        return "%"
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


def _span(match: re.Match[str], value: Fraction, folded: str, stop: int, language: Language) -> NumberSpan:
    scaled, position = _apply_scales(value, folded, match.end(), stop, language)
    percent = _percent_pattern(language).match(folded, position, stop)
    before = folded[max(0, match.start() - LONGEST_WORD) : match.start()].rstrip().lower()
    if position == match.end():
        scaled *= _scale_before(before, language)
    return NumberSpan(
        value=canonical(-scaled if match["sign"] else scaled),
        start=match.start(),
        end=percent.end() if percent else position,
        is_percent=percent is not None or before.endswith(_composed(language.percents_before)),
    )


def _value(match: re.Match[str], language: Language) -> Fraction | None:
    """Return the number's value without its sign; None where it makes no sense, such as "1.2.3" and 1/0."""
    if match["digits"] is None:
        return _fraction(match)
    value = _read_groups(match["digits"], language.decimal_mark)
    return value if value is None or match["denominator"] is None else _divide(value, match["denominator"])


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


def _read_groups(token: str, decimal_mark: str) -> Fraction | None:
    """Return the value of digits with marks ("1.234,5", "1,23,456", "1'234"); None where they make no sense ("1.2.3").

    A single mark that may be either ("1,234", "1.234") is read by the language: the decimal mark is a decimal mark, the
    other one groups thousands where exactly three digits follow.
    """
    if len(token) > MAX_DIGITS:
        return None
    if token.isdecimal():
        return Fraction(int(token))
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


def _apply_scales(value: Fraction, folded: str, position: int, stop: int, language: Language) -> tuple[Fraction, int]:
    """Multiply by the scale words that follow ("7 million", "8万"), and add what follows a myriad ("3万5000")."""
    pattern = _scale_pattern(language)
    total, end, num_words = Fraction(0), position, 0
    while num_words < MAX_SCALE_WORDS and (match := pattern.match(folded, end, stop)):
        value, end = value * language.scale_values[match["word"].lower()], match.end()
        num_words += 1
        if language.has_han and (more := _DIGITS.match(folded, end, stop)):
            total, value, end = total + value, Fraction(int(more[0])), more.end()
    return (total + value, end) if num_words else (value, position)


def _scale_before(before: str, language: Language) -> int:
    """Return the factor that the word at the end of `before` gives to the number after it; 1 without such a word."""
    for word in sorted(language.scale_values_before, key=len, reverse=True):
        if before.endswith(word) and not (language.has_spaces and before[-len(word) - 1 : -len(word)].isalpha()):
            return language.scale_values_before[word]
    return 1


@cache
def _scale_pattern(language: Language) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(nfc(word)) for word in sorted(language.scale_values, key=len, reverse=True))
    return re.compile(rf" ?(?P<word>{alternatives or '(?!)'}){_word_end(language)}", re.IGNORECASE)


@cache
def _percent_pattern(language: Language) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(nfc(word)) for word in language.percents)
    return re.compile(rf"\s?(?:\\?%|(?:{alternatives or '(?!)'}){_word_end(language)})", re.IGNORECASE)


def _word_end(language: Language) -> str:
    """Return what must follow a word: "mil" must not be read from "miles" where spaces separate words."""
    return r"(?!\w)" if language.has_spaces else ""


@cache
def _composed(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(nfc(word) for word in words)
