"""Test whether a reasoning works with the reference's numbers."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.rollouts import ParallelSolution, ScoreRequest
from driver.problems.builtin.texts import TEXTS
from driver.problems.parallel import load_solutions
from languages.facts import LANGUAGES
from rewards.answers.numbers import find_numbers, fold
from rewards.number_coverage import find_text_numbers, number_coverage
from rewards.reading import read_group
from tests.refusals import raised

EXEMPLARS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "mgsm" / "exemplars.json"


def covered(response: str, reference: str, language: str = "de") -> float:
    request = ScoreRequest(
        language=language,
        question="Wie viele?",
        question_en="How many?",
        reference=f"{reference}\nThe answer is 11.",
        responses=(f"{response}\n{LANGUAGES[language].closing.format(answer=11)}",),
        truncated=(False,),
    )
    (reading,) = read_group(request)
    return number_coverage(reading)


def test_same_numbers_in_any_spelling_are_covered_whole() -> None:
    assert covered("Er hat 1.234,5 kg, dann 5 + 6 = 11.", "He has 1,234.5 kg, then 6 + 5 is 11.") == 1.0
    assert covered("তার ৫টি আছে, ৫ + ৬ = ১১।", "He has 5, so 5 + 6 = 11.", "bn") == 1.0
    assert covered("20 ÷ 4 = 5", "20 / 4 = 5") == 1.0
    assert covered("5 -3 = 2", "5 - 3 = 2") == 1.0


def test_changed_number_costs_once_in_the_set_and_once_in_the_multiset() -> None:
    """5, 6, 11 against 5, 7, 11: two of three values on both sides, so F1 is 2/3 in both ways of counting."""
    assert covered("5, 7, 11", "5, 6, 11") == pytest.approx(2 / 3)


def test_change_into_another_number_of_the_reference_costs_too() -> None:
    """4, 4, 20, 5 against 4, 5, 20, 5: the sets are the same; of the multisets three of four."""
    assert covered("4; 4; 20; 5", "4; 5; 20; 5") == pytest.approx((1 + 3 / 4) / 2)


def test_the_right_numbers_in_a_false_equation_are_worth_what_holds_of_it() -> None:
    assert covered("5 + 6 = 11, 6 + 3 = 18", "6 * 3 = 18, 5 + 6 = 11") == pytest.approx(1 / 2)


def test_repeating_numbers_does_not_pay() -> None:
    """Set: 5 of 5, 6, 11 is F1 = 1/2. Multiset: precision 1/4, recall 1/3: 2/7."""
    assert covered("5 5 5 5", "5 + 6 = 11") == pytest.approx((1 / 2 + 2 / 7) / 2)
    assert covered("5", "5 + 6 = 11") > covered("5 5 5 5", "5 + 6 = 11")


def test_number_words_help_and_a_stray_one_costs_nothing() -> None:
    assert covered("fünf und sechs sind 11", "5 + 6 = 11") == 1.0
    assert covered("5 + 6 = 11", "five and six are 11") == 1.0
    assert covered("los dos tienen 5 + 6 = 11", "both have 5 + 6 = 11", "es") == 1.0


def test_list_of_all_number_words_does_not_pay() -> None:
    words = " ".join(LANGUAGES["de"].small_numbers)
    assert covered(f"5; 7; 11 {words}", "5; 6; 11") < covered("5; 7; 11", "5; 6; 11")


def test_numbers_of_steps_and_list_items_do_not_count() -> None:
    assert covered("1. 5 + 6 = 11\n2) 11 bleiben", "5 + 6 = 11, 11 left") == 1.0
    assert covered("**Schritt 1:** 5 + 6 = 11", "Step 1: 5 + 6 = 11") == 1.0


def test_reference_without_numbers_asks_for_none() -> None:
    """Three made-up numbers: precision 0; without any, all is well."""
    assert covered("Es ist der Hund.", "It is the dog.") == 1.0
    assert covered("5 + 6 = 11", "It is the dog.") == 0.0
    assert covered("Es ist der Hund.", "5 + 6 = 11") == 0.0


def test_an_unknown_language_is_refused() -> None:
    with raised(ValueError, "'xx'"):
        find_text_numbers("5", "xx")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=120))
def test_any_text_is_worth_something_between_nothing_and_all(text: str) -> None:
    assert 0.0 <= covered(text, "5 + 6 = 11") <= 1.0


@pytest.mark.parametrize("text", ["9" * 100_000, "\n" * 100_000, "*" * 100_000, "1." * 50_000, "12 + 5 = 17, " * 8000])
def test_very_long_texts_are_read(text: str) -> None:
    assert sum(find_text_numbers(text, "de").digits.values()) <= len(text)


def assert_faithful_is_whole_and_every_change_costs(solutions: list[ParallelSolution]) -> None:
    for solution in solutions:
        (faithful,) = read_group(request(solution, solution.solution))
        assert number_coverage(faithful) == 1.0, solution
        folded = fold(faithful.reasoning)
        for span in find_numbers(folded, LANGUAGES[solution.language]):
            last = max(place for place in range(span.start, span.end) if folded[place].isdecimal())
            other = str((int(folded[last]) + 1) % 10)
            changed = faithful.reasoning[:last] + other + faithful.reasoning[last + 1 :]
            closing = faithful.text[len(faithful.reasoning) :]
            (cheat,) = read_group(request(solution, changed + closing))
            assert number_coverage(cheat) < 1.0, cheat.reasoning


def request(solution: ParallelSolution, response: str) -> ScoreRequest:
    return ScoreRequest(
        language=solution.language,
        question=solution.question,
        question_en=solution.question_en,
        reference=solution.solution_en,
        responses=(response,),
        truncated=(False,),
    )


def test_builtin_solutions_are_whole_in_every_language_and_every_changed_number_costs() -> None:
    solutions = load_solutions("builtin", languages=(), num_items=12, seed=3, split="test")
    assert {solution.language for solution in solutions} == set(TEXTS)
    assert_faithful_is_whole_and_every_change_costs(solutions)


@pytest.mark.skipif(not EXEMPLARS.exists(), reason="MGSM's exemplars are not beside this checkout")
def test_mgsm_exemplars_are_whole_in_every_language_and_every_changed_number_costs() -> None:
    assert len(json.loads(EXEMPLARS.read_text(encoding="utf-8"))) == 11
    assert_faithful_is_whole_and_every_change_costs(
        load_solutions(str(EXEMPLARS), languages=(), num_items=sys.maxsize, seed=0, split="test")
    )


# Two values in words are free; the third costs as if written in digits: precision 3 of 4, recall 1, F1 6/7 both times.
@pytest.mark.parametrize(
    ("words", "worth"), [("zwei drei", 1.0), ("zwei zwei drei drei", 1.0), ("zwei drei vier", 6 / 7)]
)
def test_two_values_in_words_that_the_reference_lacks_are_free(words: str, worth: float) -> None:
    assert covered(f"5; 6; 11 {words}", "5; 6; 11") == pytest.approx(worth)


def test_of_two_readings_the_references_counts() -> None:
    assert find_text_numbers("Son 7,425 dólares.", "es").digits == {"7.425": 1}
    assert find_text_numbers("Son 7,425 dólares.", "es", likely={"7425"}).digits == {"7425": 1}
    assert find_text_numbers("Son 7,425 dólares.", "es", likely={"7.425", "7425"}).digits == {"7.425": 1}
