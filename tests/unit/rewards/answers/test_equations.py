"""Test which equations of a running text are found, and whether they are true."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.problems.builtin.texts import TEXTS
from driver.problems.parallel import load_solutions
from languages.facts import LANGUAGES
from rewards.answers.equations import true_share

GSM8K = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "gsm8k" / "test.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        "5 + 6 = 11",
        "5 -3 = 2",
        "2 + 3 × 4 = 14",
        "20 ÷ 4 = 5, 20/4 = 5 and 20 : 4 = 5",
        r"\(3 \times 4 = 12\)",
        "6 apples × $3 = $18",
        ".20*10 = 2",
        "2 hours = 2 * 60 = 120 minutes",
        "10 / 3 = 3.33",
        "3 x 4 = 12",
    ],
)
def test_a_true_equation_holds(text: str) -> None:
    assert true_share(text, "en") == 1.0


@pytest.mark.parametrize(
    "text",
    ["6 + 3 = 18", "5 -3 = 8", "2 + 3 × 4 = 20", r"3 \times 4 = 7", "6 apples × $3 = $9", "10 / 3 = 4", "3 x 4 = 7"],
)
def test_a_false_equation_does_not(text: str) -> None:
    assert true_share(text, "en") == 0.0


def test_of_several_equations_the_share_that_holds_counts() -> None:
    assert true_share("5 + 6 = 11 und 2 * 3 = 5", "de") == 0.5
    assert true_share("5 + 6 = 11 = 12 - 2", "de") == 1.0  # nothing is worked out left of the second sign
    assert true_share("5 + 6 = 10 + 1 = 12", "de") == 0.5


def test_numbers_are_read_as_their_language_writes_them() -> None:
    assert true_share("1.500 + 2,5 = 1.502,5", "de") == 1.0
    assert true_share("৫ + ৬ = ১১", "bn") == 1.0
    assert true_share("৫ + ৬ = ১২", "bn") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "2x + 3 = 9",  # unknowns
        "x + 2 + 3 = 9",
        "10 + 6 = 4(2 + 2)",  # brackets
        "60 minutes = 1 hour",  # nothing is worked out
        "50 * 20% = 10",  # percents
        "2^3 + 1 = 9",  # powers
        "1 + 3² = 10",
        "After 20 years: 30 years - 20 years = 10 years",
        "5 / 0 = 7",
        "no number at all",
        "",
    ],
)
def test_what_cannot_be_worked_out_is_not_held_against_a_text(text: str) -> None:
    assert true_share(text, "en") == 1.0


def test_every_equation_of_the_built_in_solutions_holds() -> None:
    solutions = load_solutions("builtin", languages=(), num_items=40, seed=5, split="test")
    assert len(solutions) == 40 * len(TEXTS)
    assert [solution for solution in solutions if true_share(solution.solution, solution.language) < 1] == []


@pytest.mark.skipif(not GSM8K.is_file(), reason="../shared/data/gsm8k is not there")
def test_hardly_any_solution_that_people_wrote_is_said_to_be_false() -> None:
    """Some of GSM8K's solutions do hold slips ("$32 - $20 = $300")."""
    solutions = [json.loads(line)["answer"] for line in GSM8K.read_text(encoding="utf-8").splitlines()]
    shares = [true_share(re.sub(r"<<.*?>>", "", text).split("####")[0], "en") for text in solutions]
    assert sum(share < 1 for share in shares) <= 0.01 * len(shares)


@given(
    text=st.text(st.sampled_from("0123456789+-*/=x(). ×÷%$\n"), max_size=60),
    language=st.sampled_from(sorted(LANGUAGES)),
)
def test_any_text_has_a_share(text: str, language: str) -> None:
    assert 0 <= true_share(text, language) <= 1


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("50 + 49 = 100", 1.0),  # off by 1 of 100: a hundredth
        ("49 + 49 = 99", 0.0),  # by 1 of 99
        ("100 + 0 = 99", 1.0),  # of the larger of both
        ("100 + 0 = 98.9", 0.0),
        ("0 - 100 = -99", 1.0),
    ],
)
def test_results_are_rounded_to_a_hundredth(text: str, share: float) -> None:
    assert true_share(text, "en") == share


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("2 ab + 3 = 6", 0.0),  # a unit has two to sixteen letters
        ("2 a + 3 = 6", 1.0),
        (f"2 {'a' * 16} + 3 = 6", 0.0),
        (f"2 {'a' * 17} + 3 = 6", 1.0),
        ("20 : 4 = 6", 0.0),  # a colon divides only between blanks,
        ("20: 4 = 6", 1.0),
        ("3 x 4 = 13", 0.0),  # as x multiplies
        ("3x 4 = 13", 1.0),
        ("12 - 4 - 3 = 5", 1.0),  # from left to right
        ("24 / 4 / 3 = 2", 1.0),
        ("24 / 4 * 3 = 18", 1.0),
        ("24 - 4 * 3 = 12", 1.0),
        ("24 - 4 / 2 = 22", 1.0),
        ("1 + 2 = 3 + 4 = 8", 0.0),  # both are false
        ("1 + 2 = 4 and 1 + 2 = 3 and 2 + 2 = 4", 2 / 3),
        ("1 + 2\n= 4", 1.0),  # a new line begins a new chain
        ("7 ≈ 1 + 2", 1.0),  # nothing is worked out left of the sign
        ("1 + 2 ≈ 4", 0.0),
        ("10 / 4 = 3", 0.0),  # a quotient alone is worked out
        ("1/2 = 3", 1.0),  # a fraction is a number
        ("4/4 = 3", 1.0),
        ("5/4 = 3", 0.0),
    ],
)
def test_what_is_an_equation_and_what_it_comes_to(text: str, share: float) -> None:
    assert true_share(text, "en") == pytest.approx(share)


@pytest.mark.parametrize(
    ("code", "text", "share"),
    [
        ("ja", "36 / 2 = 1試合あたり18", 1.0),  # 18 a game
        ("ja", "36 / 2 = 1試合あたり17", 0.0),
        ("ja", "36 / 2 = 19試合", 0.0),
        ("en", "36 / 2 = 18 for 1 game", 1.0),
        ("en", "36 / 2 = 1 game each 18", 1.0),
        ("en", "36 / 2 = 1 game each: 18", 0.0),  # no words alone
        ("de", "36 / 2 = pro Spiel 18", 1.0),
        ("de", "36 / 2 = pro Spiel 17", 0.0),
        ("ru", "36 / 2 = за 1 игру 18", 1.0),
        ("ru", "36 / 2 = за 1 игру 17", 0.0),
        ("th", "36 / 2 = 1 ชิ้นละ 18", 1.0),
        ("bn", "৩৬ / ২ = প্রতি খেলায় ১৮", 1.0),
        ("bn", "৩৬ / ২ = প্রতি খেলায় ১৭", 0.0),
        ("zh", "36 / 2 = 每场18", 1.0),
        ("zh", "36 / 2 = 每场17", 0.0),
        ("en", f"1 + 2 = {'q' * 24} 4", 0.0),  # a blank, 23 letters or more, and the last number
        ("en", f"1 + 2 = {'q' * 25} 4", 1.0),
    ],
)
def test_words_may_stand_between_an_equals_sign_and_its_result(code: str, text: str, share: float) -> None:
    assert true_share(text, code) == share
