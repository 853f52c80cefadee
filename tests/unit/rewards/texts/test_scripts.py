"""Test that letters are weighed by script, and that symbols and vowel signs are counted separately."""

import pytest

from rewards.texts.scripts import letters_of, num_symbols, weigh


def test_letters_are_weighed_by_script() -> None:
    # Six Chinese characters at 2.83 and the three letters of a name.
    assert weigh("安娜有苹果 DVD 吗", "zh") == pytest.approx(6 * 2.83 + 3)
    assert weigh("12 + 3 = 15", "de") == 0


def test_vowel_signs_are_no_symbols() -> None:
    assert num_symbols("ఆమె మిగిలిన", "te") == num_symbols("สวัสดี", "th") == 0
    assert num_symbols("5 + 6 = 11.", "de") == 7


def test_letters_of_several_scripts_are_those_of_each() -> None:
    letters = letters_of(("Han", "Hiragana"))
    assert [character for character in "漢あアXa1" if letters.match(character)] == ["漢", "あ"]
