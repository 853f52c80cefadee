"""Test that the facts on numbers in the language files are those of CLDR, where CLDR knows them."""

import pytest

from languages.facts import builtin_languages, known_language

# CLDR lacks Haitian Creole's numbers and Quechua's words. Its Nepali word for ten million (करोड) stands at one million.
CODES = [code for code in builtin_languages() if code not in ("ht", "ne", "qu")]

babel = pytest.importorskip("babel", reason="needs babel: run in the environment of `make word-lists`")


@pytest.mark.parametrize("code", CODES)
def test_the_decimal_mark_is_cldrs(code: str) -> None:
    symbols = babel.Locale.parse(code).number_symbols
    assert symbols.get("latn", symbols)["decimal"] == known_language(code).decimal_mark


@pytest.mark.parametrize("code", CODES)
def test_every_word_of_cldrs_compact_numbers_is_a_scale(code: str) -> None:
    language = known_language(code)
    known = {**language.scale_values, **language.scale_values_before}
    missing = {(word, factor) for word, factor in _compact_words(code) if " " not in word and known.get(word) != factor}
    # Words of two scales are read one after the other: "5 พันล้าน" is 5 thousand million.
    assert {pair for pair in missing if not any(pair[0].startswith(word) for word in known)} == set()


def _compact_words(code: str) -> set[tuple[str, int]]:
    """Return CLDR's words for powers of ten, written out, with their values."""
    words: set[tuple[str, int]] = set()
    for numbers in babel.Locale.parse(code).compact_decimal_formats["long"].values():
        for number, pattern in numbers.items():
            text = pattern.pattern.replace("'", "").partition(";")[0]
            word = text.replace("0", "").strip("\u200f\xa0 .").replace("\xa0", " ").lower()
            if word and text.count("0"):
                words.add((word, int(number) // 10 ** (text.count("0") - 1)))
    return words
