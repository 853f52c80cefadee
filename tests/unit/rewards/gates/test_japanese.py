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
        ("漢" * 13 + "あ" * 7, True),  # 7 of 20 letters are kana, 0.35
        ("漢" * 14 + "あ" * 6, False),
        ("漢" * 33 + "あ" * 17, False),  # 0.34
        ("漢" * 13 + "あ" * 7 + "の" * 10, True),  # the の are left out of both
        ("漢" * 14 + "あ" * 6 + "の" * 10, False),
        ("ア" * 21 + "あ" * 9, True),  # 21 of 30 letters are katakana, 0.7
        ("ア" * 22 + "あ" * 8, False),
        ("ア" * 18 + "あ" * 5, True),  # 23 letters: too few to judge by katakana
        ("ア" * 18 + "あ" * 6, False),
        (KATAKANA[:15] + "。" + "あ" * 9, True),  # fewer than 16 letters without hiragana
        (KATAKANA[:16] + "。" + "あ" * 8, False),
        (KATAKANA[:16] + "。" + "あ" * 32, True),  # 16 of 48 letters, a third
        (KATAKANA[:17] + "。" + "あ" * 31, False),
        (f"{KATAKANA[:9]} \n" * 3 + "あ" * 12, True),  # one word of 9 letters, three times
        (f"{KATAKANA[:9]} \n{KATAKANA[9:18]} \n" + "あ" * 12, False),  # two words
        (f"{KATAKANA[:8]}。" * 2 + "あ" * 12, False),  # without a blank between them two words are one
        (f"{KATAKANA[:9]}の 。{KATAKANA[9:18]} 。" + "あ" * 14, False),  # の alone is no hiragana
    ],
)
def test_japanese_has_kana_and_hiragana_all_over(text: str, expected: bool) -> None:
    assert is_like_japanese(text) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("们这は", False),  # two characters that Japanese does not write
        ("们这说は", True),  # three
        ("漢" * 7, False),  # too short to judge
        ("漢" * 8, True),
        ("漢" * 9 + "あ", False),  # 1 of 10 letters is kana, 0.1
        ("漢" * 10 + "あ", True),
        ("漢" * 19 + "ああ", True),  # 2 of 21
        ("漢" * 9 + "あ、" + "漢" * 7, False),  # clause by clause
        ("漢" * 7 + "あ、" + "漢" * 8, True),
        ("ニ" * 20, False),
    ],
)
def test_chinese_has_clauses_without_kana_or_characters_of_its_own(sentence: str, expected: bool) -> None:
    assert is_chinese(sentence) is expected
