"""Test that a number is understood whole, with all that belongs to it, or not at all; in every language."""

import pytest

from languages.facts import LANGUAGES
from rewards.answers.final import final_answer, has_two_readings, plain_answer, same_answer
from rewards.answers.numbers import find_numbers, fold


def values(text: str, code: str = "en") -> list[str]:
    return [number.value for number in find_numbers(fold(text), LANGUAGES[code])]


MINUS = {
    **{"en": "minus 5", "de": "minus 5", "es": "menos 5", "fr": "moins 5", "ru": "минус 5", "zh": "负5"},
    **{"ja": "マイナス5", "th": "ลบ 5", "sw": "hasi 5", "bn": "মাইনাস ৫", "te": "మైనస్ 5", "ar": "سالب 5"},
}


@pytest.mark.parametrize("code", MINUS)
def test_every_minus_and_its_word_are_read(code: str) -> None:
    for number in ("-5", "−5", "–5", "﹣5", "－5", "‐5", "$-5", MINUS[code]):
        assert final_answer(LANGUAGES[code].closing.format(answer=number), code) == "-5", number


@pytest.mark.parametrize(
    ("code", "text", "found"),
    [
        ("de", "10 Euro minus 5", ["10", "5"]),
        ("en", "10 minus 5", ["10", "5"]),
        ("en", "5-3", ["5", "3"]),
        ("fr", "au moins 5", ["5"]),
        ("es", "al menos 5", ["5"]),
    ],
)
def test_an_operator_or_a_hedge_is_no_minus(code: str, text: str, found: list[str]) -> None:
    assert values(text, code) == found


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        ("en", "2 thousand", "2000"),
        ("en", "5 hundred", "500"),
        ("en", "3 trillion", "3000000000000"),
        ("en", "2 lakh", "200000"),
        ("de", "1 Milliarde", "1000000000"),
        ("de", "2,5 Mio. Euro", "2500000"),
        ("es", "5 mil millones", "5000000000"),
        ("fr", "3 milliards", "3000000000"),
        ("ru", "3 млрд", "3000000000"),
        ("ru", "5 тысяч 200", "5200"),
        ("zh", "2千", "2000"),
        ("zh", "1万2千", "12000"),
        ("zh", "3万5000", "35000"),
        ("ja", "1億2千万", "120000000"),
        ("th", "3 แสน", "300000"),
        ("sw", "elfu 5", "5000"),
        ("sw", "laki 2", "200000"),
        ("bn", "২ লাখ ৫০ হাজার", "250000"),
        ("te", "1 లక్ష", "100000"),
        ("ar", "3 ملايين", "3000000"),
        ("en", "18 and a half", "18.5"),
        ("de", "2 und eine halbe", "2.5"),
        ("zh", "2小时半", "2.5"),
        ("ru", "2 с половиной", "2.5"),
        ("bn", "সাড়ে ৩", "3.5"),
        ("en", "$5k", "5000"),
        ("en", "$2.5M", "2500000"),
        ("en", ".5", "0.5"),
        ("en", "$.50", "0.5"),
        ("de", ",5", "0.5"),
        ("en", r"70\,000", "70000"),
        ("en", r"70\ 000", "70000"),
        ("en", "70~000", "70000"),
    ],
)
def test_scales_halves_and_leading_points_are_part_of_the_number(code: str, text: str, value: str) -> None:
    assert values(text, code) == [value]
    if code != "te":  # there a closing has no verb
        assert final_answer(LANGUAGES[code].closing.format(answer=text), code) == value


def test_a_number_that_may_be_meant_in_two_ways_is_none() -> None:
    assert values("1万2", "zh") == []
    assert values("1万2元 3", "zh") == ["3"]


@pytest.mark.parametrize(
    ("code", "text", "answer"),
    [
        ("ja", "答えは3割です。", "30%"),
        ("ja", "答えは2.5割です。", "25%"),
        ("zh", "答案是3成。", "30%"),
        ("zh", "答案是3成员。", "3"),  # three members
        ("zh", "答案是12，其中3成员。", "12"),
    ],
)
def test_tenths_are_a_percentage(code: str, text: str, answer: str) -> None:
    assert final_answer(text, code) == answer


def test_tenths_that_go_on_are_not_understood() -> None:
    assert values("3割5分と4", "ja") == ["4"]
    assert values("3成5和4", "zh") == ["4"]


DOZENS = {
    **{"en": "2 dozen", "de": "2 Dutzend", "es": "2 docenas", "fr": "2 douzaines", "ru": "2 дюжины", "zh": "2打"},
    **{"ja": "2ダース", "th": "2 โหล", "bn": "২ ডজন", "te": "2 డజన్లు", "ar": "2 دزينة"},
}


@pytest.mark.parametrize("code", DOZENS)
def test_dozens_are_a_unit_of_their_own_or_so_many_things(code: str) -> None:
    answer = plain_answer(DOZENS[code], code)
    assert answer == "2|24"
    assert same_answer(answer, "24")
    assert same_answer(answer, "2")
    assert not same_answer(answer, "12")


def test_a_word_that_begins_like_a_group_is_none() -> None:
    assert plain_answer("2 dozenths", "en") == "2"


@pytest.mark.parametrize(("num_words", "value"), [(4, "10" + "0" * 12), (5, "10" + "0" * 12)])
def test_at_most_four_scale_words_are_read(num_words: int, value: str) -> None:
    assert values("10" + " тыс" * num_words, "ru") == [value]


@pytest.mark.parametrize(("blanks", "value"), [(19, "-5"), (20, "5")])
def test_twenty_four_characters_before_a_number_are_read_for_its_words(blanks: int, value: str) -> None:
    assert values(f"minus{' ' * blanks}5") == [value]


def test_a_percent_word_that_begins_like_a_scale_is_no_scale() -> None:
    assert values("৫০ শতাংশ", "bn") == ["50"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        *(("te", "సమాధానం రూ. 18."), ("sw", "Jibu ni Sh. 18."), ("en", "The answer is approx. 18.")),
        *(("de", "Die Antwort lautet ca. 18."), ("fr", "La réponse est env. 18."), ("en", "The answer is Rs. 18.")),
        *(("ru", "Ответ: ок. 18."), ("es", "La respuesta es aprox. 18."), ("en", "The answer is USD 18.")),
    ],
)
def test_an_abbreviation_before_the_number_ends_no_sentence(code: str, text: str) -> None:
    assert final_answer(text, code) == "18"


# --- 7,425 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["de", "es", "fr", "ru"])
def test_either_reading_of_a_comma_before_three_digits_may_be_the_references(code: str) -> None:
    answer = final_answer(LANGUAGES[code].closing.format(answer="7,425"), code)
    assert answer is not None
    assert has_two_readings(answer)
    assert same_answer(answer, "7425")
    assert same_answer("7.425", answer)
    assert not same_answer(answer, "7")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("La respuesta es 7,425.", "7.425|7425"),
        ("Son 3,000 dólares. La respuesta es 7,425.", "7425|7.425"),
        ("Son 19.50 dólares. La respuesta es 7,425.", "7425|7.425"),
        ("Son 19,50 dólares. La respuesta es 7,425.", "7.425|7425"),
        ("La respuesta es $7,425.", "7425|7.425"),
        ("La respuesta es 27,000.", "27000"),
        ("La respuesta es $27,000.", "27000"),
        ("La respuesta es 0,425.", "0.425"),
        ("La respuesta es 7.425.", "7425"),
        ("Son 19.50 dólares. La respuesta es 7.425.", "7.425"),
        ("La respuesta es -7,425%.", "-7.425%|-7425%"),
    ],
)
def test_the_rest_of_the_text_decides_how_a_mark_is_read(text: str, answer: str) -> None:
    assert final_answer(text, "es") == answer


def test_a_language_with_a_decimal_point_has_one_reading() -> None:
    assert final_answer("The answer is 7,425.", "en") == "7425"
    assert final_answer("الإجابة هي 7,425.", "ar") == "7425"


# --- pairs, intervals, sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "other"),
    [("(3,4)", "3.4"), ("[0,1]", "0.1"), (r"\{1,2\}", "1.2"), (r"\pm 2021", "2021"), ("(3, 4)", "3"), ("[0,1)", "0")],
)
@pytest.mark.parametrize("code", ["en", "de"])
def test_pairs_intervals_and_sets_are_themselves(code: str, text: str, other: str) -> None:
    answer = final_answer(rf"\boxed{{{text}}}", code)
    assert answer is not None
    assert same_answer(answer, plain_answer(text, "en") or "")
    assert not same_answer(answer, other)


def test_a_number_in_brackets_and_a_list_without_are_no_pair() -> None:
    assert final_answer(r"\boxed{(1,000)}", "en") == "1000"
    assert final_answer(r"\boxed{12,13}", "en") == "12 or 13"
    assert same_answer("(3,4)", "(3, 4)")
    assert not same_answer("(3,4)", "(4,3)")
