"""Test that one answer said several ways is one answer, and that two answers dressed as one are two."""

import pytest

from rewards.answers.final import declared_answers, final_answer
from rewards.gates.form import FormatGate
from tests.builders import a_reading

STEPS = "Rosa hat zuerst 12 Orangen und kauft noch 24 dazu, das sind 12 + 24 = 36 Orangen."

ONE = {
    "a label that opens the solution, a box at its end": f"Antwort: {STEPS} Also ist es so:\n\n\\boxed{{36}}",
    "a label in English, a box at the end": f"Answer: {STEPS}\n\n\\boxed{{36}}",
    "the answer before and after the reasoning": f"Die Antwort ist 36.\n\n{STEPS}\n\nDie Antwort lautet 36.",
    "a unit, then a box": f"{STEPS} Die Antwort lautet 36 Orangen.\n\nDas ergibt \\boxed{{36}}.",
    "a box in its sentence": f"{STEPS} Somit hat Rosa \\boxed{{36}} Orangen aus 2 Körben für 4 Wochen.",
    "a box in the sentence of a label": f"{STEPS}\n\n**Antwort:** Rosa hat \\boxed{{36}} Orangen in 2 Körben.",
    "an answer before its explanation": f"Die Antwort lautet 36.\n\n**Erklärung:** {STEPS} Rosa hat also 36 Orangen.",
    "intermediate answers": f"Antwort: 12\n\nDann kauft sie noch mehr Orangen auf dem Markt. {STEPS}\n\nAntwort: 36",
    "a kind word behind it": f"{STEPS} Die Antwort lautet 36. Ich hoffe, das hilft dir weiter!",
    "a heading above a sentence": f"{STEPS}\n\n### Antwort\nRosa hat nun 36 Orangen.",
    "a sentence that repeats the number": f"{STEPS} Antwort: 36. Rosa hat also 36 Orangen im Korb.",
    "a bullet": f"{STEPS}\n- Antwort: 36",
    "a label behind a step": f"{STEPS}\nSchritt 4: Antwort: Rosa hat 36 Orangen.",
    "a quotation": f"{STEPS} Die Antwort lautet „36“.",
    "emphasis inside a sentence": f"{STEPS} Antwort: Rosa hat **36** Orangen in 2 Körben.",
    "text in a box": f"{STEPS} $\\boxed{{\\text{{36 Orangen}}}}$",
}
TWO = {
    "two answers in a row": f"{STEPS} Die Antwort lautet 35. Die Antwort lautet 36.",
    "another answer in a box": f"{STEPS} Die Antwort lautet 35.\n\\boxed{{36}}",
    "a choice behind a box": f"{STEPS} \\boxed{{36}} oder 35",
    "a choice late in the sentence of a box": f"{STEPS} Es sind \\boxed{{36}} Orangen in dem Korb oder 35.",
    "another number in the next sentence": f"{STEPS} \\boxed{{36}}. Es können 35 sein.",
    "an explanation that ends in another number": f"Die Antwort lautet 36.\n\n{STEPS} Rosa hat also 35 Orangen.",
    "an explanation that ends in a choice": f"Die Antwort lautet 36.\n\n{STEPS} Rosa hat 35 oder 36 Orangen.",
}


@pytest.mark.parametrize("case", ONE)
def test_one_answer_said_several_ways_opens_the_gate(case: str) -> None:
    reading = a_reading(ONE[case])
    assert reading.answer == "36"
    assert FormatGate().is_open(reading)


@pytest.mark.parametrize("case", TWO)
def test_two_answers_dressed_as_one_shut_the_gate(case: str) -> None:
    assert not FormatGate().is_open(a_reading(TWO[case]))


def test_an_explanation_behind_the_answer_is_reasoning() -> None:
    reading = a_reading(f"Die Antwort lautet 36.\n\nErklärung: {STEPS} Rosa hat also 36 Orangen.")
    assert reading.reasoning == f"Erklärung: {STEPS} Rosa hat also 36 Orangen."
    assert reading.closing == "Die Antwort lautet 36."


@pytest.mark.parametrize(
    ("sentence", "reasoning"),
    [
        (
            "Rosa hat 12 Körbe zu je 3 Orangen, also insgesamt 36 Orangen.",
            "Antwort: Rosa hat 12 Körbe zu je 3 Orangen, also",
        ),
        ("Rosa hat 12 Körbe, also insgesamt 36 Orangen.", ""),  # one number works nothing out
        ("12 * 3 = 36", ""),  # no words
    ],
)
@pytest.mark.parametrize("form", ["{}", "\\boxed{{{}}}"])
def test_a_sentence_behind_a_label_that_works_the_answer_out_is_reasoning(
    sentence: str, reasoning: str, form: str
) -> None:
    reading = a_reading(f"Antwort: {sentence.replace('36', form.format(36))}")
    assert reading.answer == "36"
    assert reading.reasoning.startswith(reasoning)
    assert bool(reading.reasoning) is bool(reasoning)


def test_thai_that_marks_no_ends_of_sentences_may_give_its_solution_behind_a_label() -> None:
    solution = "คำตอบ: พ่อค้าซื้อข้าวสาลีในราคา 20 ดอลลาร์ต่อถุง และจ่ายค่าขนส่ง 2 ดอลลาร์ต่อถุง จำนวนถุงคือ 400 ÷ 8 = 50 ถุง"
    reading = a_reading(f"{solution}\n\n\\boxed{{50}}", language="th")
    assert reading.answer == "50"
    assert reading.reasoning == solution.removesuffix("50 ถุง").strip()


@pytest.mark.parametrize(("letters", "found"), [(60, ["5", "6"]), (61, ["6"])])
def test_an_earlier_answer_counts_only_close_to_the_last_one(letters: int, found: list[str]) -> None:
    # The letters between are counted from the number to the phrase, which begins at "answer".
    between = "q" * (letters - len("The"))
    values = [answer.value for answer in declared_answers(f"The answer is 5. {between} The answer is 6.", "en")]
    assert values == found


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: Rosa has 12 baskets and so in all 36 oranges.", "36"),
        ("Answer: Rosa has 36 oranges that she wants to give to everyone she meets on her way home.", "36"),
        ("Answer: Rosa has **36** oranges in 12 baskets.", "36"),
        ("Answer: Rosa has 36 oranges in 12 baskets that she wants to give to everyone she meets today.", None),
        ("The answer is that, as we have seen above in all of these steps, she has 36 oranges.", "36"),
    ],
)
def test_a_sentence_behind_a_label_states_the_number_that_ends_it(text: str, answer: str | None) -> None:
    assert final_answer(text, "en") == answer


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Answer: 36", "en"),
        ("Answer: \\boxed{36}", "en"),
        ("The answer is 36.", "en"),
        ("Answer: Rosa hat nun insgesamt 36 Orangen.", None),
        ("**Final Answer:** Rosa hat nun \\boxed{36} Orangen.", None),
        ("**Final Answer**\n\\boxed{36}", None),
        ("Antwort: Rosa hat nun \\boxed{36} Orangen.", "de"),
        ("Antwort: 36", "de"),
    ],
)
def test_an_english_label_above_a_sentence_or_box_leaves_its_language_open(text: str, language: str | None) -> None:
    [found] = declared_answers(f"{STEPS}\n{text}", "de")
    assert (found.value, found.language) == ("36", language)


@pytest.mark.parametrize("formula", [r"2\sqrt{3}", "(3,4)", r"\{1,2\}", "x^2 + 1"])
def test_a_formula_in_a_box_is_declared_after_a_number_far_before(formula: str) -> None:
    [found] = declared_answers(f"Answer: Rosa has 36. {STEPS} {STEPS}\n\n\\boxed{{{formula}}}", "en")
    assert (found.value, found.kind) == (formula, "expression")


CLOSINGS = {
    "en": ("- Answer: 36", "The answer to the task is 36.", r"\textbf{Answer:} 36", "Ans: 36", "**Answer: 36**"),
    "de": ("Daher ist die Antwort 36.", "Die Antwort auf die Frage ist also 36.", "Endantwort: 36"),
    "es": ("¡Respuesta: 36!", "La respuesta a la pregunta es entonces 36.", "1. Respuesta: 36"),
    "fr": ("La réponse est donc 36.", "• Réponse : 36", "La réponse à cette question est 36."),
    "ru": ("Правильный ответ: 36.", "Ответ на этот вопрос: 36.", "### Итоговый ответ\n36"),
    "zh": ("回答：36。", "最终结果是36。", "因此，答案是：36", "解答：36"),
    "ja": ("回答：36", "最終的な答えは36です。", "よって、答えは「36」です。"),
    "th": ("ตอบ: 36 ผล", "คำตอบที่ได้คือ 36", "คำตอบสำหรับคำถามนี้คือ 36"),
    "sw": ("Jibu letu ni 36.", "Jibu kamili: 36", "Jibu la swali hili ni 36."),
    "bn": ("সঠিক উত্তর: ৩৬", "উত্তর হলো ৩৬।", "উত্তর হল ৩৬৷"),
    "te": ("### తుది సమాధానం\n36", "సమాధానం: రూ. 36", "**జవాబు:** 36"),
    "ar": ("الجواب النهائي هو: ٣٦", "الإجابة على هذا السؤال هي 36.", "جوابي هو 36."),
}


@pytest.mark.parametrize("code", CLOSINGS)
def test_closings_that_models_write_are_read(code: str) -> None:
    for text in CLOSINGS[code]:
        [found] = declared_answers(f"12 + 24 = 36\n{text}", code)
        assert (found.value, found.language) == ("36", code), text


def test_a_bengali_option_behind_either_spelling_of_the_verb_is_read() -> None:
    assert final_answer("উত্তর হলো C", "bn") == final_answer("উত্তর হল C", "bn") == "C"
