"""Test the gate for copying: a copied question is refused, a solution is not, each limit from both sides."""

import pytest

from rewards.gates.copying import CopyingGate, copied_share, works_something_out
from tests.builders import QUESTION, a_reading

REASONING = "Zusammen sind es dann 5 + 6 = 11 Bälle."
CLOSING = "Die Antwort lautet 11."
GATE = CopyingGate()

COPYING_CASES = {
    "the question": (QUESTION, False),
    "the question twice": (f"{QUESTION} {QUESTION}", False),
    "the question and the answer": (f"{QUESTION} 11", False),
    "the question, then solved": (f"{QUESTION} 5 + 6 = 11.", True),
    "the question, then solved without an equation": (f"{QUESTION} Nach 2 Käufen sind es 11 Bälle.", True),
    "the question's numbers with units": ("Er hat 5 Tennisbälle + 6 Tennisbälle = 11 Tennisbälle.", True),
    "a solution": (REASONING, True),
    "nothing": ("", True),
}


@pytest.mark.parametrize("case", COPYING_CASES)
def test_copying_gate_shuts_where_nothing_is_worked_out(case: str) -> None:
    reasoning, expected = COPYING_CASES[case]
    assert GATE.is_open(a_reading(f"{reasoning}\n{CLOSING}")) is expected


def test_nothing_is_copied_from_an_empty_question() -> None:
    assert GATE.is_open(a_reading(f"{REASONING}\n{CLOSING}", question=""))


@pytest.mark.parametrize(
    ("reasoning", "share"),
    [
        ("a b c d e f g h x y", 0.8),
        ("a b c d e f g h i x", 0.9),
        ("a b x y", 0.0),  # two words are no phrase
        ("x a b c", 0.75),
        ("A, B; c!", 1.0),
        ("", 0.0),
    ],
)
def test_copied_share_counts_words_inside_phrases_of_three(reasoning: str, share: float) -> None:
    assert copied_share(reasoning, "a b c d e f g h i j", "de") == share


def test_phrases_are_six_characters_in_scripts_without_spaces() -> None:
    assert copied_share("安娜有十二个", "安娜有十二个苹果", "zh") == 1.0
    assert copied_share("安娜有十二", "安娜有十二个苹果", "zh") == 0.0


# A hundred words, of which so many stand in the question.
@pytest.mark.parametrize(("copied", "expected"), [(79, True), (80, True), (81, False)])
def test_copying_gate_shuts_above_four_fifths(copied: int, expected: bool) -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in "abcdefghij"]
    reasoning = " ".join([*words[:copied], *["zx"] * (100 - copied)])
    assert GATE.is_open(a_reading(f"{reasoning}\n{CLOSING}", question=" ".join(words))) is expected


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("", False),
        ("11", False),
        ("11 11", False),  # one number, twice
        ("11 12", True),
        ("5 + 6", True),
        ("5 " + "m" * 18 + " + 6", True),  # a unit of 20 characters, its blanks included
        ("5 " + "m" * 19 + " + 6", False),
        ("5 $,+ 6", True),
        ("6 box 6", False),  # the last letter of a word is no operator
        ("5 +$( 6", True),
        ("5 + $( 6", False),  # and three after it
    ],
)
def test_two_new_numbers_or_an_equation_work_something_out(added: str, expected: bool) -> None:
    question = "a b c d e f g h i j 5 6"
    assert works_something_out(f"{question} {added}", question) is expected


def test_an_equation_of_the_question_works_nothing_out() -> None:
    question = "Was ist 5 + 6 = 11?"
    assert not works_something_out(question, question)
    assert works_something_out(f"{question} 5 + 7", question)


@pytest.mark.parametrize(("padding", "expected"), [(49_995, True), (49_996, False)])
def test_only_the_start_of_a_very_long_reasoning_and_question_is_read(padding: int, expected: bool) -> None:
    question = "a b c " * 10_000
    assert GATE.is_open(a_reading(f"{question[:padding]}5 + 6\n{CLOSING}", question=question)) is expected
