"""Test other phrases than the closing phrase with which writers of each language declare an answer."""

import pytest

from rewards.answers.final import declared_answers

ELEVEN = {
    "en": ("### Answer\n11", "**Final Answer**\n\n11 pages"),
    "de": (
        *("### Antwort\n11", "### Antwort\n\n**11 Seiten**\n", "**Endgültige Antwort**\n11 Seiten pro Tag."),
        *("Endergebnis: 11", "**Ergebnis:** 11 Seiten.", "Lösung: 11"),
    ),
    "es": ("**Respuesta final**\n11", "Resultado: 11 páginas", "La solución es 11."),
    "fr": ("### Réponse finale\n11 pages", "Résultat : 11", "**Résultat final :** 11"),
    "ru": ("### Ответ\n11", "Итого: 11 страниц."),
    "zh": ("**最终答案**\n11 页", "### 答案\n11", "答案就是11", "答案是十一", "答案是十一页。", "答案：十一。"),
    "ja": ("### 答え\n11", "### 最終的な答え\n11ページ", "答え 11ページ", "答えは十一ページです。"),
    "th": (
        *("คำตอบ 11", "คำตอบของคำถามคือ 11", "คำตอบจึงเป็น 11 หน้า", "ตอบ 11", "**ตอบ** 11 หน้า", "### คำตอบ\n11"),
        "ดังนั้น คำตอบ 11 หน้า",
    ),
    "sw": ("### Jibu\n11", "Jibu la swali ni 11.", "Jibu lake ni kurasa 11."),
    "bn": ("উত্তরঃ ১১", "অতএব, উত্তর ১১।", "সুতরাং উত্তর: ১১টি", "### উত্তর\n১১", "**উত্তর:** ১১"),
    "te": ("**సమాధానం:** 11", "### సమాధానం\n11", "**సమాధానం:** 11 పేజీలు"),
    "ar": ("### الإجابة\n11", "الناتج: 11", "الحل: ١١ صفحة."),
}


@pytest.mark.parametrize("code", ELEVEN)
def test_a_languages_other_declarations_are_read(code: str) -> None:
    for text in ELEVEN[code]:
        for reasoning in ("", "5 + 6 = 11\n"):
            [found] = declared_answers(reasoning + text, code)
            assert (found.value, found.language) == ("11", code), text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "### Antwort\nZuerst 5 + 6 = 11\nDann 11 + 3."),
        ("de", "### Antwort\nDer Rest: 5 + 6 = 11\nDann 11 + 3."),
        ("de", "### Antwort\n1. Zuerst"),
        ("de", "### Antwort\n1) Zuerst"),
        ("de", "Ergebnis: 6\nDann 5 + 6."),
        ("de", "Lösung: 5 + 6 = 11"),
        ("de", "Das Ergebnis: 11"),
        ("es", "La solución es sumar 5 y 6"),
        ("ru", "Итого: 5 + 6 = 11"),
        ("zh", "逐步解答：5 个球"),
        ("ja", "ステップごとの答え 5個"),
        ("th", "เขามีคำตอบ 3 ข้อ"),
        ("th", "เขาตอบ 5 ข้อ"),
        ("th", "คำตอบทีละขั้นตอน: 5 ลูก"),
        ("sw", "Jibu la Hatua kwa Hatua: 5 + 6"),
        ("bn", "ধাপে ধাপে উত্তর: 5টি বল"),
        ("ar", "الحل: 5 + 6 = 11"),
    ],
)
def test_what_opens_or_interrupts_a_reasoning_declares_nothing(code: str, text: str) -> None:
    assert declared_answers(text, code) == []
