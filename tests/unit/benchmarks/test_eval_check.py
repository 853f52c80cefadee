"""Test how the check beside lm-evaluation-harness explains why two evaluations judge one item in two ways."""

import pytest

from benchmarks.eval_check.reasons import difference_in_choice, difference_in_grade, difference_in_tokens
from driver.evaluation.grading import grade
from driver.evaluation.sets.item import Item


@pytest.mark.parametrize(
    ("response", "language", "theirs", "is_right", "kind"),
    [
        ("Sie hat 18.", "de", "[invalid]", False, "pattern"),  # a pattern that wants the closing words
        ("Jibu ni 18.", "sw", "[invalid]", False, "pattern"),
        ("Die Antwort lautet 18. (3 Schritte)", "de", "3", False, "declared"),
        ("Die Antwort lautet 20. Oder 18", "de", "18", True, "declared"),
        ("Die Antwort lautet 18.00 Dollar.", "de", "18.00", False, "compared as text"),
        ("Es sind 1 018", "de", "018", False, "last number"),
    ],
)
def test_a_grade_that_differs_has_its_kind(
    response: str, language: str, theirs: str, is_right: bool, kind: str
) -> None:
    gold = "1018" if "1 018" in response else "18"
    ours = grade(response, Item(task="mgsm", item_id="1", language=language, question="", gold=gold))
    assert ours.is_correct != is_right
    found = difference_in_grade(ours, {"answer": theirs, "is_correct": is_right}, gold=gold)
    assert (found.kind, found.is_explained) == (kind, True)


def test_two_readings_of_one_number_that_are_judged_in_two_ways_stay_unexplained() -> None:
    ours = grade("Die Antwort lautet 18.", Item(task="mgsm", item_id="1", language="de", question="", gold="17"))
    assert not difference_in_grade(ours, {"answer": "18", "is_correct": True}, gold="17").is_explained


@pytest.mark.parametrize(
    ("choices", "logprobs", "kind"),
    [
        ([["A man", " x"], ["A man", " y"]], [-3.0, -9.0], "context"),
        ([["A man.", " z"], ["A man.", " y"]], [-3.0, -9.0], "option"),
        ([["A man.", " x"], ["A man.", " y"]], [-3.0, -3.0005], "tie"),
        ([["A man.", " x"], ["A man.", " y"]], [-3.0, -9.0], "unexplained"),
    ],
)
def test_a_choice_that_differs_has_its_kind(choices: list[list[str]], logprobs: list[float], kind: str) -> None:
    ours = {"choices": [["A man.", " x"], ["A man.", " y"]], "logprobs": logprobs}
    assert difference_in_choice(ours, {"choices": choices, "logprobs": logprobs}).kind == kind


@pytest.mark.parametrize(
    ("gap", "kind"), [(4e-6, "tie"), (-4e-6, "tie"), (0.02, "unexplained"), (-0.02, "unexplained")]
)
def test_only_equally_likely_tokens_explain_where_two_greedy_responses_part(gap: float, kind: str) -> None:
    found = difference_in_tokens("It is 18.", "It is 20.", gap=gap)
    assert found.kind == kind
    assert "after 6 characters" in found.text


def test_half_a_character_at_the_limit_of_tokens_is_a_known_reason() -> None:
    found = difference_in_tokens("উত্তর", "উত্তর\N{REPLACEMENT CHARACTER}", gap=17.0)
    assert found.kind == "half a character"
    assert difference_in_tokens("উত্তর ", "উত্তর \N{REPLACEMENT CHARACTER}", gap=17.0).is_explained
    assert not difference_in_tokens("উত্তর", "উত্তর 1\N{REPLACEMENT CHARACTER}", gap=17.0).is_explained
