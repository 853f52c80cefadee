"""Test that a number that is only hedged, negated or offered as a choice is no answer, in every language."""

import pytest

from driver.evaluation.grading import grade
from driver.evaluation.sets.item import Item
from languages.facts import LANGUAGES
from rewards.answers.final import declared_answers, final_answer, same_answer
from rewards.gates.form import FormatGate
from tests.builders import a_reading

HEDGED = {
    "en": ("The answer is not 18.", "The answer is at least 18.", "The answer is 18 or 20.", r"\boxed{\geq 18}"),
    "de": (
        *("Die Antwort lautet nicht 18.", "Die Antwort lautet mindestens 18.", "Die Antwort lautet 18 oder 20."),
        *("Die Antwort lautet 20 bis 18.", "Die Antwort lautet mehr als 18 Äpfel.", r"\boxed{18} oder 20"),
    ),
    "es": ("La respuesta es al menos 18.", "La respuesta es 20 o 18 manzanas.", "La respuesta no es 18."),
    "fr": ("La réponse est au moins 18.", "La réponse est 20 ou 18.", "La réponse n'est pas 18."),
    "ru": ("Ответ — не 18.", "Ответ: 20 или 18.", "Ответ: не менее 18."),
    "zh": ("答案是至少18。", "答案是20或18。", "答案不是18。", "答案是18个以上。"),
    "ja": ("答えは18ではありません。", "答えは18個以上です。", "答えは20または18です。"),
    "th": ("คำตอบคือไม่ใช่ 18", "คำตอบคืออย่างน้อย 18", "คำตอบคือ 20 หรือ 18"),
    "sw": ("Jibu si 18.", "Jibu ni angalau 18.", "Jibu ni 20 au 18."),
    "bn": ("উত্তর হল ১৮ নয়।", "উত্তর হল কমপক্ষে ১৮।", "উত্তর হল ২০ বা ১৮।"),
    "te": ("సమాధానం 18 కాదు.", "సమాధానం కనీసం 18.", "సమాధానం 20 లేదా 18."),
    "ar": ("الإجابة ليست 18.", "الإجابة هي على الأقل 18.", "الإجابة هي 20 أو 18."),
}


@pytest.mark.parametrize("code", HEDGED)
def test_a_hedged_number_is_right_in_no_language(code: str) -> None:
    for text in HEDGED[code]:
        for gold in ("18", "20"):
            item = Item(task="t", item_id="1", language=code, question="?", gold=gold)
            assert not grade(text, item).is_correct, text
        assert not FormatGate().is_open(a_reading(text, language=code)), text


@pytest.mark.parametrize("code", LANGUAGES)
def test_each_hedge_of_a_language_makes_a_number_no_answer(code: str) -> None:
    language = LANGUAGES[code]
    for hedge in language.hedges:
        answer = final_answer(language.closing.format(answer=f"{hedge} 18"), code)
        assert answer is None or not same_answer(answer, "18"), hedge
    for hedge in language.hedges_behind:
        answer = final_answer(language.closing.format(answer=f"18 {hedge}"), code)
        assert answer is None or not same_answer(answer, "18"), hedge


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The answer is 18, not 20."),
        ("en", "The answer is exactly 18."),
        ("en", "The answer is 1/2 or 0.5."),
        ("en", "The answer is 50% or 0.5."),
        ("de", "Da sie nicht 20, sondern 18 hat: Die Antwort lautet 18."),
        ("fr", "Elle en a au moins 20. La réponse est 18."),
        ("ja", "答えは18です。以上です。"),
        ("th", "คำตอบคือ 18"),
    ],
)
def test_a_hedge_of_something_else_changes_nothing(code: str, text: str) -> None:
    assert final_answer(text, code) in ("18", "0.5", "50%")
    assert all(found.is_clear for found in declared_answers(text, code))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is at least 18.", "at least 18"),
        ("The answer is 18 or 20.", "18 or 20"),
        (r"\boxed{2 \text{ hours } 30 \text{ minutes}}", "2 or 30"),
    ],
)
def test_a_hedged_answer_is_shown_as_words(text: str, value: str) -> None:
    assert final_answer(text, "en") == value


@pytest.mark.parametrize(("blanks", "is_clear"), [(4, False), (5, True)])
def test_forty_characters_behind_a_number_are_read(blanks: int, is_clear: bool) -> None:
    """Nine blanks, a unit of 20 letters, the blanks, and the seven characters of the hedge."""
    [found] = declared_answers(f"The answer is 18{' ' * 9}{'q' * 20}{' ' * blanks}or more", "en")
    assert found.is_clear is is_clear


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The answer is 18, give or take."),
        ("en", "The answer is 18 give or take 2."),
        ("en", "The answer is plus or minus 18."),
        ("de", "Die Antwort lautet plus minus 18."),
        ("es", "La respuesta es más o menos 18."),
        ("fr", "La réponse est plus ou moins 18."),
        ("ru", "Ответ: плюс-минус 18."),
        ("zh", "答案是正负18。"),
        ("ja", "答えはプラスマイナス18です。"),
    ],
)
def test_a_number_that_may_be_more_or_less_is_neither_itself_nor_negative(code: str, text: str) -> None:
    answer = final_answer(text, code)
    assert answer is not None
    assert not same_answer(answer, "18")
    assert not same_answer(answer, "-18")
