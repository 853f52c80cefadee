"""Test that answers are read in the languages without built-in problems, as people write them there."""

import pytest

from languages.facts import LANGUAGES
from rewards.answers.final import declared_answers, final_answer, same_answer

ELEVEN = {
    "af": ("Die antwoord is dus 11.", "Antwoord: 11", "### Antwoord\n11"),
    "cs": ("Odpověď tedy zní 11.", "Odpověď: 11", "### Správná odpověď\n11", "Výsledek: 11"),
    "el": ("Η απάντηση είναι 11 σελίδες.", "Απάντηση: 11", "### Απάντηση\n11"),
    "et": ("Seega on vastus 11.", "Vastus: 11", "### Vastus\n11", "Vastuseks on 11."),
    "fa": ("پاسخ: ۱۱", "بنابراین پاسخ ۱۱ است.", "جواب برابر است با 11.", "### پاسخ\n۱۱"),
    "hi": ("उत्तर: ११", "अतः सही उत्तर ११ है।", "जवाब है 11", "### उत्तर\n11"),
    "ht": ("Repons lan se 11 paj.", "Repons: 11", "### Repons\n11"),
    "hu": ("A válasz tehát: 11.", "Válasz: 11", "### Válasz\n11"),
    "id": ("Jadi, jawaban akhirnya adalah 11.", "Jawaban: 11", "### Jawaban\n11"),
    "it": ("La risposta finale è 11 pagine.", "Risposta: 11", "### Risposta\n11"),
    "ko": ("따라서 정답은 11입니다.", "답: 11", "### 정답\n11", "최종 답은 11쪽입니다."),
    "mr": ("उत्तर: ११", "म्हणून उत्तर ११ आहे.", "### उत्तर\n११"),
    "ne": ("उत्तर: ११", "त्यसैले उत्तर ११ हो।", "### उत्तर\n११"),
    "nl": ("Het antwoord is dus 11.", "Antwoord: 11", "### Antwoord\n11", "Eindantwoord: 11"),
    "pl": ("Odpowiedź brzmi 11.", "Odpowiedź: 11", "### Odpowiedź\n11", "Ostateczna odpowiedź: 11"),
    "pt": ("A resposta final é 11 páginas.", "Resposta: 11", "### Resposta\n11"),
    "qu": ("Kutichiy: 11 rap'i", "### Kutichiy\n11"),
    "ro": ("Răspunsul corect este 11.", "Răspuns: 11", "### Răspuns\n11"),
    "sr": ("Одговор гласи 11.", "Одговор: 11", "### Одговор\n11"),
    "ta": ("விடை: ௧௧", "எனவே பதில் 11.", "### விடை\n11"),
    "tr": ("Doğru cevap: 11", "Cevap 11'dir.", "### Cevap\n11"),
    "uk": ("Отже, відповідь — 11.", "Відповідь дорівнює 11.", "### Відповідь\n11"),
    "ur": ("جواب: ۱۱", "لہٰذا جواب ۱۱ ہے۔", "### جواب\n۱۱"),
    "vi": ("Vậy đáp án là 11.", "Câu trả lời là 11 trang.", "Đáp số: 11", "### Đáp án\n11"),
    "yo": ("Idahun naa ni 11.", "Ìdáhùn: 11", "### Ìdáhùn\n11"),
    "zu": ("Impendulo ithi 11.", "Impendulo: 11", "### Impendulo\n11"),
}
HEDGED = {
    "af": ("Die antwoord is ten minste 18.", "Die antwoord is 20 of 18."),
    "cs": ("Odpověď není 18.", "Odpověď je alespoň 18.", "Odpověď je 20 nebo 18."),
    "el": ("Η απάντηση δεν είναι 18.", "Η απάντηση είναι τουλάχιστον 18.", "Η απάντηση είναι 20 ή 18."),
    "et": ("Vastus on vähemalt 18.", "Vastus on 20 või 18."),
    "fa": ("پاسخ ۱۸ نیست.", "پاسخ حداقل ۱۸ است.", "پاسخ ۲۰ یا ۱۸ است."),
    "hi": ("उत्तर 18 नहीं है।", "उत्तर कम से कम 18 है।", "उत्तर 20 या 18 है।", "उत्तर 18 से अधिक है।"),
    "ht": ("Repons lan se omwen 18.", "Repons lan se 20 oswa 18."),
    "hu": ("A válasz: legalább 18.", "A válasz: 20 vagy 18."),
    "id": ("Jawabannya adalah setidaknya 18.", "Jawabannya adalah 20 atau 18.", "Jawabannya adalah bukan 18."),
    "it": ("La risposta non è 18.", "La risposta è almeno 18.", "La risposta è 20 o 18."),
    "ko": ("답은 18 이상입니다.", "답은 최소 18입니다.", "답은 20 또는 18입니다.", "답은 18개 이하입니다."),
    "mr": ("उत्तर 18 नाही.", "उत्तर किमान 18 आहे.", "उत्तर 20 किंवा 18 आहे."),
    "ne": ("उत्तर 18 होइन।", "उत्तर कम्तीमा 18 हो।", "उत्तर 20 वा 18 हो।"),
    "nl": ("Het antwoord is niet 18.", "Het antwoord is minstens 18.", "Het antwoord is 20 of 18."),
    "pl": ("Odpowiedź to nie 18.", "Odpowiedź to co najmniej 18.", "Odpowiedź to 20 lub 18."),
    "pt": ("A resposta não é 18.", "A resposta é pelo menos 18.", "A resposta é 20 ou 18."),
    "ro": ("Răspunsul nu este 18.", "Răspunsul este cel puțin 18.", "Răspunsul este 20 sau 18."),
    "sr": ("Одговор није 18.", "Одговор је најмање 18.", "Одговор је 20 или 18."),
    "ta": ("விடை 18 அல்ல.", "விடை குறைந்தது 18.", "விடை 20 அல்லது 18."),
    "tr": ("Cevap: 18 değil.", "Cevap: en az 18.", "Cevap: 20 veya 18."),
    "uk": ("Відповідь: не 18.", "Відповідь: щонайменше 18.", "Відповідь: 20 або 18."),
    "ur": ("جواب 18 نہیں ہے۔", "جواب کم از کم 18 ہے۔", "جواب 20 یا 18 ہے۔"),
    "vi": ("Đáp án là ít nhất 18.", "Đáp án là 20 hoặc 18.", "Đáp án không phải là 18."),
    "yo": ("Ìdáhùn náà ni ó kéré tán 18.", "Ìdáhùn náà ni 20 tàbí 18."),
    "zu": ("Impendulo ithi okungenani 18.", "Impendulo ithi 20 noma 18."),
}
MINUS = {
    **{"af": "minus 5", "cs": "minus 5", "el": "μείον 5", "et": "miinus 5", "fa": "منفی ۵", "hi": "ऋण 5"},
    **{"ht": "mwens 5", "hu": "mínusz 5", "id": "minus 5", "it": "meno 5", "ko": "마이너스 5", "mr": "उणे 5"},
    **{"ne": "माइनस 5", "nl": "min 5", "pl": "minus 5", "pt": "menos 5", "ro": "minus 5", "sr": "минус 5"},
    **{"ta": "மைனஸ் 5", "tr": "eksi 5", "uk": "мінус 5", "ur": "منفی 5", "vi": "âm 5"},
}
NATIVE_DIGITS = {
    **{"fa": "۱۲۳۴۵۶۷۸۹۰", "ur": "۱۲۳۴۵۶۷۸۹۰", "hi": "१२३४५६७८९०"},
    **{"mr": "१२३४५६७८९०", "ne": "१२३४५६७८९०", "ta": "௧௨௩௪௫௬௭௮௯௦"},
}


@pytest.mark.parametrize("code", ELEVEN)
def test_the_usual_declarations_are_read(code: str) -> None:
    for text in ELEVEN[code]:
        for reasoning in ("", "5 + 6 = 11\n"):
            [found] = declared_answers(reasoning + text, code)
            assert (found.value, found.language) == ("11", code), text


@pytest.mark.parametrize("code", HEDGED)
def test_a_hedged_number_is_no_answer(code: str) -> None:
    for text in HEDGED[code]:
        answer = final_answer(text, code)
        assert answer is None or not (same_answer(answer, "18") or same_answer(answer, "20")), text


@pytest.mark.parametrize("code", MINUS)
def test_a_word_for_minus_is_read(code: str) -> None:
    assert final_answer(LANGUAGES[code].closing.format(answer=MINUS[code]), code) == "-5"


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_closing_is_read_with_whatever_answer_it_was_asked_for(code: str) -> None:
    language = LANGUAGES[code]
    group = "," if language.decimal_mark == "." else "."
    for written, value in (
        ("11", "11"),
        (f"12{group}345{language.decimal_mark}5", "12345.5"),
        ("50%", "50%"),
        ("$\\frac{1}{2}$", "0.5"),
        ("\\boxed{11}", "11"),
        ("**11**", "11"),
        ("(B)", "B"),
    ):
        [found] = declared_answers(language.closing.format(answer=written), code)
        assert (found.value, found.language) == (value, code), written


@pytest.mark.parametrize("code", LANGUAGES)
def test_each_word_of_a_language_that_changes_a_number_does_so(code: str) -> None:
    language = LANGUAGES[code]
    expected = {f"3 {word}": str(3 * factor) for word, factor in language.scale_values.items()}
    expected |= {f"{word} 3": str(3 * factor) for word, factor in language.scale_values_before.items()}
    expected |= {f"3 {word}": "3%" for word in language.percents}
    expected |= {f"{word} 3": "3%" for word in language.percents_before}
    expected |= {f"{word} 3": "3.5" for word in language.halves_before}
    expected |= {f"3 {word}": "3.5" for word in language.halves}
    found = {written: final_answer(f"\\boxed{{{written}}}", code) for written in expected}
    assert {written: value for written, value in found.items() if value != expected[written]} == {}


@pytest.mark.parametrize("code", NATIVE_DIGITS)
def test_a_number_in_the_languages_own_digits_is_read(code: str) -> None:
    assert final_answer(LANGUAGES[code].closing.format(answer=NATIVE_DIGITS[code]), code) == "1234567890"


def test_korean_words_that_are_written_on_to_a_number_are_read() -> None:
    for written, value in (("3만 5천", "35000"), ("5천", "5000"), ("20퍼센트", "20%"), ("7개", "7"), ("2천원", "2000")):
        assert final_answer(LANGUAGES["ko"].closing.format(answer=written), "ko") == value, written
