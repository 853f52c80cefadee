"""The gates: in the asked language, in the asked form."""

import csv
from pathlib import Path

import pytest

from rewards.answers import declared_answers, split_reasoning
from rewards.format_gate import format_is_open
from rewards.language_gate import _ENGLISH_WORDS, LanguageGate
from rewards.languages import LANGUAGES

MGSM = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mgsm"
needs_mgsm = pytest.mark.skipif(
    not (MGSM / "mgsm_en.tsv").exists(), reason="needs MGSM's TSV files in shared/data/mgsm"
)
MGSM_LANGUAGES = ("en", "de", "es", "fr", "ru", "zh", "ja", "th", "sw", "bn", "te")

ENGLISH = "Anna had 12 apples and bought 3 more, so now she has 12 + 3 = 15 apples."
FAITHFUL = {
    "en": ENGLISH,
    "de": "Anna hatte 12 Äpfel und kaufte 3 weitere, also hat sie jetzt 12 + 3 = 15 Äpfel.",
    "es": "Ana tenía 12 manzanas y compró 3 más, así que ahora tiene 12 + 3 = 15 manzanas.",
    "fr": "Anna avait 12 pommes et en a acheté 3 autres, elle a donc maintenant 12 + 3 = 15 pommes.",
    "ru": "У Анны было 12 яблок, она купила ещё 3, значит, теперь у неё 12 + 3 = 15 яблок.",
    "zh": "安娜有 12 个苹果，又买了 3 个，所以现在她有 12 + 3 = 15 个苹果。",
    "ja": "アンナはりんごを12個持っていて、さらに3個買ったので、今は12+3=15個のりんごがあります。",
    "th": "แอนนามีแอปเปิล 12 ผล และซื้อเพิ่มอีก 3 ผล ดังนั้นตอนนี้เธอมี 12 + 3 = 15 ผล",
    "sw": "Anna alikuwa na matufaha 12 na akanunua mengine 3, kwa hivyo sasa ana matufaha 12 + 3 = 15.",
    "bn": "আনার 12টি আপেল ছিল এবং সে আরও 3টি কিনেছে, তাই এখন তার 12 + 3 = 15টি আপেল আছে।",
    "te": "అన్నా వద్ద 12 ఆపిల్స్ ఉన్నాయి, ఆమె మరో 3 కొనుగోలు చేసింది, కాబట్టి ఇప్పుడు 12 + 3 = 15 ఉన్నాయి.",
    "ar": "كان لدى آنا 12 تفاحة واشترت 3 تفاحات أخرى، لذلك لديها الآن 12 + 3 = 15 تفاحة.",
}
TARGETS = tuple(code for code in FAITHFUL if code != "en")


@pytest.fixture(scope="module")
def gate() -> LanguageGate:
    return LanguageGate(tuple(LANGUAGES))


def respond(code: str, reasoning: str) -> str:
    return f"{reasoning}\n{LANGUAGES[code].closing.format(answer='15')}"


def is_open(gate: LanguageGate, text: str, code: str) -> bool:
    return gate.is_open(text, code, declared_answers(text, code))


@pytest.mark.parametrize("code", FAITHFUL)
def test_faithful_response_opens_both_gates(gate: LanguageGate, code: str) -> None:
    text = respond(code, FAITHFUL[code])
    assert is_open(gate, text, code)
    assert format_is_open(text, declared_answers(text, code), split_reasoning(text, code)[0])


@pytest.mark.parametrize("code", TARGETS)
def test_english_response_is_refused(gate: LanguageGate, code: str) -> None:
    assert not is_open(gate, respond("en", ENGLISH), code)


@pytest.mark.parametrize("code", TARGETS)
def test_english_reasoning_under_a_native_closing_is_refused(gate: LanguageGate, code: str) -> None:
    assert not is_open(gate, respond(code, ENGLISH), code)


@pytest.mark.parametrize("code", TARGETS)
def test_one_english_sentence_in_two_is_refused(gate: LanguageGate, code: str) -> None:
    assert not is_open(gate, respond(code, f"{FAITHFUL[code]} {ENGLISH}"), code)
    assert not is_open(gate, respond(code, f"{ENGLISH} {FAITHFUL[code]}"), code)


@pytest.mark.parametrize("code", TARGETS)
def test_english_closing_under_native_reasoning_is_refused(gate: LanguageGate, code: str) -> None:
    assert not is_open(gate, respond("en", FAITHFUL[code]), code)


@pytest.mark.parametrize("code", FAITHFUL)
def test_every_other_language_is_refused(gate: LanguageGate, code: str) -> None:
    assert [other for other in FAITHFUL if gate.is_in(FAITHFUL[other], code)] == [code]


def test_short_english_sentence_that_lingua_leaves_open_is_refused(gate: LanguageGate) -> None:
    assert not gate.is_in("Rosa now has 33 + 25 = 58 apples.", "de")
    assert not gate.is_in("Il remain 20 - 7 = 13 pommes and they are left.", "fr")


def test_english_clause_inside_a_thai_text_is_refused(gate: LanguageGate) -> None:
    assert not gate.is_in(f"{FAITHFUL['th']} so she has fifteen apples left {FAITHFUL['th']}", "th")


@pytest.mark.parametrize("text", ["", "42", "12 + 3 = 15", "15 kg", "#### 15", r"\[ \frac{30}{2} = 15 \]", "x = 15"])
@pytest.mark.parametrize("code", ["de", "ja", "te"])
def test_text_without_words_is_not_judged(gate: LanguageGate, text: str, code: str) -> None:
    assert gate.is_in(text, code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("zh", "比利在商店卖 DVD。他在周二有 8 位顾客，前 3 位顾客各买了一张 DVD，其他顾客没有买 DVD。"),
        ("ja", "ブランドンのiPhoneはベンのiPhoneの4倍古いです。ベンのiPhoneは2年目です。"),
        ("ru", "iPhone Брендона в четыре раза старше, чем iPhone Бена."),
        ("de", r"Die Fläche ist $\text{Breite} \times \text{Länge} = 3 \cdot 5 = 15$ Quadratmeter."),
    ],
)
def test_names_and_latex_are_tolerated(gate: LanguageGate, code: str, text: str) -> None:
    assert gate.is_in(text, code)


def test_language_that_the_gate_was_not_built_for_is_an_error() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        LanguageGate(("de",)).is_in("Bonjour", "fr")


def test_every_latin_language_but_english_has_its_english_words() -> None:
    latin = {code for code, language in LANGUAGES.items() if language.script == "latin"}
    assert set(_ENGLISH_WORDS) == latin - {"en"}


def mgsm_questions(code: str) -> list[str]:
    with (MGSM / f"mgsm_{code}.tsv").open(encoding="utf-8", newline="") as file:
        return [question for question, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


@needs_mgsm
@pytest.mark.parametrize("code", MGSM_LANGUAGES)
def test_mgsm_text_is_accepted_in_its_language_and_refused_as_english(gate: LanguageGate, code: str) -> None:
    questions = mgsm_questions(code)
    refused = [question for question in questions if not gate.is_in(question, code)]
    assert len(refused) <= 0.01 * len(questions), refused
    if code != "en":
        assert sum(gate.is_in(question, code) for question in mgsm_questions("en")) == 0


FORMAT_CASES = {
    "one answer behind reasoning": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11.", True),
    "a unit behind the number": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11 Bälle pro Tag.", True),
    "hashes": ("Es sind 5 + 6 = 11 Bälle.\n#### 11\n", True),
    "nothing declared": ("Es sind 5 + 6 = 11 Bälle.", False),
    "two different answers": ("Es sind 11 Bälle. Die Antwort lautet 11. Die Antwort lautet 12.", False),
    "the same answer twice": ("Es sind 11 Bälle. Die Antwort lautet 11.\n#### 11", False),
    "no reasoning": ("Die Antwort lautet 11.", False),
    "only digits as reasoning": ("5 + 6 = 11\nDie Antwort lautet 11.", False),
    "a list of answers": ("Es sind viele Bälle. Die Antwort lautet 11 oder 12 oder 13.", False),
    "a long tail": ("Es sind 11 Bälle. Die Antwort lautet 11. " + "Und nun noch etwas mehr dazu. " * 3, False),
    "a phrase without a number": ("Es sind viele Bälle. Die Antwort lautet viele.", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("case", FORMAT_CASES)
def test_format_gate_wants_reasoning_and_exactly_one_answer(case: str) -> None:
    text, expected = FORMAT_CASES[case]
    assert format_is_open(text, declared_answers(text, "de"), split_reasoning(text, "de")[0]) is expected
