"""Test numbers that are not written in digits: Chinese numerals, Roman ones, and numbers in one character."""

import pytest

from languages.facts import known_language
from rewards.answers.final import final_answer
from rewards.answers.numerals import find_han_number, find_rare_number, read_han


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        *(("十", 10), ("十一", 11), ("二十", 20), ("九十九", 99), ("一百零五", 105), ("三千五百", 3500)),
        *(("两万", 20_000), ("三万零五十", 30_050), ("一亿二千万", 120_000_000), ("两千〇二十", 2020)),
        *(("一一", None), ("十百", None), ("一万亿", None), ("三百五", None), ("千万", None), ("零十", None)),
    ],
)
def test_chinese_numerals_add_up(numeral: str, value: int | None) -> None:
    assert read_han(numeral, is_japanese=False) == value


def test_japanese_leaves_out_ones_and_zeros() -> None:
    assert [read_han(numeral, is_japanese=True) for numeral in ("百五", "千二百", "三百五")] == [105, 1200, 305]


@pytest.mark.parametrize(
    ("code", "text", "answer"),
    [
        ("zh", "答案是一样的。", "一样的"),
        ("zh", "答案是十分简单。", "十分简单"),
        ("zh", "答案是千万不要。", "千万不要"),
        ("zh", "答案是五。", "5"),
        ("zh", "答案是3万5000。", "35000"),
        ("ja", "答えは一つです。", "1"),
        ("de", "Die Antwort lautet 十一.", "十一"),
    ],
)
def test_a_numeral_inside_a_word_is_no_number(code: str, text: str, answer: str) -> None:
    assert final_answer(text, code) == answer


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        *(("万", None), ("百", None), ("千五百", None), ("亿", None), ("零", 0), ("〇", 0), ("九", 9)),
        *(("一百五", None), ("一百五十", 150), ("一百〇五", 105), ("十五", 15), ("五十五", 55), ("一千零一", 1001)),
        *(("十万", 100_000), ("九千九百九十九万九千九百九十九", 99_999_999), ("一万一", None), ("一万零一", 10_001)),
        *(("一万一万", None), ("一亿一万", 100_010_000), ("万一", None), ("零百", None), ("两两", None)),
        *(("一萬", 10_000), ("一億", 100_000_000), ("兩萬", 20_000)),
        *(("一百一百", None), ("一十一百", None), ("一亿亿", None)),
    ],
)
def test_a_chinese_numeral_is_well_formed_or_none(numeral: str, value: int | None) -> None:
    assert read_han(numeral, is_japanese=False) == value


@pytest.mark.parametrize(("numeral", "value"), [("千万", 10_000_000), ("万", None), ("一万一", 10_001), ("百百", None)])
def test_a_japanese_numeral_may_end_open(numeral: str, value: int | None) -> None:
    assert read_han(numeral, is_japanese=True) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("十一个", "11"),
        ("五个", "5"),  # one numeral and a counter
        ("五 **", "5"),
        ("五样", None),
        ("五个样", None),
        ("十" + "零" * 18 + "五", "15"),  # twenty numerals
        ("十" + "零" * 19 + "五", "10"),
        ("十一1", None),
        ("x十一", None),
    ],
)
def test_a_chinese_number_stands_at_the_start(text: str, value: str | None) -> None:
    found = find_han_number(text, known_language("zh"), 0, len(text))
    assert (None if found is None else found.value) == value
    assert find_han_number(text, known_language("de"), 0, len(text)) is None


@pytest.mark.parametrize(
    ("text", "value", "start"),
    [
        ("I", None, 0),  # a word
        ("V", None, 0),  # a unit
        *(("II", "2", 0), ("IV", "4", 0), ("VIII", "8", 0), ("IX", "9", 0), ("XX", "20", 0), ("XXXIX", "39", 0)),
        *(("XXXX", None, 0), ("IIII", None, 0), ("XL", None, 0), ("IXI", None, 0), ("VX", None, 0), ("XIIa", None, 0)),
        ("oder XII.", "12", 5),
        ("_XII_", "12", 1),
        ("aXII", None, 0),
        *(("⑫", "12", 0), ("Ⅻ", "12", 0), ("oder ⑫ XX", "12", 5), ("XX ⑫", "20", 0), ("㊿", "50", 0)),
        *(("²", None, 0), ("½", None, 0), ("₂", None, 0), ("m² ⑫", "12", 3)),
    ],
)
def test_the_first_roman_number_or_number_in_one_character_is_found(text: str, value: str | None, start: int) -> None:
    found = find_rare_number(text, 0, len(text))
    assert found is None if value is None else found is not None and (found.value, found.start) == (value, start)


def test_only_the_asked_part_of_a_text_is_searched() -> None:
    text = "XX oder ⑫ oder XI"
    assert find_rare_number(text, 2, 7) is None
    found = find_rare_number(text, 2, len(text))
    assert found is not None and (found.value, found.start, found.end) == ("12", 8, 9)
    found = find_rare_number(text, 9, len(text))
    assert found is not None and (found.value, found.start, found.end) == ("11", 15, 17)
