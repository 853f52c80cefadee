"""Read numbers that are not written in decimal digits: Chinese numerals (十一), Roman ones (XII), one character (⑫).

Use these functions only inside a declaration: in running text such numerals are parts of words.
"""

import re
import unicodedata
from fractions import Fraction

from languages.language import Language
from rewards.answers.numbers import NumberSpan, canonical

_HAN_DIGITS = dict(zip("零〇一二两兩三四五六七八九", (0, 0, 1, 2, 2, 2, *range(3, 10)), strict=True))
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_HAN = re.compile(rf"[{''.join([*_HAN_DIGITS, *_HAN_UNITS, *_HAN_MYRIADS])}]{{1,20}}(?!\d)")
# A single numeral is mostly part of a word (一样, "the same"): it is a number only before a counter and a verb.
_BEHIND_ONE_NUMERAL = re.compile(r"[个個つ元円页頁人本枚天]?(?:です|だ|になります)?[\s*_$」』”\"}]{0,9}\Z")
_ROMAN = re.compile(r"(?<![^\W_])(?=[IVX]{2})(?P<tens>X{0,3})(?P<units>IX|IV|V?I{0,3})(?![^\W_])")
_ROMAN_UNITS = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_PART_OF_SOMETHING = ("<super>", "<sub>", "<fraction>")


def find_han_number(folded: str, language: Language, start: int, end: int) -> NumberSpan | None:
    """Return the number in Chinese numerals at `start`, in a language that uses them; None without one."""
    match = _HAN.match(folded, start, end) if language.has_han else None
    if match is None or (len(match[0]) == 1 and not _BEHIND_ONE_NUMERAL.match(folded[match.end() : end])):
        return None
    value = read_han(match[0], is_japanese=language.has_kana)
    return None if value is None else NumberSpan(value=str(value), start=match.start(), end=match.end())


def find_rare_number(folded: str, start: int, end: int) -> NumberSpan | None:
    """Return the first Roman numeral from II to XXXIX, or number in one character (⑫, Ⅻ); None without one.

    Superscripts and fractions in one character are left out: they belong to a unit or to a number.
    """
    roman = _ROMAN.search(folded, start, end)
    single = None if folded.isascii() else _find_single(folded, start, roman.start() if roman else end)
    if single is not None or roman is None:
        return single
    value = 10 * len(roman["tens"]) + _ROMAN_UNITS.index(roman["units"])
    return NumberSpan(value=str(value), start=roman.start(), end=roman.end())


def _find_single(folded: str, start: int, end: int) -> NumberSpan | None:
    for place, character in enumerate(folded[start:end], start):
        if unicodedata.category(character) in ("No", "Nl"):
            value = unicodedata.numeric(character, None)
            if value is not None and not unicodedata.decomposition(character).startswith(_PART_OF_SOMETHING):
                number = Fraction(value).limit_denominator(1000)
                return NumberSpan(value=canonical(number), start=place, end=place + 1)
    return None


def read_han(numeral: str, *, is_japanese: bool) -> int | None:
    """Return the value of a numeral in Chinese characters: 十一 is 11, 三千五百 is 3500, 二万 is 20000.

    The result is None for a numeral that is not well formed (一一), and for what is ambiguous or a word in Chinese:
    三百五 (in speech 350), 千万 ("by all means"). Japanese leaves out the one of 百 and 千, and 三百五 is 305 there.
    """
    if not is_japanese and (numeral[0] in "百千万萬亿億" or _ends_open(numeral)):
        return None
    total, last_myriad, section = 0, 10**9, ""
    for character in numeral:
        if character not in _HAN_MYRIADS:
            section += character
            continue
        myriad, value = _HAN_MYRIADS[character], _read_section(section)
        if not value or myriad >= last_myriad:
            return None
        total, last_myriad, section = total + value * myriad, myriad, ""
    rest = _read_section(section) if section else 0
    return None if rest is None else total + rest


def _ends_open(numeral: str) -> bool:
    return len(numeral) > 1 and numeral[-1] in _HAN_DIGITS and numeral[-2] not in "零〇十"


def _read_section(section: str) -> int | None:
    """Return the value of a numeral below 10,000; None where units don't decrease or two digits follow each other."""
    total, digit, last_unit = 0, None, 10**4
    for character in section:
        if character in _HAN_DIGITS:
            if digit:
                return None
            digit = _HAN_DIGITS[character]
            continue
        unit = _HAN_UNITS[character]
        if unit >= last_unit or digit == 0:
            return None
        total, digit, last_unit = total + (digit or 1) * unit, None, unit
    return total + (digit or 0)
