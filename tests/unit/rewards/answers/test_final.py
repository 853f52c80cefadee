"""Test what counts as a declared final answer, and how its number is read."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from languages.facts import LANGUAGES
from rewards.answers.final import (
    declared_answers,
    final_answer,
    last_number,
    plain_answer,
    same_answer,
    split_reasoning,
)
from rewards.answers.numbers import canonical
from tests.refusals import raised

EXEMPLARS = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm" / "exemplars.json"


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
        ("de", "Die Antwort lautet 50 %.", "50%"),
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
        ("en", "The answer is found by adding the apples that Anna has to those that her brother gave her."),
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


OPTIONS_IN_EVERY_LANGUAGE = {
    "en": ("the answer is (B)", "The answer is B.", "The correct option is B", "**Answer:** B) Paris"),
    "de": ("Die Antwort ist (B)", "Die Antwort lautet **B**.", "Antwort: B"),
    "es": ("La respuesta es (B)", "La respuesta es la opción B.", "Respuesta: B"),
    "fr": ("La réponse est (B)", "La réponse est B.", "Réponse : B"),
    "ru": ("Ответ - (B)", "Ответ (B)", "Ответ: вариант B"),
    "zh": ("答案是 (B)", "答案是Ｂ。", "答案是选项B", "答案：B"),
    "ja": ("答えは (B) です", "答えはBです。", "答え：（Ｂ）"),
    "th": ("คำตอบคือ (B)", "คำตอบคือ ข้อ B", "คำตอบ: B"),
    "sw": ("Jibu ni (B)", "Jibu ni B.", "Jibu: B"),
    "bn": ("উত্তর হল (B)", "উত্তর হল B।"),
    "te": ("సమాధానం (B)", "సమాధానం B.", "సమాధానం: B"),
    "ar": ("الإجابة هي (B)", "الإجابة هي B.", "الجواب: الخيار B"),
}


@pytest.mark.parametrize("code", OPTIONS_IN_EVERY_LANGUAGE)
def test_option_letter_is_read_in_every_languages_phrases(code: str) -> None:
    for text in OPTIONS_IN_EVERY_LANGUAGE[code]:
        [found] = declared_answers(text, code)
        assert (found.value, found.kind, found.language) == ("B", "option", code), text


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (r"\boxed{\textbf{(B)}}", ["B"]),
        ("#### J", ["J"]),
        ("The answer is B. Because 5 is odd.", ["B"]),
        ("The answer is C because 5 is odd.", ["C"]),
        ("The answer is A", ["A"]),
        ("The answer is (B) or (C).", ["B", "C"]),
        ("The answer is B or C.", ["B", "C"]),
        ("The answer is A dog.", ["A dog"]),
        ("The answer is a dog.", ["a dog"]),
        ("The answer is I think 5.", ["5"]),
        ("The answer is A.I. research", []),
        ("The answer is D'accord", ["D'accord"]),
        ("The answer is B = 5", ["5"]),
        ("The answer is K.", ["K"]),
    ],
)
def test_a_letter_is_an_option_only_where_it_stands_alone(text: str, values: list[str]) -> None:
    assert [found.value for found in declared_answers(text, "en")] == values


def test_the_choice_repeated_behind_its_letter_belongs_to_the_declaration() -> None:
    text = "The answer is (B) 15 apples."
    [found] = declared_answers(text, "en")
    assert (found.value, text[found.end :]) == ("B", ".")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is $2\\sqrt{3}$.", "2\\sqrt{3}"),
        ("The answer is 2x + 3.", "2x + 3"),
        ("The answer is $2x$ because of that.", "2x"),
        (r"\boxed{\frac{x}{2}}", r"\frac{x}{2}"),
        (r"\boxed{y = 2x}", "2x"),
        (r"\boxed{3 \times 10^8}", r"3 \times 10^8"),
    ],
)
def test_expressions_are_not_taken_for_their_first_number(text: str, value: str) -> None:
    [found] = declared_answers(text, "en")
    assert (found.value, found.kind) == (value, "expression")


@pytest.mark.parametrize(
    ("language", "text", "value"),
    [
        ("en", "The answer is Paris.", "Paris"),
        ("en", r"So \boxed{\text{New York}} it is.", "New York"),
        ("en", '#### "Paris"', "Paris"),
        ("en", "The ratio is 3 to 2. The answer is 3:2.", "3:2"),
        ("de", "Die Antwort lautet **Paris**.", "Paris"),
        ("ja", "答えはパリです。", "パリ"),
        ("zh", "答案是巴黎。", "巴黎"),
        ("th", "คำตอบคือ ปารีส", "ปารีส"),
        ("te", "సమాధానం పారిస్.", "పారిస్"),
        ("ar", "الإجابة هي باريس.", "باريس"),
    ],
)
def test_a_few_words_are_an_answer_where_the_declaration_is_clear(language: str, text: str, value: str) -> None:
    [found] = declared_answers(text, language)
    assert (found.value, found.kind) == (value, "text")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is found by adding. 5 + 6 = 11. The answer is 11.", "11"),
        ("The answer is $x + 6$ where x is known. The answer is 11.", "11"),
        ("The answer is Rome. The answer is Paris.", "Paris"),
    ],
)
def test_words_never_add_a_declaration(text: str, value: str) -> None:
    assert [found.value for found in declared_answers(text, "en")] == [value]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1,234", "1234"),
        ("B", "B"),
        (r"\frac{\pi}{2}", r"\frac{\pi}{2}"),
        (" Paris ", "Paris"),
        ("50%", "50%"),
        ("", None),
    ],
)
def test_a_column_of_answers_is_read_without_a_declaration(text: str, answer: str | None) -> None:
    assert plain_answer(text, "en") == answer


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        *(("18", "18.0", True), ("18", "18.01", False), ("-5", "5", False), ("1/3", "0.3333", False)),
        *(("0.5", "1/2", True), ("50%", "50", True), ("50%", "0.5", True), ("50%", "5", False), ("50%", "50.0%", True)),
        *(("B", "B", True), ("B", "C", False), ("B", "b", False), ("B", "2", False)),
        *((r"\frac{x}{2}", "0.5x", True), (r"\sqrt{16}", "4", True), (r"\frac{\pi}{2}", "1.5708", False)),
        *(("Paris", "ＰＡＲＩＳ!", True), ("New York", "new-york", True), ("Paris", "Rome", False)),
        *(("x", "Paris", False), ("not a number", "18", False), ("", "18", False)),
    ],
)
def test_same_answer_compares_each_kind_in_its_own_way(a: str, b: str, same: bool) -> None:
    assert same_answer(a, b) is same
    assert same_answer(b, a) is same


def test_canonical_numbers_have_one_spelling() -> None:
    values = [Fraction(18), Fraction("-2.50"), Fraction(1, 8), Fraction(-1, 3), Fraction("-0.05"), Fraction(0)]
    assert [canonical(value) for value in values] == ["18", "-2.5", "0.125", "-1/3", "-0.05", "0"]


def test_reasoning_ends_before_the_sentence_that_declares() -> None:
    text = "Es sind 5 + 6 = 11 Bälle. Daher: Die Antwort lautet 11."
    assert split_reasoning(text, declared_answers(text, "de"), "de") == (
        "Es sind 5 + 6 = 11 Bälle.",
        "Daher: Die Antwort lautet 11.",
    )


def test_reasoning_in_the_declaring_sentence_is_kept() -> None:
    text = "ดังนั้น 5 + 6 = 11 คำตอบคือ 11"
    assert split_reasoning(text, declared_answers(text, "th"), "th") == ("ดังนั้น 5 + 6 = 11", "คำตอบคือ 11")


def test_without_a_declaration_all_is_reasoning() -> None:
    assert split_reasoning(" 5 + 6 = 11 ", [], "de") == ("5 + 6 = 11", "")


def test_an_unknown_language_is_refused() -> None:
    with raised(ValueError, "'xx'"):
        final_answer("The answer is 1.", "xx")


@pytest.mark.skipif(not EXEMPLARS.exists(), reason=f"needs {EXEMPLARS.name} of MGSM in shared/data/mgsm")
def test_mgsm_exemplars_declare_the_same_answer_in_every_language() -> None:
    exemplars = json.loads(EXEMPLARS.read_text(encoding="utf-8"))
    english = {key: final_answer(item["a"], "en") for key, item in exemplars["en"].items()}
    assert (english["1"], english["2"], english["3"]) == ("11", "29", "39")
    for code, items in exemplars.items():
        found = {key: [answer.value for answer in declared_answers(item["a"], code)] for key, item in items.items()}
        assert found == {key: [answer] for key, answer in english.items()}, code


# --- limits, from both sides ---


@pytest.mark.parametrize(("blanks", "declared"), [(297, ["11"]), (298, [])])
def test_a_box_closes_within_three_hundred_characters(blanks: int, declared: list[str]) -> None:
    text = "\\boxed{11" + " " * blanks + "}"
    assert [found.value for found in declared_answers(text, "en")] == declared


@pytest.mark.parametrize("form", ["#### {}", "The answer is {}.", "\\boxed{{{}}}."])
def test_the_last_thirty_two_declarations_of_a_kind_are_read(form: str) -> None:
    for num in (31, 32, 33):
        text = "\n".join(form.format(number) for number in range(num))
        assert [found.value for found in declared_answers(text, "en")] == [str(number) for number in range(num)][-32:]


@pytest.mark.parametrize(("letters", "value"), [(39, "18"), (40, "q" * 40 + " 18 left from 20")])
def test_the_first_of_several_numbers_stands_within_forty_characters_of_its_phrase(letters: int, value: str) -> None:
    assert final_answer(f"The answer is {'q' * letters} 18 left from 20.", "en") == value


@pytest.mark.parametrize(("letters", "value"), [(296, "18"), (297, None)])
def test_the_only_number_of_a_sentence_of_three_hundred_characters_is_its_answer(
    letters: int, value: str | None
) -> None:
    assert final_answer(f"The answer is {'q' * letters} 18.", "en") == value


@pytest.mark.parametrize(("letters", "value"), [(8, "18"), (9, "20")])
def test_one_word_of_eight_letters_before_a_number_is_no_sentence(letters: int, value: str) -> None:
    assert final_answer(f"Answer: {'q' * letters} 18 left from 20.", "en") == value


@pytest.mark.parametrize(("letters", "value"), [(40, "20"), (41, None)])
def test_behind_a_label_the_last_number_has_at_most_forty_letters_behind_it(letters: int, value: str | None) -> None:
    assert final_answer(f"Answer: {'q' * 60} 18, so 20 {'q' * letters}.", "en") == value


# A blank, the letters and " the " are before the phrase: up to 40 characters go with it.
@pytest.mark.parametrize(("letters", "reasoning"), [(34, "5 + 6 = 11."), (35, f"5 + 6 = 11. {'q' * 35} the")])
def test_up_to_forty_characters_before_a_phrase_go_with_it(letters: int, reasoning: str) -> None:
    text = f"5 + 6 = 11. {'q' * letters} the answer is 11."
    assert split_reasoning(text, declared_answers(text, "en"), "en")[0] == reasoning


@pytest.mark.parametrize("form", ["\\boxed{{{}}}", "The answer is {}."])
def test_an_answer_in_words_has_at_most_sixty_characters(form: str) -> None:
    assert final_answer(form.format("q" * 60), "en") == "q" * 60
    assert final_answer(form.format("q" * 61), "en") is None


@pytest.mark.parametrize(("blanks", "answer"), [(118, "q q"), (119, None)])
def test_words_are_read_from_at_most_120_characters(blanks: int, answer: str | None) -> None:
    assert final_answer("\\boxed{q" + " " * blanks + "q}", "en") == answer


@pytest.mark.parametrize(
    ("tail", "answer"),
    [("\n" * 59, "Paris"), ("\n" * 60, None), (" !", "Paris"), (" He lives there", None), (" 5", None)],
)
def test_words_behind_a_phrase_end_the_text(tail: str, answer: str | None) -> None:
    assert final_answer(f"The answer is Paris.{tail}", "en") == answer


@pytest.mark.parametrize(("letters", "rest"), [(60, ""), (61, " " + "q" * 61)])
def test_a_choice_of_sixty_characters_is_repeated_behind_its_letter(letters: int, rest: str) -> None:
    text = f"The answer is (B) {'q' * letters}"
    [found] = declared_answers(text, "en")
    assert (found.value, text[found.end :]) == ("B", rest)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("Paris (France)", "Paris (France)"),
        ("Paris (France", "Paris France"),
        ("Paris France)", "Paris France"),
        ("Paris [France]", "Paris [France]"),
        ("Paris [France", "Paris France"),
        ("Paris (France])", "Paris France"),
    ],
)
def test_brackets_that_do_not_match_are_left_out(content: str, answer: str) -> None:
    assert final_answer(f"\\boxed{{{content}}}", "en") == answer
