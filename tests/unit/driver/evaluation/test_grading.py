"""Test how responses are graded, with what other harnesses are known to get wrong. Every case is worked by hand."""

from dataclasses import replace

import pytest

from driver.evaluation.grading import Grade, grade
from driver.evaluation.sets.item import Item

NUMBERS = ("12", "15", "18")
CITIES = ("Paris", "Berlin")


def an_item(language: str = "en", *, gold: str = "18", options: tuple[str, ...] = ()) -> Item:
    return Item(task="t", item_id="1", language=language, question="?", gold=gold, options=options)


@pytest.mark.parametrize(
    ("response", "is_correct", "is_declared"),
    [
        ("12 + 5 = 17. Die Antwort lautet 17.", True, True),
        ("12 + 5 = 17. Die Antwort lautet 16.", False, True),  # the declared answer counts, not the last right number
        ("Zusammen sind es 17", True, False),
        ("Zusammen sind es viele", False, False),
    ],
)
def test_a_number_is_the_declared_answer_or_the_last_number(response: str, is_correct: bool, is_declared: bool) -> None:
    found = grade(response, an_item("de", gold="17"))
    assert (found.is_correct, found.is_declared) == (is_correct, is_declared)


@pytest.mark.parametrize(
    ("language", "response", "gold"),
    [
        ("bn", "সুতরাং উত্তর হল 11।", "11"),  # an English phrase is looked for in Bengali
        ("bn", "উত্তর হল ১৮।", "18"),  # native digits are not read
        ("te", "సమాధానం ౧౮.", "18"),
        ("th", "คำตอบคือ ๑๘", "18"),
        ("ja", "よって、答えは39個。", "39"),  # a counter behind the number
        ("de", "Die Antwort ist 29.", "29"),  # one verb only
        ("en", "The answer is $18.00.", "18"),  # read as 1800
        ("en", "He owes money: the answer is -5.", "-5"),  # the minus sign is lost
        ("de", "Die Antwort lautet 1.000.", "1000"),  # a point that groups digits
        ("fr", "La réponse est 2 125.", "2125"),  # a space that groups digits
        ("en", "The answer is 3 so far. Two more come: the answer is 5.", "5"),  # the first of two counts
        ("ko", "따라서 답은 \\boxed{204}", "204"),  # a language without a language file
    ],
)
def test_right_numbers_that_harnesses_miss_are_right(language: str, response: str, gold: str) -> None:
    assert grade(response, an_item(language, gold=gold)).is_correct


@pytest.mark.parametrize("response", ["The answer is at least 18.", "The answer is not 18.", "The answer is 18 or 20."])
def test_a_hedged_number_is_wrong(response: str) -> None:
    assert not grade(response, an_item()).is_correct


def test_a_response_without_digits_has_no_answer() -> None:
    assert grade("so ok..", an_item()) == Grade(answer="", is_correct=False, is_declared=False)


@pytest.mark.parametrize(
    ("gold", "response"),
    [
        ("0.75", "\\boxed{\\frac{3}{4}}"),
        ("2\\sqrt{2}", "Therefore $x = \\sqrt{8}$, so \\boxed{\\sqrt{8}}."),
        ("(-\\infty,-1)\\cup(6,+\\infty)", "\\boxed{(-\\infty, -1) \\cup (6, +\\infty)}"),
    ],
)
def test_an_expression_is_compared_by_value(gold: str, response: str) -> None:
    assert grade(response, an_item(gold=gold)).is_correct


@pytest.mark.parametrize(
    ("language", "response"),
    [
        ("en", "So the answer is (B)."),
        ("en", "\\boxed{B}"),  # no box is read
        ("en", "\\boxed{\\text{B}}"),
        ("en", "B"),  # no phrase, no answer
        ("en", "**B**"),
        ("en", "B. 15"),
        ("en", "Let me think.\n\nB) 15"),
        ("en", "The answer is 15."),  # the option's text
        ("en", "First I thought the answer is (A). But the correct option is B."),  # the first of two counts
        ("ja", "答えは (B) です"),
        ("sw", "Jibu ni (B)"),
        ("bn", "উত্তর হল (B)"),
        ("ko", "The answer is (B)"),
        ("uk", "Отже, правильна відповідь: B"),
    ],
)
def test_an_option_is_read_wherever_it_is_clear(language: str, response: str) -> None:
    assert grade(response, an_item(language, gold="B", options=NUMBERS)).is_correct


@pytest.mark.parametrize(
    "response", ["The answer is B or C.", "A or B", "Perhaps it is a dog.", "A dog is there.", "", "The answer is E."]
)
def test_an_option_that_is_not_clear_is_none(response: str) -> None:
    assert grade(response, an_item(gold="B", options=NUMBERS)).answer == ""


@pytest.mark.parametrize("response", ["The answer is Berlin.", "Berlin", "berlin."])
def test_the_text_of_an_option_stands_for_its_letter(response: str) -> None:
    assert grade(response, an_item(gold="B", options=CITIES)).answer == "B"


def test_a_text_that_two_options_share_names_none() -> None:
    assert grade("The answer is 15.", an_item(gold="A", options=("15", "15.0"))).answer == ""


@pytest.mark.parametrize(
    ("response", "is_correct"),
    [
        ("Maria ist größer. Die Antwort lautet: Nina ist kleiner als Maria.", True),
        ("Die Antwort lautet: Nina ist größer als Maria.", False),
        ("Nina ist kleiner als Maria.", False),  # not declared
    ],
)
def test_a_clause_is_graded_by_its_meaning(response: str, is_correct: bool) -> None:
    item = replace(an_item("de", gold="Maria ist größer als Nina"), is_clause=True)
    assert grade(response, item).is_correct is is_correct
