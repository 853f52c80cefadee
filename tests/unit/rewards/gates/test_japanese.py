"""Test that a text that only shares letters with Japanese is refused, each limit from both sides."""

import pytest

from rewards.gates.identify import LanguageIdentifier
from rewards.gates.japanese import is_chinese, is_like_japanese

NOT_JAPANESE = {
    "short clauses of Cantonese": "妮娜已經睇咗 18 頁。\n仲有 84 - 18 = 66 頁未睇。\n佢每日要睇 11 頁。",
    "Chinese with a の behind each word": "妮娜の已経読了の 18 頁の。\n残の 84 - 18 = 66 頁の。\n毎日要読の 11 頁の。",
    "English in katakana": "ニーナ ハズ レッド 18 ページズ ソー ファー。\nゼア アー 84 - 18 = 66 ページズ レフト。",
    "English in katakana with a Japanese closing": (
        "ニーナ ハズ レッド 18 ページズ ソー ファー。\nゼア アー 84 - 18 = 66 ページズ レフト。\nこれで終わりです。"
    ),
}


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(("ja",))


@pytest.mark.parametrize("name", NOT_JAPANESE)
def test_what_only_shares_letters_with_japanese_is_refused(identifier: LanguageIdentifier, name: str) -> None:
    assert not identifier.is_in(NOT_JAPANESE[name], "ja")


KATAKANA = "アイウエオカキクケコサシスセソタチツテト"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("漢" * 7, True),  # too short to judge
        ("漢" * 8, False),
        ("漢" * 19 + "ああ", False),  # 2 of 21 letters
        ("漢" * 18 + "ああ", True),  # 0.1, in a text of fewer than 24 letters
        ("漢" * 20 + "ああああ", False),
        ("漢" * 18 + "あ" * 6, True),  # 6 of 24 letters are kana, 0.25
        ("漢" * 25 + "あ" * 8, False),
        ("漢" * 18 + "あ" * 6 + "の" * 10, True),  # the の are left out of both
        ("漢" * 19 + "あ" * 5 + "の" * 10, False),
        ("アイウエオカキ" * 3 + "あ" * 9, True),  # 21 of 30 letters are katakana, 0.7
        ("アイウエオカキ" * 3 + "ア" + "あ" * 8, False),
        ("ジェットコースター あ " * 8, True),  # a word that comes again is one word
        ("ア" * 18 + "あ" * 5, True),  # 23 letters: too few to judge by katakana
        ("ア" * 18 + "あ" * 6, False),
        (KATAKANA[:15] + "。" + "あ" * 9, True),  # fewer than 16 letters without hiragana
        (KATAKANA[:16] + "。" + "あ" * 10, False),
        (KATAKANA[:18] + "。" + "あ" * 12, True),  # 18 of 30 letters, 0.6
        (KATAKANA[:19] + "。" + "あ" * 12, False),
        (f"{KATAKANA[:9]} \n" * 3 + "あ" * 12, True),  # one word of 9 letters, three times
    ],
)
def test_japanese_has_kana_and_hiragana_all_over(text: str, expected: bool) -> None:
    assert is_like_japanese(text) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("们这は", False),  # two characters that Japanese does not write
        ("们这说は", True),  # three
        ("漢" * 7 + "们", True),  # a word of Chinese: from eight letters on
        ("漢" * 6 + "们", False),
        ("漢" * 11, False),  # a term, such as 小数点以下四捨五入
        ("漢" * 12, True),
        ("漢" * 17 + "ああ", False),  # 2 of 19 letters are kana
        ("漢" * 19 + "ああ", True),  # 2 of 21
        ("漢" * 11 + "あ、" + "漢" * 11, True),  # clause by clause: 1 of 12 letters
        ("平均年齢計算 = (合計年齢計算 + 合計年齢計算) ÷ 人数", False),  # terms of an equation are clauses
        ("ニ" * 20, False),
    ],
)
def test_chinese_has_clauses_without_kana_or_characters_of_its_own(sentence: str, expected: bool) -> None:
    assert is_chinese(sentence) is expected
