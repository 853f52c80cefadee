"""Test what counts as one declaration, as several, and as none; worked solutions have exactly one."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from driver.problems.builtin.texts import TEXTS
from driver.problems.parallel import load_solutions
from rewards.answers.final import declared_answers, final_answer, same_answer, split_reasoning

MGSM = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm"


def values(text: str, language: str = "de") -> list[str]:
    return [found.value for found in declared_answers(text, language)]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        (r"\boxed{11, 12}", ["11", "12"]),
        (r"Die Antwort lautet \boxed{11 oder 12}.", ["11", "12"]),
        (r"\boxed{11 oder XII}", ["11", "12"]),
        (r"\boxed{11 oder ⑫}", ["11", "12"]),
        (r"\boxed{5 \text{ Stunden } 30 \text{ Minuten}}", ["5", "30"]),
        ("Die Antwort lautet 11 oder XII.", ["11", "12"]),
        ("Die Antwort lautet 11 oder ⑫.", ["11", "12"]),
        ("#### 11 oder XXXIX", ["11", "39"]),
    ],
)
def test_a_further_number_is_a_second_declaration(text: str, declared: list[str]) -> None:
    assert values(text) == declared


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{11 \text{ m}^2}",
        r"\boxed{11\,m^{2}}",
        r"\boxed{11 m²}",
        r"\boxed{11 \text{ kg CO}_2}",
        r"\boxed{11_{10}}",
        "Die Antwort lautet 11 m².",
        "Die Antwort lautet 11 V.",
    ],
)
def test_a_units_digits_are_no_further_number(text: str) -> None:
    assert values(text) == ["11"]


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        ("12 = 11", ["12", "11"]),
        ("5 + 6 = 11 = 12 = 11", ["12", "11"]),
        ("5 + 6 = 12", ["5", "12"]),
        ("2 + 3 * 4 = 20", ["2", "20"]),
        ("12 Seiten = 11", ["12", "11"]),
        ("2/3 = 1/3", ["2/3", "1/3"]),
        ("5 + 6 = 11", ["11"]),
        ("2 + 3 * 4 = 14", ["14"]),
        ("12 -3 = 9", ["9"]),
        ("12 : 3 = 4", ["4"]),
        ("12 \\text{ cm} = 11 cm", ["12", "11"]),
        ("5 € + 6 € = 11 €", ["11"]),
        ("10 / 4 = 2,5 = 5/2", ["2.5"]),
        ("70.000 = 70000", ["70000"]),
        ("0,5 = 50 %", ["50%"]),
        ("50 = 0,5", ["50", "0.5"]),
        ("3,349 = 3,3", ["3.3"]),  # rounded to one decimal: half a tenth at most
        ("3,35 = 3,3", ["3.3"]),
        ("3,351 = 3,3", ["3.351|3351", "3.3"]),
        ("3,25 = 3,3", ["3.3"]),
        ("3,249 = 3,3", ["3.249|3249", "3.3"]),
    ],
)
def test_the_sides_of_an_equation_are_one_answer_only_where_they_agree(content: str, declared: list[str]) -> None:
    assert values(f"Die Antwort lautet {content}.") == declared
    assert values("\\boxed{" + content.replace("%", "\\%") + "}") == declared


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("10 / 3 = 3,33", "3.33"),
        ("22/7 ≈ 3,1", "3.1"),
        ("247 ≈ 250", "250"),
        ("120 Minuten = 2 Stunden", "2"),
        ("3 Kisten * 5 Äpfel = 15 Äpfel", "15"),
        ("(2 + 3) * 4 = 20", "20"),
        ("5 / 0 = 11", "11"),
    ],
)
def test_rounding_and_what_is_not_simple_arithmetic_is_believed(content: str, answer: str) -> None:
    assert values(f"Die Antwort lautet {content}.") == [answer]


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (r"5 \times 6 = 30", "30"),
        (r"\sqrt{16} = 4", "4"),
        ("5! = 120", "120"),
        ("x_1 = 3", "3"),
        (r"\$5 + \$6 = \$11", "11"),
        (r"5 \text{ cm} + 6 \text{ cm} = 11 \text{ cm}", "11"),
        ("11 = Seiten = 11", "11"),  # a side without a number is not compared
    ],
)
def test_an_equation_in_a_box_comes_to_its_last_side(content: str, answer: str) -> None:
    assert values(rf"\boxed{{{content}}}") == [answer]


def test_a_sign_behind_a_box_does_not_change_how_the_box_is_read() -> None:
    assert values(r"\boxed{12 = 11} Probe: 22/7 ≈ 3") == values(r"\boxed{12 = 11}") == ["12", "11"]


@pytest.mark.parametrize("text", [r"\boxed{11", r"Die Antwort lautet \boxed{11", r"\boxed{\text{Paris}"])
def test_a_box_that_is_not_closed_declares_nothing(text: str) -> None:
    assert values(text) == []


def test_a_list_below_a_heading_is_no_answer() -> None:
    assert values("Antwort:\n1. Erst rechnen wir 5 + 6 = 11.\nDie Antwort lautet 11.") == ["11"]


@pytest.mark.parametrize(
    ("text", "declaration"),
    [
        ("5 + 6 = 11. Die Antwort lautet 11.\n\n$\\boxed{11}$", "Antwort lautet 11.\n\n$\\boxed{11}"),
        ("5 + 6 = 11. Die Antwort lautet **11**.\n#### 11", "Antwort lautet **11**.\n#### 11"),
        ("\\boxed{B}\n**Antwort:** (B)", "\\boxed{B}\n**Antwort:** (B)"),
        ("Die Antwort lautet 11.\n\\boxed{11}\n#### 11", "Antwort lautet 11.\n\\boxed{11}\n#### 11"),
        ("Die Antwort lautet 11. Die Antwort lautet 11.", "Antwort lautet 11. Die Antwort lautet 11"),
        ("Die Antwort lautet 11 Bälle.\nAlso \\boxed{11}", "Antwort lautet 11 Bälle.\nAlso \\boxed{11}"),
        ("Die Antwort lautet 0,5.\n\\boxed{50\\%}", "Antwort lautet 0,5.\n\\boxed{50\\%}"),
    ],
)
def test_the_same_answer_said_several_ways_is_one_declaration(text: str, declaration: str) -> None:
    [found] = declared_answers(text, "de")
    assert (text[found.start : found.end], found.language) == (declaration, "de")


def test_reasoning_ends_before_the_first_of_two_declarations_in_a_row() -> None:
    text = "Es sind 5 + 6 = 11. Die Antwort lautet 11.\n\\boxed{11}"
    assert split_reasoning(text, declared_answers(text, "de"), "de")[0] == "Es sind 5 + 6 = 11."


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("Die Antwort lautet 11.\n\\boxed{12}", ["11", "12"]),
        ("Die Antwort lautet 11.\nAnswer: 11", ["11", "11"]),
    ],
)
def test_another_answer_or_another_language_makes_two(text: str, declared: list[str]) -> None:
    assert values(text) == declared


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [("0.5%", "0.5", False), ("0.5%", "0.005", True), ("1%", "1", True), ("1%", "0.01", True), ("0%", "0", True)],
)
def test_the_sign_of_a_percent_may_be_dropped_from_one_percent_on(a: str, b: str, *, same: bool) -> None:
    assert same_answer(a, b) is same
    assert same_answer(b, a) is same


@pytest.mark.parametrize("split", ["train", "test"])
def test_built_in_solutions_declare_once_and_their_questions_never(split: Literal["train", "test"]) -> None:
    solutions = load_solutions("builtin", languages=list(TEXTS), num_items=40, seed=5, split=split)
    assert {solution.language for solution in solutions} == set(TEXTS)
    for solution in solutions:
        assert len(declared_answers(solution.solution, solution.language)) == 1, solution.solution
        assert declared_answers(solution.question, solution.language) == [], solution.question
        assert final_answer(solution.solution, solution.language) == final_answer(solution.solution_en, "en")


@pytest.mark.skipif(not MGSM.exists(), reason="needs MGSM in shared/data/mgsm")
def test_no_question_of_mgsm_declares_an_answer() -> None:
    languages = json.loads((MGSM / "exemplars.json").read_text(encoding="utf-8"))
    num_rows = Counter[str]()
    for code in languages:
        with (MGSM / f"mgsm_{code}.tsv").open(encoding="utf-8", newline="") as file:
            for question, *_ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                assert declared_answers(question, code) == [], question
                num_rows[code] += 1
    assert num_rows == dict.fromkeys(languages, 250)


@pytest.mark.parametrize(
    ("code", "text", "answer"),
    [
        ("ja", "答えは36/2 = 1試合あたり18です。", "18"),
        ("ja", "答えは36 ÷ 2 = 1 試合あたり 18", "18"),
        ("en", "The answer is 36 / 2 = 1 game each 18.", "18"),
        ("en", "The answer is 36 / 2 = 18 for 1 game.", "18"),
        ("de", "Die Antwort lautet 36 / 2 = pro Spiel 18.", "18"),
        ("ru", "Ответ: 36 / 2 = за 1 игру 18.", "18"),
        ("th", "คำตอบคือ 36 ÷ 2 = 1 ชิ้นละ 18", "18"),
        ("en", "The answer is 36 / 2 = 1 game each 17.", "18 or 1"),
    ],
)
def test_an_equation_with_words_before_its_result_states_the_result(code: str, text: str, answer: str) -> None:
    assert final_answer(text, code) == answer
