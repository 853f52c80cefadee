"""Test numbers as people write them: fractions, percents, scale words, and numbers that are too long."""

import pytest

from languages.facts import LANGUAGES
from rewards.answers.numbers import MAX_DIGITS, find_number, find_numbers, fold, nfc


def values(text: str, code: str = "en") -> list[str]:
    return [number.value for number in find_numbers(fold(text), LANGUAGES[code])]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("½", "0.5"),
        ("2½ cups", "2.5"),
        ("1 1/2 cups", "1.5"),
        ("3 / 4", "0.75"),
        ("⅔", "2/3"),
        (r"1\frac{1}{2}", "1.5"),
        (r"\dfrac{-3}{4}", "-0.75"),
        (r"-\frac{3}{4}", "-0.75"),
        (r"\frac12", "0.5"),
        (r"70{,}000", "70000"),
        ("−4", "-4"),
        ("－４", "-4"),
        ("𝟏𝟐", "12"),
        ("\u200e18\u200f", "18"),
    ],
)
def test_one_number_is_read_whatever_its_form(text: str, value: str) -> None:
    assert values(text) == [value]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "50%"),
        ("en", r"50 \%"),
        ("en", "50 percent"),
        ("de", "50 Prozent"),
        ("es", "50 por ciento"),
        ("fr", "50 pour cent"),
        ("ru", "50 процентов"),
        ("zh", "百分之50"),
        ("ja", "50パーセントです"),
        ("th", "ร้อยละ 50"),
        ("sw", "asilimia 50"),
        ("bn", "৫০ শতাংশ"),
        ("te", "50 శాతం"),
        ("ar", "٥٠٪"),
        ("ar", "50 في المئة"),
    ],
)
def test_percents_are_known_by_sign_and_by_word(code: str, text: str) -> None:
    number = find_number(fold(text), LANGUAGES[code])
    assert number is not None
    assert (number.value, number.is_percent) == ("50", True)


def test_a_percent_word_is_a_whole_word() -> None:
    number = find_number("50 percentiles", LANGUAGES["en"])
    assert number is not None
    assert not number.is_percent


def test_a_number_too_long_to_be_one_is_skipped() -> None:
    assert values("9" * MAX_DIGITS) == ["9" * MAX_DIGITS]
    assert values(f"{'9' * 5000} and 18") == ["18"]
    assert values(f"1/{'9' * 5000} and 18") == ["18"]


def test_scale_words_do_not_multiply_without_end() -> None:
    assert values("3" + "万" * 1000, "zh")[0] == "3" + "0" * 16


def test_a_list_of_slashes_is_no_fraction() -> None:
    assert values("1/0") == []
    assert values("3 5/4") == []


@pytest.mark.parametrize("text", ["7" * 100_000, "1/" * 9000, "1," * 50_000, "½" * 9000, "3万" * 9000])
def test_long_runs_of_digits_are_read_to_their_end(text: str) -> None:
    spans = find_numbers(fold(text), LANGUAGES["zh"])
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


def test_long_runs_of_combining_marks_are_cut() -> None:
    assert len(nfc("e" + "\u0301\u0316" * 50_000)) < 100


@pytest.mark.parametrize("code", LANGUAGES)
def test_number_words_are_lower_case_and_small(code: str) -> None:
    words = LANGUAGES[code].small_numbers
    assert words
    assert all(word == word.lower() == nfc(word) and " " not in word and "|" not in word for word in words)
    assert set(words.values()) <= {*range(2, 20), *range(20, 101, 10)}


def test_every_language_has_its_own_flores_code() -> None:
    codes = [language.flores for language in LANGUAGES.values()]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 8 and code[3] == "_" for code in codes)


@pytest.mark.parametrize(
    ("form", "longest"),
    [("{}", 100), ("1/{}", 100), (r"\frac{{{}}}{{3}}", 100), (r"\frac{{3}}{{{}}}", 100)],
)
def test_a_number_has_at_most_a_hundred_digits(form: str, longest: int) -> None:
    assert len(values(form.format("9" * longest))) == 1
    assert "9" * (longest + 1) not in "".join(values(form.format("9" * (longest + 1))))
    assert values(form.format("9" * (longest + 1))) == []


def test_four_scale_words_are_read_behind_a_number() -> None:
    for num, end in ((3, 4), (4, 5), (5, 5)):
        [span] = find_numbers(fold("3" + "万" * num), LANGUAGES["zh"])
        assert (span.value, span.end) == ("3" + "0" * (4 * min(num, 4)), end)


@pytest.mark.parametrize(("letters", "marks"), [(2968, 31), (2969, 30)])
def test_more_than_thirty_marks_in_a_row_are_cut_from_texts_of_more_than_three_thousand_characters(
    letters: int, marks: int
) -> None:
    text = "x" * letters + "e" + "\u0316" * 31
    assert nfc(text) == "x" * letters + "e" + "\u0316" * marks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234", ["1234"]),
        ("1234,567", ["1234", "567"]),
        ("0,123", ["0", "123"]),
        ("12,34", ["12", "34"]),
        ("12.34", ["12.34"]),
        ("1,234,567", ["1234567"]),
        ("1,23,456", ["123456"]),
        ("12,34,567", ["1234567"]),
        ("123,45,678", ["123", "45", "678"]),
        ("1,2,3", ["1", "2", "3"]),
        ("1,234.5", ["1234.5"]),
        ("1.234,5", ["1234.5"]),
        ("1.2.3", []),
        ("1'234'567", ["1234567"]),
        ("1'234.5", ["1234.5"]),
        ("1'23", []),
        ("3 4/5", ["3.8"]),
        ("3 5/5", []),
    ],
)
def test_marks_group_or_part_digits(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(("blanks", "is_percent"), [(1, True), (16, True), (17, False)])
def test_a_word_for_percent_begins_within_24_characters_before_its_number(blanks: int, is_percent: bool) -> None:
    number = find_number(f"asilimia{' ' * blanks}50", LANGUAGES["sw"])
    assert number is not None
    assert (number.value, number.is_percent) == ("50", is_percent)
