"""Test that a quotation or gloss in another language is taken out of a text, and that no text hides in them."""

import pytest

from languages.facts import LANGUAGES
from rewards.gates.asides import without_asides
from rewards.gates.identify import LanguageIdentifier

GERMAN = "Die vier Mannschaften der Schule spielen am Samstag gegeneinander und trinken danach zusammen Saft"  # 83


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (
            "fr",
            "Il y a quatre écoles (kuna shule) dans ce grand tournoi de football de la ville entière et du pays.",
            "kuna",
        ),
        (
            "ja",
            "英語の問題文では「of the house」とあるため、家の価値の増加を意味すると考えられますが、"
            "ここでは家の元の価値の増加を計算に使うことにします。",
            "the",
        ),
        ("th", "คําถามไม่ระบุจํานวนแท่งต่อสีแน่ชัด แต่ “dans 5 ans” อาจหมายความว่าต้องการหนึ่งแท่งต่อสีในการวาดภาพครั้งนี้", "dans"),
        ("zh", "题目里的“два”是问一共有多少个苹果，所以我们要把两个篮子里的苹果相加得到总数。", "два"),
    ],
)
def test_a_quotation_and_a_gloss_in_another_language_are_taken_out(code: str, text: str, expected: str) -> None:
    assert expected not in without_asides(text, LANGUAGES[code])
    assert LanguageIdentifier((code,)).is_in(text, code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", f"{GERMAN} (alle vier)."),
        ("de", f"{GERMAN} (New York)."),  # a name
        ("zh", "三个学校(中心小学)的学生一共有四十八人，所以每个学校有十六人。"),
        ("zh", "三个学校(DVD)的学生一共有四十八人，所以每个学校有十六人。"),
    ],
)
def test_asides_in_the_language_and_single_names_stay(code: str, text: str) -> None:
    assert without_asides(text, LANGUAGES[code]) == text


@pytest.mark.parametrize(("num_words", "is_out"), [(8, True), (9, False)])
def test_an_aside_has_at_most_eight_words(num_words: int, is_out: bool) -> None:
    aside = " ".join(["of", "the", *["z"] * (num_words - 2)])
    assert (without_asides(f"{GERMAN} ({aside} 12).", LANGUAGES["de"]) == f"{GERMAN}  .") is is_out


@pytest.mark.parametrize(
    ("asides", "is_out"), [("(the) (of)", True), ("(the) (of) (and)", False), ("(the) " * 3, True)]
)
def test_at_most_two_different_asides_are_excused(asides: str, is_out: bool) -> None:
    assert ("the" not in without_asides(f"{GERMAN} {asides}", LANGUAGES["de"])) is is_out


@pytest.mark.parametrize(("num_letters", "is_out"), [(85, True), (84, False)])
def test_asides_are_a_small_part_of_a_text(num_letters: int, is_out: bool) -> None:
    """15 letters of 100 are 0.15, of 99 more."""
    text = f"{'z' * num_letters} (the zzzzzzzzzzzz)"
    assert (without_asides(text, LANGUAGES["de"]) != text) is is_out
