"""Test which option letter a declaration names."""

import pytest

from languages.facts import known_language
from rewards.answers.options import find_options

ENGLISH = known_language("en")


def found(text: str) -> list[tuple[str, str]]:
    """Return the letters, each with the text behind it."""
    return [(span.value, text[span.end :]) for span in find_options(text, 0, len(text), ENGLISH)]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("A", [("A", "")]),
        ("J", [("J", "")]),
        ("K", []),
        ("(B", []),  # not closed
        ("(B)", [("B", "")]),
        ("( **B**)", [("B", "")]),
        ("[B]", [("B", "")]),
        ("{B}", [("B", "")]),
        ("option B", [("B", "")]),
        ("the option B", [("B", "")]),
        ("l'option B", [("B", "")]),
        ("about option B", []),  # a word of more than four letters before it
        ("B.5", []),
        ("B.", [("B", ".")]),
        ("B.C", []),
        ("B, as 5 is odd", [("B", ", as 5 is odd")]),
        ("B because", [("B", " because")]),
        ("B - because", [("B", " - because")]),
        ("B    because", []),  # more than three blanks
        ("A because", []),  # "A" and "I" begin a sentence
        ("I because", []),
        ("A)", [("A", "")]),
        ("B Because", []),
        ("B和", [("B", "和")]),
        ("Bä", []),
        ("B or C", [("B", " or C"), ("C", "")]),
        ("B, C / D", [("B", ", C / D"), ("C", " / D"), ("D", "")]),
        ("(B) oder (C)", [("B", " oder (C)"), ("C", "")]),
        ("B oder Car", [("B", " oder Car")]),
        ("B or C5", [("B", " or C5")]),
        ("B entweder C", [("B", " entweder C")]),  # a word of more than five letters
        ("(B) 15 apples", [("B", "")]),
        ("B: 15 apples", [("B", "")]),
        ("(B): 15 apples", [("B", "")]),
        ("(B)\n15 apples", [("B", "\n15 apples")]),
        ("x B", []),
    ],
)
def test_the_letter_at_the_start_is_read_with_what_belongs_to_it(text: str, letters: list[tuple[str, str]]) -> None:
    assert found(text) == letters


def test_ten_letters_are_read_and_no_more() -> None:
    listed = ", ".join("ABCDEFGHIJ" * 2)
    assert [letter for letter, _ in found(listed)] == list("ABCDEFGHIJ")


def test_only_the_asked_part_of_a_text_is_read() -> None:
    assert find_options("(B) or (C)", 1, 10, ENGLISH)[0].start == 1
    assert [span.value for span in find_options("(B) or (C)", 0, 7, ENGLISH)] == ["B"]
    assert find_options("(B)", 0, 2, ENGLISH) == []


@pytest.mark.parametrize("text", ["(B)", "(B) 15 apples", "(B) or C"])
def test_an_option_starts_at_its_letter(text: str) -> None:
    assert find_options(text, 0, len(text), ENGLISH)[0].start == 1
