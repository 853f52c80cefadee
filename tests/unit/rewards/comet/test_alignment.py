"""Test which sentences of two texts are aligned."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.comet.alignment import TextPair, align
from tests.fakes.comet import ENGLISH, GERMAN


def sides(pairs: Sequence[TextPair]) -> list[tuple[str, str]]:
    return [(pair.english, pair.native) for pair in pairs]


def test_sentences_of_a_translation_stand_for_each_other() -> None:
    assert sides(align(ENGLISH, GERMAN, language="de")) == list(zip(ENGLISH, GERMAN, strict=True))


def test_a_step_left_out_stands_alone() -> None:
    assert sides(align(ENGLISH, [GERMAN[0], GERMAN[2]], language="de")) == [
        (ENGLISH[0], GERMAN[0]),
        (ENGLISH[1], ""),
        (ENGLISH[2], GERMAN[2]),
    ]


def test_padding_stands_alone() -> None:
    padding = "Das Wetter war an jenem Tag im Jahr 1987 wirklich sehr angenehm und mild."
    assert sides(align(ENGLISH, [GERMAN[0], padding, *GERMAN[1:]], language="de")) == [
        (ENGLISH[0], GERMAN[0]),
        ("", padding),
        (ENGLISH[1], GERMAN[1]),
        (ENGLISH[2], GERMAN[2]),
    ]


@pytest.mark.parametrize(
    ("language", "english", "native", "expected"),
    [
        # Two sentences for one, and two for two that are cut in different places.
        ("th", ["abcde", "fghij"], ["vwxyz"], [("abcde fghij", "vwxyz")]),
        ("th", ["abcde 3", "fghij"], ["v" * 10], [("abcde 3 fghij", "v" * 10)]),
        ("de", ["abcde", "fghijklmno 4"], ["vwxyz 4", "stuvw"], [("abcde fghijklmno 4", "vwxyz 4 stuvw")]),
        # A number that only one side has costs more than leaving its sentence alone.
        ("de", ["abcde"], ["vwxyz 7", "stuvw"], [("", "vwxyz 7"), ("abcde", "stuvw")]),
        ("de", ["abcde 4", "fghij"], ["vwxyz"], [("abcde 4", ""), ("fghij", "vwxyz")]),
        # Sentences of very different length may still stand for each other.
        ("de", ["a" * 20 + " 7"], ["vwxyz"], [("a" * 20 + " 7", "vwxyz")]),
    ],
)
def test_length_and_numbers_decide_which_sentences_are_taken_together(
    language: str, english: list[str], native: list[str], expected: list[tuple[str, str]]
) -> None:
    assert sides(align(english, native, language=language)) == expected


def test_of_more_than_a_hundred_sentences_neighbours_are_taken_together_once() -> None:
    sentences = [f"Satz {number}." for number in range(101)]
    native = [pair.native for pair in align([], sentences, language="de")]
    assert native == [" ".join(sentences[start : start + 2]) for start in range(0, 101, 2)]


def test_thai_which_marks_no_sentences_is_aligned_by_its_clauses() -> None:
    thai = ["โรเจอร์มีลูกบอล 5 ลูก", "เขาซื้อ 2 กระป๋อง กระป๋องละ 3 ลูก ซึ่งก็คือเพิ่มอีก 6 ลูก", "ดังนั้นเขาจึงมี 5 + 6 = 11 ลูก"]
    found = align(ENGLISH, [" ".join(thai)], language="th")
    assert [pair.english for pair in found] == ENGLISH
    for number, pair in zip(("5", "2", "11"), found, strict=True):
        assert number in pair.native.split()
    assert " ".join(pair.native for pair in found) == " ".join(thai)


def test_a_thai_clause_begins_with_a_long_word_after_a_clause_that_is_not_short() -> None:
    alone = align([], ["กับ โรเจอร์มีลูกบอล 5 ลูก เขาซื้อ 2"], language="th")
    # The first clause of the text is too short to end before the long word.
    assert [pair.native for pair in alone] == ["กับ โรเจอร์มีลูกบอล 5 ลูก", "เขาซื้อ 2"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab1 .", max_size=8), max_size=9), st.lists(st.text("xyz2 。", max_size=8), max_size=9))
def test_alignment_loses_nothing_and_keeps_the_order(english: list[str], native: list[str]) -> None:
    pairs = align(english, native, language="zh")
    assert "".join("".join(pair.english.split()) for pair in pairs) == "".join(
        "".join(text.split()) for text in english
    )
    assert "".join("".join(pair.native.split()) for pair in pairs) == "".join("".join(text.split()) for text in native)
