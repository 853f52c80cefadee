"""The language gates against text that is made to pass: English in disguise, relatives, borrowed letters."""

import re
from collections.abc import Callable

import pytest

from languages.facts import LANGUAGES
from rewards.gates.disguise import MAX_STRANGE_LETTERS, in_plain_letters, normal, num_strange_letters
from rewards.gates.identify import LanguageIdentifier
from rewards.gates.latex import without_commands

ENGLISH = "Nina has read 6 × 3 = 18 pages so far.\nThere are 84 - 18 = 66 pages left."
TARGETS = tuple(code for code in LANGUAGES if code != "en")
WORD = re.compile("[A-Za-z]+")


def shifted(start: int) -> Callable[[str], str]:
    """Capital letters to those that begin at a code point."""
    return lambda text: "".join(
        chr(start + ord(letter.upper()) - ord("A")) if letter.isascii() and letter.isalpha() else letter
        for letter in text
    )


DISGUISES: dict[str, Callable[[str], str]] = {
    "commands of LaTeX": lambda text: WORD.sub(lambda word: f"\\{word[0]}", text),
    "hyphens": lambda text: WORD.sub(lambda word: "-".join(word[0]), text),
    "spaces": lambda text: WORD.sub(lambda word: " ".join(word[0]), text),
    "one command a letter": lambda text: WORD.sub(lambda word: "".join(f"\\{letter}" for letter in word[0]), text),
    "struck through": lambda text: WORD.sub(lambda word: "".join(f"{letter}\u0336" for letter in word[0]), text),
    "dots below": lambda text: WORD.sub(lambda word: "".join(f"{letter}\u0323" for letter in word[0]), text),
    "one dot a word": lambda text: WORD.sub(lambda word: f"{word[0]}\u0323", text),
    "Greek": lambda text: text.lower().translate(str.maketrans("aeioutnkpxrdlhs", "αειουτηκρχρδλησ")),
    "some Greek": lambda text: text.translate(str.maketrans("aeo", "αεο")),
    "dotless": lambda text: text.replace("i", "ı").replace("e", "ë").replace("a", "ā"),
    "circled": shifted(0x24B6),
    "white on black": shifted(0x1F170),
    "letters of flags": shifted(0x1F1E6),
    "digits in words": lambda text: text.translate(str.maketrans("aeios", "43105")),
}


@pytest.fixture(scope="module")
def judge() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


@pytest.mark.parametrize("name", DISGUISES)
def test_english_in_disguise_is_refused_in_every_language(judge: LanguageIdentifier, name: str) -> None:
    assert [code for code in TARGETS if judge.is_in(DISGUISES[name](ENGLISH), code)] == []


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
def test_a_relative_of_the_language_is_refused(judge: LanguageIdentifier, relative: str) -> None:
    code, text = RELATIVES[relative]
    assert not judge.is_in(text, code)


def test_a_sentence_of_a_relative_among_the_languages_own_is_refused(judge: LanguageIdentifier) -> None:
    own = "Нина уже прочитала 6 × 3 = 18 страниц. Осталось прочитать 84 - 18 = 66 страниц."
    assert judge.is_in(own, "ru")
    assert not judge.is_in(f"{own} Тя трябва да чете 66 ÷ 6 = 11 страници всеки ден.", "ru")


NOT_JAPANESE = {
    "short clauses of Cantonese": "妮娜已經睇咗 18 頁。\n仲有 84 - 18 = 66 頁未睇。\n佢每日要睇 11 頁。",
    "Chinese with a の behind each word": "妮娜の已経読了の 18 頁の。\n残の 84 - 18 = 66 頁の。\n毎日要読の 11 頁の。",
    "English in katakana": "ニーナ ハズ レッド 18 ページズ ソー ファー。\nゼア アー 84 - 18 = 66 ページズ レフト。",
    "English in katakana with a Japanese closing": (
        "ニーナ ハズ レッド 18 ページズ ソー ファー。\nゼア アー 84 - 18 = 66 ページズ レフト。\nこれで終わりです。"
    ),
}


@pytest.mark.parametrize("name", NOT_JAPANESE)
def test_what_only_shares_letters_with_japanese_is_refused(judge: LanguageIdentifier, name: str) -> None:
    assert not judge.is_in(NOT_JAPANESE[name], "ja")


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
    judge: LanguageIdentifier, code: str, text: str
) -> None:
    assert judge.is_in(text, code)


def test_only_real_commands_are_taken_out_of_a_text() -> None:
    assert without_commands(r"\frac{1}{2} \times \pages \text{Seiten}").split() == ["{1}{2}", "pages", "{Seiten}"]
    assert without_commands(r"\begin{array}{lc} 5 \end{array} \begin{pages}").split() == ["5", "{pages}"]
    assert without_commands("ohne Formeln") == "ohne Formeln"


def test_strange_letters_are_counted_once_a_word() -> None:
    german, russian = LANGUAGES["de"], LANGUAGES["ru"]
    assert num_strange_letters("Chloé und Chloé essen Äpfel und Möhren", german) == 1
    assert num_strange_letters("t\u0336h\u0336e\u0336", german) == 3
    assert num_strange_letters("Нина ј және ғ 1\u20e3", russian) == 3
    assert num_strange_letters("ascii only", german) == 0
    assert MAX_STRANGE_LETTERS == 4


def test_strange_letters_become_plain_and_the_languages_own_stay() -> None:
    assert in_plain_letters("Chloé fährt t\u0336h\u0336e Łódź", LANGUAGES["de"]) == "Chloe fährt the Lodz"
    assert in_plain_letters("café", LANGUAGES["fr"]) == "café"
    assert normal("ｔｈｅ 🅰🇧\U0001f152 ⓓ") == "the ABC d"
