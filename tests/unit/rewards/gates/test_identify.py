"""Test that texts in the asked language are accepted and others refused, each limit from both sides."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from lingua import Language as Lingua

from driver.problems.builtin.generate import builtin_items
from languages.facts import LANGUAGES, use_own_languages
from rewards.gates import lingua_judge
from rewards.gates.identify import LanguageIdentifier
from tests.models.faithful_texts import ENGLISH, FAITHFUL, TARGETS
from tests.refusals import raised

MGSM = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm"
needs_mgsm = pytest.mark.skipif(
    not (MGSM / "mgsm_en.tsv").exists(), reason="needs MGSM's TSV files in shared/data/mgsm"
)
MGSM_LANGUAGES = ("en", "de", "es", "fr", "ru", "zh", "ja", "th", "sw", "bn", "te")


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


@pytest.mark.parametrize("code", TARGETS)
def test_one_english_sentence_in_two_is_refused(identifier: LanguageIdentifier, code: str) -> None:
    assert not identifier.is_in(f"{FAITHFUL[code]} {ENGLISH}", code)
    assert not identifier.is_in(f"{ENGLISH} {FAITHFUL[code]}", code)


@pytest.mark.parametrize("code", FAITHFUL)
def test_every_other_language_is_refused(identifier: LanguageIdentifier, code: str) -> None:
    assert [other for other in FAITHFUL if identifier.is_in(FAITHFUL[other], code)] == [code]


@pytest.mark.parametrize("code", TARGETS)
def test_english_second_half_of_a_sentence_is_refused(identifier: LanguageIdentifier, code: str) -> None:
    half = FAITHFUL[code][: len(FAITHFUL[code]) // 2]
    assert not identifier.is_in(f"{half} so now she has 12 + 3 = 15 apples.", code)


@pytest.mark.parametrize("code", TARGETS)
def test_short_english_sentence_before_a_native_one_is_refused(identifier: LanguageIdentifier, code: str) -> None:
    assert not identifier.is_in(f"She has 15 apples left. {FAITHFUL[code]}", code)


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
def test_disguised_mixed_or_related_language_is_refused(identifier: LanguageIdentifier, code: str, text: str) -> None:
    assert not identifier.is_in(text, code)


def test_english_of_words_that_spanish_has_too_is_refused(identifier: LanguageIdentifier) -> None:
    """ "he" and "has" are Spanish words as well; "left" is not."""
    assert not identifier.is_in("Marta tiene 18 tazas.\nHe has 18 - 5 = 13 cups left.\nSon 13 tazas.", "es")


@pytest.mark.parametrize(
    ("text", "expected"), [("Nora Has 8 × 12 = 96 Oranges In Total.", False), ("Nora Has In", True)]
)
def test_a_sentence_in_capitals_is_no_row_of_names(identifier: LanguageIdentifier, text: str, expected: bool) -> None:
    """Of five words French has two as well; three words may be names."""
    assert identifier.is_in(f"{text}\nIl reste 96 oranges.", "fr") == expected


def test_a_unit_behind_a_stroke_is_a_unit(identifier: LanguageIdentifier) -> None:
    assert identifier.is_in(
        "Paul court quatre tours de piste avant le repas. Cela fait 4 × 5280 pieds/mile = 21120 pieds.", "fr"
    )


def test_english_clause_inside_a_thai_text_is_refused(identifier: LanguageIdentifier) -> None:
    assert not identifier.is_in(f"{FAITHFUL['th']} so she has fifteen apples left {FAITHFUL['th']}", "th")


def test_single_english_words_all_over_a_text_are_refused_and_one_alone_is_not(identifier: LanguageIdentifier) -> None:
    first = "Am Anfang hat der Bauer vier große Körbe voller Obst, die neben der Scheune stehen"
    second = "Danach bringt seine Tochter noch drei weitere Körbe von dem Feld hinter dem Haus mit"
    assert identifier.is_in(f"{first}. {second}.", "de")
    assert identifier.is_in(f"{first} today. {second}.", "de")
    assert not identifier.is_in(f"{first} today. {second} together.", "de")


@pytest.mark.parametrize("text", ["", "42", "12 + 3 = 15", "15 kg", "#### 15", r"\[ \frac{30}{2} = 15 \]", "x = 15"])
@pytest.mark.parametrize("code", ["de", "ja", "te"])
def test_text_without_words_passes(identifier: LanguageIdentifier, text: str, code: str) -> None:
    assert identifier.is_in(text, code)


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
def test_names_units_and_latex_are_tolerated(identifier: LanguageIdentifier, code: str, text: str) -> None:
    assert identifier.is_in(text, code)


def test_a_language_that_it_was_not_built_for_is_an_error() -> None:
    with raised(ValueError, "'fr'", " de,"):
        LanguageIdentifier(("de",)).is_in("Bonjour", "fr")


RELATIVES = {
    "tr": ("de", "Nina şimdiye kadar 6 × 3 = 18 sayfa okudu. Geriye 84 - 18 = 66 sayfa kaldı."),
    "vi": ("fr", "Nina đã đọc được 6 × 3 = 18 trang. Còn lại 84 - 18 = 66 trang."),
    "sv": ("de", "Nina har hittills läst 6 × 3 = 18 sidor. Det finns 84 - 18 = 66 sidor kvar."),
    "da": ("de", "Nina har indtil videre læst 6 × 3 = 18 sider. Hun skal læse 66 ÷ 6 = 11 sider hver dag."),
    "la": ("es", "Nina adhuc legit 6 × 3 = 18 paginas. Manent 84 - 18 = 66 paginae. Legere debet 11 paginas cotidie."),
    "eo": ("de", "Nina ĝis nun legis 6 × 3 = 18 paĝojn. Restas 84 - 18 = 66 paĝoj."),
    "zu": ("sw", "UNina usefunde amakhasi angu-6 × 3 = 18. Kusele amakhasi angu-84 - 18 = 66."),
    "so": ("sw", "Nina waxay ilaa hadda akhriday 6 × 3 = 18 bog. Waxaa haray 84 - 18 = 66 bog."),
    "tl": ("sw", "Nakabasa na si Nina ng 6 × 3 = 18 pahina. May natitirang 84 - 18 = 66 pahina."),
    "hu": ("es", "Nina eddig 6 × 3 = 18 oldalt olvasott el. 84 - 18 = 66 oldal maradt."),
    "ro": ("fr", "Nina a citit până acum 6 × 3 = 18 pagini. Au rămas 84 - 18 = 66 de pagini."),
    "pl": ("de", "Nina przeczytała do tej pory 6 × 3 = 18 stron. Zostało 84 - 18 = 66 stron."),
    "sr": ("ru", "Нина је до сада прочитала 6 × 3 = 18 страница. Остало је 84 - 18 = 66 страница."),
    "be": ("ru", "Ніна ўжо прачытала 6 × 3 = 18 старонак. Засталося 84 - 18 = 66 старонак."),
    "mk": ("ru", "Нина досега прочитала 6 × 3 = 18 страници. Остануваат 84 - 18 = 66 страници."),
    "kk": ("ru", "Нина осы уақытқа дейін 6 × 3 = 18 бет оқыды. 84 - 18 = 66 бет қалды."),
    "ur": ("ar", "نینا نے اب تک 6 × 3 = 18 صفحات پڑھے ہیں۔ 84 - 18 = 66 صفحات باقی ہیں۔"),
}


@pytest.mark.parametrize("relative", RELATIVES)
def test_a_relative_of_the_language_is_refused(identifier: LanguageIdentifier, relative: str) -> None:
    code, text = RELATIVES[relative]
    assert not identifier.is_in(text, code)


def test_a_sentence_of_a_relative_among_the_languages_own_is_refused(identifier: LanguageIdentifier) -> None:
    own = "Нина уже прочитала 6 × 3 = 18 страниц. Осталось прочитать 84 - 18 = 66 страниц."
    assert identifier.is_in(own, "ru")
    assert not identifier.is_in(f"{own} Тя трябва да чете 66 ÷ 6 = 11 страници всеки ден.", "ru")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ja", "計算：6×3=18（既読ページ数）、84−18=66（残りページ数）、66÷6=11（1日当たりのページ数）。"),
        ("ja", "１日６ページ×３日＝１８ページ。８４－１８＝６６ページ。６６÷６＝１１ページ。答えは１１ページです。"),
        ("ja", "チョコレートクロワッサンは120個です。"),
        ("ja", "**ステップ1：** 残りは84 − 18 = 66ページです。\n**ステップ2：** 1日あたり66 ÷ 6 = 11ページです。"),
        ("de", r"Die Fläche ist \[A = \frac{a \cdot b}{2} = \sqrt{x^2 + y^2} \approx 15 \text{ m}^2\]."),
        ("th", r"\begin{align*} 6 \times 3 &= 18 \\ 84 - 18 &= 66 \end{align*} ดังนั้นเหลือ 66 หน้า"),
        ("de", "Die Punkte A, B, C, D, E, F und G liegen auf einem Kreis."),
        ("de", "Es gilt a + b + c + d + e + f = 21, und damit ist x_1 + x_2 + y_1 + y_2 = 10."),
        ("fr", "Combien de pommes n'y a-t-il pas dans ce panier ? Il y en a 5, c'est tout ce qu'il y a."),
        ("de", "Der Umfang ist 2πr, der Winkel α und der Widerstand 5 kΩ groß."),
        ("de", "José, Chloé, Zoë und Łukasz kaufen Äpfel. José isst 3 davon, José hat noch 5, und Chloé bekommt 2."),
        ("ru", "1️⃣ Нина прочитала 18 страниц. 2️⃣ Осталось прочитать 66 страниц. 3️⃣ Это 11 страниц в день."),
        ("es", "El equipo 🇪🇸 ganó 5 partidos y perdió 3, así que jugó 8 partidos."),
    ],
)
def test_labels_variables_units_names_and_terse_text_are_tolerated(
    identifier: LanguageIdentifier, code: str, text: str
) -> None:
    assert identifier.is_in(text, code)


@pytest.mark.parametrize("code", FAITHFUL)
def test_built_in_texts_are_accepted_in_their_language_and_refused_as_english(
    identifier: LanguageIdentifier, code: str
) -> None:
    items = list(builtin_items(seed=3, split="test", num_items=60))
    texts = [text for item in items for text in (item.text(code).question, item.text(code).solution)]
    assert [text for text in texts if not identifier.is_in(text, code)] == []
    if code != "en":
        assert [item.item_id for item in items if identifier.is_in(item.text("en").solution, code)] == []


def mgsm_questions(code: str) -> list[str]:
    with (MGSM / f"mgsm_{code}.tsv").open(encoding="utf-8", newline="") as file:
        return [question for question, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


@needs_mgsm
@pytest.mark.parametrize("code", MGSM_LANGUAGES)
@pytest.mark.slow
def test_mgsm_questions_are_accepted_in_their_language_and_refused_as_english(
    identifier: LanguageIdentifier, code: str
) -> None:
    questions = mgsm_questions(code)
    refused = [question for question in questions if not identifier.is_in(question, code)]
    assert len(refused) <= 0.01 * len(questions), refused
    if code != "en":
        assert sum(identifier.is_in(question, code) for question in mgsm_questions("en")) == 0


# --- limits from both sides, with words of no language and with shares that lingua is made to give ---


@dataclass(frozen=True)
class Share:
    language: Lingua
    value: float


@dataclass
class FixedLingua:
    """Give the asked language and another one the same shares for every text, and keep the texts."""

    asked: Lingua
    own: float
    other: float
    texts: list[str] = field(default_factory=list)

    def compute_language_confidence_values(self, text: str) -> list[Share]:
        self.texts.append(text)
        shares = [Share(self.asked, self.own), Share(Lingua.LATIN, self.other)]
        return sorted(shares, key=lambda share: share.value, reverse=True)


@dataclass
class LinguaOfOneText(FixedLingua):
    """Take one text for the other language and all others for the asked one."""

    refused: str = ""

    def compute_language_confidence_values(self, text: str) -> list[Share]:
        own = 0.0 if text == self.refused else 1.0
        return sorted([Share(self.asked, own), Share(Lingua.LATIN, 1 - own)], key=lambda share: -share.value)


def german_but_for(monkeypatch: pytest.MonkeyPatch, refused: str) -> LanguageIdentifier:
    fixed = LinguaOfOneText(Lingua.GERMAN, 0.0, 0.0, refused=refused)
    monkeypatch.setattr(lingua_judge, "detector", lambda codes: fixed)
    return LanguageIdentifier(("de",))


def german_with(
    monkeypatch: pytest.MonkeyPatch, *, own: float, other: float = 0.0
) -> tuple[LanguageIdentifier, FixedLingua]:
    fixed = FixedLingua(Lingua.GERMAN, own, other)
    monkeypatch.setattr(lingua_judge, "detector", lambda codes: fixed)
    return LanguageIdentifier(("de",)), fixed


def nonsense(num: int) -> str:
    """Return distinct words of four letters that no language has."""
    return " ".join(f"zx{first}{second}" for first in "qwvkjx" for second in "qwvkjxzf")[: 5 * num - 1]


@pytest.mark.parametrize(
    ("text", "own", "other", "expected"),
    [
        ("zxqvwkzxqvw", 0.0, 1.0, True),  # eleven letters: too few for lingua
        ("zxqvwkzxqvwk", 0.0, 1.0, False),  # twelve
        ("zxqvwk zxqvwk", 0.0, 1.0, True),  # the same word twice is one word
        ("zxqvwkzxqvwk", 0.0, 0.599, True),
        ("zxqvwkzxqvwk", 0.0, 0.6, False),
        ("zxqvwkzxqvwk", 0.15, 0.8, False),  # at most 0.15 for the asked language
        ("zxqvwkzxqvwk", 0.151, 0.8, True),
        ("zxqvwkzxqvwkzxqvwkz", 0.1, 0.5, True),  # 19 letters
        ("zxqvwkzxqvwkzxqvwkzx", 0.1, 0.5, False),  # 20 letters: relatives together
        ("zxqvwkzxqvwkzxqvwkzx", 0.101, 0.5, True),
        ("zxqvwk. zxqvwx", 0.0, 1.0, False),  # two sentences of six letters are judged together
    ],
)
def test_lingua_needs_letters_and_confidence_to_refuse(
    monkeypatch: pytest.MonkeyPatch, text: str, own: float, other: float, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=own, other=other)
    assert identifier.is_in(text, "de") is expected


# One English word is refused where lingua is not sure of the sentence, has no word of German, and it is one of five.
@pytest.mark.parametrize(
    ("text", "own", "expected"),
    [
        (f"{nonsense(4)} at", 0.599, False),
        (f"{nonsense(4)} at", 0.6, True),
        (f"{nonsense(5)} at", 0.599, True),
        (f"{nonsense(3)} ist at", 0.599, True),
    ],
)
def test_one_word_decides_nothing_against_lingua(
    monkeypatch: pytest.MonkeyPatch, text: str, own: float, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=own)
    assert identifier.is_in(f"{text}. {nonsense(48)}", "de") is expected


@pytest.mark.parametrize(
    ("text", "own", "expected"),
    [
        (f"{nonsense(3)} at zxww at", 1.0, False),  # 2 of 6 words
        (f"{nonsense(5)} at zxww at", 1.0, False),  # 2 of 8, 0.25
        (f"{nonsense(6)} at ist at", 1.0, True),  # 2 of 9
        (f"{nonsense(12)} at ist at ist", 0.5, False),  # 2 of 16, 0.125, where lingua is not sure
        (f"{nonsense(13)} at ist at ist", 0.5, True),
        (f"{nonsense(13)} At at At ist", 1.0, False),  # three in a row, with capitals or without
        (f"{nonsense(13)} At, at, At ist", 1.0, True),  # not in a row
        (f"Mia {nonsense(3)}", 1.0, True),
        (f"Mark {nonsense(3)} Will zxww May zxwv", 1.0, True),  # names
        (f"{nonsense(2)} 12 apples + 3 oranges", 0.5, True),  # units
    ],
)
def test_words_of_another_language_are_refused_by_their_share_and_in_a_row(
    monkeypatch: pytest.MonkeyPatch, text: str, own: float, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=own)
    assert identifier.is_in(f"{text}. {nonsense(48)}", "de") is expected


@pytest.mark.parametrize(("num_words", "expected"), [(8, False), (9, True)])
def test_a_unit_in_english_is_one_word_of_a_solution_and_not_of_a_line(
    monkeypatch: pytest.MonkeyPatch, num_words: int, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=1.0)
    assert identifier.is_in(f"{nonsense(num_words)} 5 pounds", "de") is expected  # 1 of 9 and of 10 words, 0.1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{nonsense(6)} at. " + "zxkk " * 58 + "by.", False),  # 2 different ones of 66 words of a text, 0.03
        (f"{nonsense(6)} at. " + "zxkk " * 59 + "by.", True),
        (f"{nonsense(6)} at. " + "zxkk " * 30 + "at.", True),  # the same one twice
        (f"{nonsense(40)} 5 children, 5 pounds, 5 birds", True),  # units count half
        (f"{nonsense(40)} 5 children (house) (water)", True),  # two glosses are none
        (f"{nonsense(40)} 5 children (house) (water) (people)", False),  # three count half, too
    ],
)
def test_words_of_another_language_spread_over_a_text_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=1.0)
    assert identifier.is_in(text, "de") is expected


@pytest.mark.parametrize(("letters", "expected"), [(29, True), (30, False)])
def test_a_short_sentence_that_lingua_refuses_is_judged_with_the_whole_text(
    monkeypatch: pytest.MonkeyPatch, letters: int, expected: bool
) -> None:
    sentence = "z" * letters
    assert german_but_for(monkeypatch, sentence).is_in(f"{sentence}. {nonsense(12)}", "de") is expected


# Two unsure sentences of two words each, too short for lingua, which refuses all four words together.
@pytest.mark.parametrize(("num_sure", "expected"), [(4, False), (5, True)])
def test_unsure_words_decide_where_they_are_half_of_a_text(
    monkeypatch: pytest.MonkeyPatch, num_sure: int, expected: bool
) -> None:
    identifier = german_but_for(monkeypatch, "kxqv kxqw kxqk kxqj")
    assert identifier.is_in(f"{nonsense(num_sure)}. kxqv kxqw. kxqk kxqj.", "de") is expected


# Lingua is not sure, and no word is German.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("At Zxww By Zxwv", False),  # all four words have capitals
        ("At Zxww By", True),  # three words are names
        ("At Zxww zxwj By Zxwv", True),  # a word without a capital, and none of another language
        (f"at {nonsense(5)} By", False),  # one word of another language, with a capitalised one
        (f"at {nonsense(5)} Zxww", True),
    ],
)
def test_two_words_of_another_language_decide_where_none_is_german_and_one_is_no_name(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=0.5)
    assert identifier.is_in(f"{text}. {nonsense(48)}", "de") is expected


# Lingua says Latin to all.
@pytest.mark.parametrize(("num_others", "expected"), [(1, True), (2, False)])
def test_lingua_does_not_decide_against_a_sentence_of_which_half_is_german(
    monkeypatch: pytest.MonkeyPatch, num_others: int, expected: bool
) -> None:
    """Two German words of four are a half, of five they are less."""
    text = f"at wird dann {nonsense(num_others)}"
    assert german_but_for(monkeypatch, text).is_in(f"{text}. {nonsense(48)}", "de") is expected


# Lingua says Latin to all.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"dann wird {nonsense(6)}", True),  # 2 of 8 words are German alone: lingua isn't asked
        (f"dann wird {nonsense(7)}", False),
        (f"wird {nonsense(3)}", False),  # one is not enough
        (f"dann wird zwischen {nonsense(3)}", True),
        (f"dann wird die das in {nonsense(5)}", True),  # 5 of 10 words are German, 2 of them no other language's
        (f"dann wird die das in {nonsense(6)}", False),
        (f"dann die das in den {nonsense(5)}", False),
    ],
)
def test_frequent_words_of_the_language_alone_need_no_lingua(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    identifier, _ = german_with(monkeypatch, own=0.0, other=1.0)
    assert identifier.is_in(text, "de") is expected


def test_lingua_reads_four_hundred_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    identifier, fixed = german_with(monkeypatch, own=1.0)
    assert identifier.is_in("".join(f"zx{chr(97 + n // 26)}{chr(97 + n % 26)}zx " for n in range(70)), "de")
    assert [len(text) for text in fixed.texts] == [400]


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("zh", "苹果苹果苹果苹果苹果 аб", True),  # two letters of a third script
        ("zh", "苹果苹果苹果苹果苹果 абв", False),
        ("zh", "苹" * 70 + "。苹苹 абвг", True),  # four of them in a line of two characters, 4 of 204 in the text
        ("zh", "苹" * 70 + "。苹苹 абвгд", False),
        ("zh", "苹" * 70 + "。苹苹苹苹苹苹苹 абвгд", False),  # 5 of 7 * 2.83 = 19.8, 0.25
        ("zh", "苹" * 70 + "。苹苹苹苹苹苹苹苹 абвгд", True),
        ("zh", "苹" * 37 + "。苹苹苹苹苹苹苹苹 абвгд", True),  # 5 of 45 * 2.83 = 127.4 in the text, 0.04
        ("zh", "苹" * 36 + "。苹苹苹苹苹苹苹苹 абвгд", False),
        ("zh", "苹" * 27 + " zx zxq", False),  # 2 of 27 / 1.5 + 2 = 20 words, 0.1
        ("zh", "苹" * 28 + " zx zxq", True),
        ("zh", "苹" * 13 + " and", False),  # one word, but of a language: 1 of 13 / 1.5 + 1 = 9.67
        ("zh", "苹" * 14 + " and", True),
        ("zh", "苹" * 5 + " zx", True),  # one word of none
        ("zh", "苹" * 5 + " x y z", True),  # variables
        ("zh", "苹" * 5 + " km kg", True),  # units
        ("zh", "苹" * 66 + " zx zxq zxv", True),
        ("zh", "苹" * 66 + " zx zxq zxv zxw", False),  # more than three
        ("zh", "苹" * 3 + "。ZXQVWKZXQVWK", True),  # 3 letters that count 2.83 each, of 20.49
        ("zh", "苹" * 2 + "。ZXQVWKZXQVWK", False),  # a text of names alone
        ("zh", "苹" * 3 + " Zxqvwk Zxqvwk Zxqvwk", True),  # a name that comes again is one name
        ("zh", "苹" * 40 + " Zxqa Zxqb Zxqc Zxqd", True),  # four capitalised words in a row are names
        ("zh", "苹" * 40 + " Zxqa Zxqb Zxqc Zxqd Zxqe", False),
        ("zh", "苹" * 40 + " Zxqa, Zxqb, Zxqc, Zxqd, Zxqe", True),
        ("zh", "苹" * 40 + " The And For", True),  # three words of languages behind capitals
        ("zh", "苹" * 40 + " The And For Not", False),
        ("zh", "苹" * 40 + " The And For At", False),
        ("zh", "苹" * 40 + " The And For, KM A", True),  # neither units nor single letters count
        ("zh", f"{'苹' * 48} and。{'苹' * 48} for", False),  # 2 different ones of 66 words of a text, 0.03
        ("zh", f"{'苹' * 48} and。{'苹' * 50} for", True),
        ("zh", f"{'苹' * 48} and。{'苹' * 48} and", True),  # the same one twice
        ("th", "ก" * 36 + " zx zxq", False),  # 36 / 4 + 2 = 11 words
        ("th", "ก" * 72 + " zx zxq", False),  # 20
        ("th", "ก" * 73 + " zx zxq", True),
    ],
)
def test_latin_words_in_another_script_have_limits(code: str, text: str, expected: bool) -> None:
    assert LanguageIdentifier((code,)).is_in(text, code) is expected


# Four words are too many for a sentence; the fourth begins just before and just behind its 500th character.
@pytest.mark.parametrize(("start", "expected"), [(498, False), (499, True), (500, True)])
def test_a_sentence_is_checked_in_pieces_of_five_hundred_characters(start: int, expected: bool) -> None:
    text = f"zxa {'苹' * 100} zxb {'苹' * 100} zxc ".ljust(start, "苹") + "zx" + "苹" * 300
    assert LanguageIdentifier(("zh",)).is_in(text, "zh") is expected


@pytest.mark.parametrize(("start", "expected"), [(49_900, False), (50_000, True)])
def test_text_beyond_the_first_fifty_thousand_characters_is_not_read(start: int, expected: bool) -> None:
    text = ("苹果。" * 17_000)[:start] + "。She has fifteen apples left."
    assert LanguageIdentifier(("zh",)).is_in(text, "zh") is expected


@pytest.mark.parametrize(
    ("text", "own", "expected"),
    [
        ("абвгдеж. абвгдез", 0.0, False),  # two sentences of seven letters are judged together
        ("абвгдежзабвг. абвгдежщабвг", 1.0, True),
    ],
)
def test_short_sentences_of_another_script_are_checked_together(
    monkeypatch: pytest.MonkeyPatch, text: str, own: float, expected: bool
) -> None:
    fixed = FixedLingua(Lingua.RUSSIAN, own, 1 - own)
    monkeypatch.setattr(lingua_judge, "detector", lambda codes: fixed)
    assert LanguageIdentifier(("ru",)).is_in(text, "ru") is expected
    assert len(fixed.texts) == (1 if own == 0 else 2)  # what lingua was sure of is not asked again


@pytest.fixture
def unknown_to_lingua() -> Iterator[LanguageIdentifier]:
    """Return an identifier for a language that lingua does not know, with the words of German."""
    use_own_languages([LANGUAGES["de"].model_copy(update={"code": "qq"})])
    yield LanguageIdentifier(("qq",))
    use_own_languages(())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("zxqv " * 11, True),  # too few words to refuse
        ("zxqv " * 12, False),
        ("und " + "zxqv " * 18, True),  # 1 of 19 words is frequent
        ("und und " + "zxqv " * 37, True),  # 2 of 39
        ("und " + "zxqv " * 19, False),  # 1 of 20, 0.05
        ("und und und " + "zxqv " * 8 + "at", True),  # 3 of 12, 0.25: a loan word beside them is none of another's
        ("UND und und " + "zxqv " * 8 + "at", True),
        ("und und und " + "zxqv " * 9 + "at", True),  # unsure, and one word of 13
    ],
)
def test_frequent_words_decide_for_a_language_that_lingua_does_not_know(
    unknown_to_lingua: LanguageIdentifier, text: str, expected: bool
) -> None:
    assert unknown_to_lingua.is_in(text, "qq") is expected


@pytest.mark.parametrize("facts", [{"words": frozenset()}, {"has_spaces": False}])
def test_without_words_to_find_the_script_decides(facts: dict[str, object]) -> None:
    use_own_languages([LANGUAGES["de"].model_copy(update={"code": "qq", **facts})])
    assert LanguageIdentifier(("qq",)).is_in("zxqv " * 30, "qq")
    use_own_languages(())


def test_lingua_chooses_among_relatives_and_the_asked_language(monkeypatch: pytest.MonkeyPatch) -> None:
    use_own_languages([LANGUAGES["de"].model_copy(update={"code": "tr"})])
    asked: list[str] = []
    monkeypatch.setattr(lingua_judge, "detector", asked.append)
    LanguageIdentifier(("de", "tr", "ru", "zh"))
    use_own_languages(())
    latin, with_turkish, cyrillic = (codes.split() for codes in asked)
    assert with_turkish == [*latin, "tr", "az"]
    assert {"de", "en"} < set(latin) and {"ru", "uk"} <= set(cyrillic)
