"""The language gates: reasoning and answer are in the asked language."""

import csv
from pathlib import Path

import pytest

from contracts.rollouts import ScoreRequest
from driver.problems.builtin.generate import builtin_items
from languages.facts import LANGUAGES
from rewards.gates.gates import AnswerLanguageGate, LanguageGate
from rewards.gates.identify import LanguageIdentifier
from rewards.reading import Reading, read_group

MGSM = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm"
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
def judge() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


def read(code: str, response: str) -> Reading:
    request = ScoreRequest(
        language=code,
        question="",
        question_en="",
        reference=f"{ENGLISH}\nThe answer is 15.",
        responses=(response,),
        truncated=(False,),
    )
    return read_group(request)[0]


def respond(code: str, reasoning: str) -> str:
    return f"{reasoning}\n{LANGUAGES[code].closing.format(answer='15')}"


def gates_open(judge: LanguageIdentifier, code: str, response: str) -> tuple[bool, bool]:
    """(language, answer_language)"""
    reading = read(code, response)
    return LanguageGate(judge).is_open(reading), AnswerLanguageGate(judge).is_open(reading)


@pytest.mark.parametrize("code", FAITHFUL)
def test_faithful_response_opens_both_gates(judge: LanguageIdentifier, code: str) -> None:
    assert gates_open(judge, code, respond(code, FAITHFUL[code])) == (True, True)


@pytest.mark.parametrize("code", TARGETS)
def test_english_response_shuts_both_gates(judge: LanguageIdentifier, code: str) -> None:
    assert gates_open(judge, code, respond("en", ENGLISH)) == (False, False)


@pytest.mark.parametrize("code", TARGETS)
def test_english_reasoning_under_a_native_closing_shuts_the_gate_of_the_reasoning(
    judge: LanguageIdentifier, code: str
) -> None:
    assert gates_open(judge, code, respond(code, ENGLISH)) == (False, True)


@pytest.mark.parametrize("code", TARGETS)
def test_english_closing_under_native_reasoning_shuts_the_gate_of_the_answer(
    judge: LanguageIdentifier, code: str
) -> None:
    assert gates_open(judge, code, respond("en", FAITHFUL[code])) == (True, False)


def test_english_sentence_behind_a_native_answer_shuts_the_gate_of_the_answer(judge: LanguageIdentifier) -> None:
    response = f"{respond('de', FAITHFUL['de'])} That is how many apples she has in the end."
    assert gates_open(judge, "de", response) == (True, False)


def test_box_behind_native_reasoning_has_no_language(judge: LanguageIdentifier) -> None:
    assert gates_open(judge, "de", f"{FAITHFUL['de']}\n\\boxed{{15}}") == (True, True)


@pytest.mark.parametrize("code", TARGETS)
def test_one_english_sentence_in_two_is_refused(judge: LanguageIdentifier, code: str) -> None:
    assert not judge.is_in(f"{FAITHFUL[code]} {ENGLISH}", code)
    assert not judge.is_in(f"{ENGLISH} {FAITHFUL[code]}", code)


@pytest.mark.parametrize("code", FAITHFUL)
def test_every_other_language_is_refused(judge: LanguageIdentifier, code: str) -> None:
    assert [other for other in FAITHFUL if judge.is_in(FAITHFUL[other], code)] == [code]


@pytest.mark.parametrize("code", TARGETS)
def test_english_second_half_of_a_sentence_is_refused(judge: LanguageIdentifier, code: str) -> None:
    half = FAITHFUL[code][: len(FAITHFUL[code]) // 2]
    assert not judge.is_in(f"{half} so now she has 12 + 3 = 15 apples.", code)


@pytest.mark.parametrize("code", TARGETS)
def test_short_english_sentence_before_a_native_one_is_refused(judge: LanguageIdentifier, code: str) -> None:
    assert not judge.is_in(f"She has 15 apples left. {FAITHFUL[code]}", code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "Rosa now has 33 + 25 = 58 apples."),
        ("fr", "Il remain 20 - 7 = 13 pommes and they are left."),
        ("de", "There Are 21 People On The Train."),
        ("de", "THERE ARE 21 PEOPLE ON THE TRAIN."),
        ("de", "ｔｈｅｒｅ ａｒｅ 5 ａｐｐｌｅｓ"),
        ("th", "ตอนนี้มี apples ทั้งหมด 36 ผล"),
        ("zh", "每个孩子分到 5 颗糖果，それぞれ5個です。"),
        ("ja", "電車には21人います。每个孩子分到5颗糖果，一共有20颗糖果。"),
        ("es", "Cada criança recebe 40 ÷ 8 = 5 balas. Então elas têm 5 balas."),
        ("es", "Ogni bambino riceve 40 ÷ 8 = 5 caramelle."),
        ("de", "In de trein zitten 26 mensen. Bij het eerste station stappen 5 mensen uit."),
        ("ru", "У Марії було 5 яблук. Мартін дав їй ще 31 яблуко. Тепер у Марії 36 яблук."),
        ("ar", "مریم پنج سیب داشت. علی به او سی سیب دیگر داد. اکنون مریم ۳۶ سیب دارد."),
    ],
)
def test_disguised_mixed_or_related_language_is_refused(judge: LanguageIdentifier, code: str, text: str) -> None:
    assert not judge.is_in(text, code)


def test_english_clause_inside_a_thai_text_is_refused(judge: LanguageIdentifier) -> None:
    assert not judge.is_in(f"{FAITHFUL['th']} so she has fifteen apples left {FAITHFUL['th']}", "th")


def test_single_english_words_all_over_a_text_are_refused_and_one_alone_is_not(judge: LanguageIdentifier) -> None:
    first = "Am Anfang hat der Bauer vier große Körbe voller Obst, die neben der Scheune stehen"
    second = "Danach bringt seine Tochter noch drei weitere Körbe von dem Feld hinter dem Haus mit"
    assert judge.is_in(f"{first}. {second}.", "de")
    assert judge.is_in(f"{first} today. {second}.", "de")
    assert not judge.is_in(f"{first} today. {second} together.", "de")


@pytest.mark.parametrize("text", ["", "42", "12 + 3 = 15", "15 kg", "#### 15", r"\[ \frac{30}{2} = 15 \]", "x = 15"])
@pytest.mark.parametrize("code", ["de", "ja", "te"])
def test_text_without_words_is_not_judged(judge: LanguageIdentifier, text: str, code: str) -> None:
    assert judge.is_in(text, code)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("zh", "比利在商店卖 DVD。他在周二有 8 位顾客，前 3 位顾客各买了一张 DVD，其他顾客没有买 DVD。"),
        ("ja", "ブランドンのiPhoneはベンのiPhoneの4倍古いです。ベンのiPhoneは2年目です。"),
        ("ru", "iPhone Брендона в четыре раза старше, чем iPhone Бена."),
        ("th", "เธอขับรถ 60 km และซื้อแอปเปิล 3 kg"),
        ("de", r"Die Fläche ist $\text{Breite} \times \text{Länge} = 3 \cdot 5 = 15$ Quadratmeter."),
        ("de", "Leo und Will fahren mit May nach New York."),
    ],
)
def test_names_units_and_latex_are_tolerated(judge: LanguageIdentifier, code: str, text: str) -> None:
    assert judge.is_in(text, code)


def test_language_that_the_judge_was_not_built_for_is_an_error() -> None:
    with pytest.raises(ValueError, match="'fr'"):
        LanguageIdentifier(("de",)).is_in("Bonjour", "fr")


@pytest.mark.parametrize("code", FAITHFUL)
def test_built_in_texts_are_accepted_in_their_language_and_refused_as_english(
    judge: LanguageIdentifier, code: str
) -> None:
    items = list(builtin_items(seed=3, split="test", num_items=60))
    texts = [text for item in items for text in (item.text(code).question, item.text(code).solution)]
    assert [text for text in texts if not judge.is_in(text, code)] == []
    if code != "en":
        assert [item.item_id for item in items if judge.is_in(item.text("en").solution, code)] == []


def mgsm_questions(code: str) -> list[str]:
    with (MGSM / f"mgsm_{code}.tsv").open(encoding="utf-8", newline="") as file:
        return [question for question, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


@needs_mgsm
@pytest.mark.parametrize("code", MGSM_LANGUAGES)
def test_mgsm_questions_are_accepted_in_their_language_and_refused_as_english(
    judge: LanguageIdentifier, code: str
) -> None:
    questions = mgsm_questions(code)
    refused = [question for question in questions if not judge.is_in(question, code)]
    assert len(refused) <= 0.01 * len(questions), refused
    if code != "en":
        assert sum(judge.is_in(question, code) for question in mgsm_questions("en")) == 0
