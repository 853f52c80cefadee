"""What counts as a declared final answer, and how its number is read."""

import json
from pathlib import Path

import pytest

from rewards.answers import declared_answers, final_answer, last_number, same_answer, split_reasoning
from rewards.languages import LANGUAGES
from rewards.numbers import canonical

EXEMPLARS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mgsm" / "exemplars.json"


@pytest.mark.parametrize(
    ("language", "text", "answer"),
    [
        ("en", "The answer is $1,234.50.", "1234.5"),
        ("en", "The answer is 1,23,456.", "123456"),
        ("en", "The answer is 70,000.00", "70000"),
        ("en", "The answer is −4", "-4"),
        ("en", "The answer is -$5.", "-5"),
        ("en", "The answer is 3/4.", "0.75"),
        ("en", "The answer is 2.5 million dollars.", "2500000"),
        ("de", "Die Antwort lautet 1.234,5.", "1234.5"),
        ("de", "Die Antwort lautet 70.000 Dollar.", "70000"),
        ("de", "Die Antwort ist 1'234.", "1234"),
        ("de", "Die Antwort lautet 50 %.", "50"),
        ("de", "Die Antwort lautet 12 Äpfel.", "12"),
        ("de", "Die Antwort lautet 0.5.", "0.5"),
        ("de", "Die Antwort lautet 7 Millionen.", "7000000"),
        ("es", "La respuesta es 18 miles.", "18"),
        ("es", "La respuesta es que gana 18 dólares.", "18"),
        ("fr", "La réponse est 1\u202f234,5 euros.", "1234.5"),
        ("fr", "La réponse est : 80\u00a0000 $.", "80000"),
        ("fr", "La re\u0301ponse est 7.", "7"),
        ("ru", "Ответ — 11.", "11"),
        ("ru", "Ответ - 5", "5"),
        ("ru", "Ответ -5", "-5"),
        ("ru", "Ответ: 70 000 рублей", "70000"),
        ("zh", "答案是 ７０，０００ 美元。", "70000"),
        ("zh", "答案是8万美元。", "80000"),
        ("ja", "答えは39個。", "39"),
        ("ja", "答えは3万5000円です。", "35000"),
        ("th", "คำตอบคือ ๑๘ ดอลลาร์", "18"),
        ("sw", "Jibu ni 1.5", "1.5"),
        ("bn", "উত্তর হল ১৮।", "18"),
        ("te", "సమాధానం ౧౮.", "18"),
        ("ar", "الإجابة هي ١٬٢٣٤٫٥.", "1234.5"),
    ],
)
def test_number_is_read_as_its_language_writes_it(language: str, text: str, answer: str) -> None:
    assert final_answer(text, language) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{70{,}000}", "70000"),
        (r"So $\boxed{\frac{1}{3}}$", "1/3"),
        (r"So \boxed{\$18 \text{ per day}}", "18"),
        ("5 + 6 = 11\n#### 11", "11"),
        ("#### -1,000", "-1000"),
        ("**Answer:** 18", "18"),
        ("The answer is:\n\n\\[\n\\boxed{x = 18}\n\\]", "18"),
        ("The answer is **$18**.", "18"),
        ("The answer is 12 + 3 = 15.", "15"),
        ("The answer is approximately 2.5 hours", "2.5"),
    ],
)
def test_every_form_of_declaration_is_read(text: str, answer: str) -> None:
    assert [found.value for found in declared_answers(text, "en")] == [answer]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "She has 18 apples."),
        ("en", "The answer is not known."),
        ("en", "The answer is simple. 5 + 6 = 11"),
        ("en", "The answer is 12 + 3"),
        ("en", "The answer is 1.2.3"),
        ("en", "Step-by-Step Answer: Roger started with 5 balls."),
        ("es", "Respuesta paso a paso: Roger tiene 5."),
        ("ja", "ステップごとの答え：ロジャーは5個"),
        ("te", "దశలవారీగా సమాధానం: 5 బంతులు"),
        ("en", ""),
    ],
)
def test_a_number_that_is_not_declared_is_no_final_answer(language: str, text: str) -> None:
    assert final_answer(text, language) is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_languages_own_closing_is_one_declaration(code: str) -> None:
    [found] = declared_answers(LANGUAGES[code].closing.format(answer="-17"), code)
    assert (found.value, found.language) == ("-17", code)


def test_english_closing_in_another_language_is_a_declaration_in_english() -> None:
    [found] = declared_answers("5 + 6 = 11. The answer is 11.", "de")
    assert (found.value, found.language) == ("11", "en")


def test_phrase_around_a_box_is_one_declaration_and_keeps_its_language() -> None:
    text = r"Die Antwort lautet \boxed{18}."
    [found] = declared_answers(text, "de")
    assert (found.value, found.language) == ("18", "de")
    assert text[found.start : found.end] == r"Antwort lautet \boxed{18}"


def test_two_declarations_are_two_and_the_last_is_final() -> None:
    text = "Die Antwort lautet 5. Nein: Die Antwort lautet 6."
    assert [found.value for found in declared_answers(text, "de")] == ["5", "6"]
    assert final_answer(text, "de") == "6"


def test_offsets_survive_digits_of_another_script() -> None:
    text = "ধাপ ১২। উত্তর হল ১৮।"
    [found] = declared_answers(text, "bn")
    assert text[found.start : found.end] == "উত্তর হল ১৮"


def test_last_number_needs_no_declaration() -> None:
    assert last_number("Erst 3, dann 1.234,5 Euro", "de") == "1234.5"
    assert last_number("keine Zahl", "de") is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [("18", "18.0", True), ("18", "18.01", False), ("-5", "5", False), ("1/3", "0.3333", False), ("0.5", "1/2", True)],
)
def test_same_answer_is_exact(a: str, b: str, same: bool) -> None:
    assert same_answer(a, b) is same


def test_canonical_numbers_have_one_spelling() -> None:
    from fractions import Fraction

    values = [Fraction(18), Fraction("-2.50"), Fraction(1, 8), Fraction(-1, 3), Fraction("-0.05"), Fraction(0)]
    assert [canonical(value) for value in values] == ["18", "-2.5", "0.125", "-1/3", "-0.05", "0"]


def test_reasoning_ends_before_the_sentence_that_declares() -> None:
    text = "Es sind 5 + 6 = 11 Bälle. Daher: Die Antwort lautet 11."
    assert split_reasoning(text, "de") == ("Es sind 5 + 6 = 11 Bälle.", "Daher: Die Antwort lautet 11.")


def test_reasoning_in_the_declaring_sentence_is_kept() -> None:
    text = "ดังนั้น 5 + 6 = 11 คำตอบคือ 11"
    assert split_reasoning(text, "th") == ("ดังนั้น 5 + 6 = 11", "คำตอบคือ 11")


def test_without_a_declaration_all_is_reasoning() -> None:
    assert split_reasoning(" 5 + 6 = 11 ", "en") == ("5 + 6 = 11", "")


def test_unknown_language_is_named() -> None:
    with pytest.raises(ValueError, match="'xx'"):
        final_answer("The answer is 1.", "xx")


@pytest.mark.skipif(not EXEMPLARS.exists(), reason=f"needs {EXEMPLARS.name} of MGSM in shared/data/mgsm")
def test_mgsm_exemplars_declare_the_same_answer_in_every_language() -> None:
    exemplars = json.loads(EXEMPLARS.read_text(encoding="utf-8"))
    english = {key: final_answer(item["a"], "en") for key, item in exemplars["en"].items()}
    assert (english["1"], english["2"], english["3"]) == ("11", "29", "39")
    for code, items in exemplars.items():
        found = {key: [answer.value for answer in declared_answers(item["a"], code)] for key, item in items.items()}
        assert found == {key: [answer] for key, answer in english.items()}, code
