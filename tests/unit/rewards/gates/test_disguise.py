"""Test that text in disguise is refused, its letters are made plain, and each limit from both sides."""

import re
from collections.abc import Callable

import pytest

from languages.facts import LANGUAGES
from rewards.gates.disguise import in_plain_letters, is_disguised, normal, num_strange_letters, without_commands
from rewards.gates.identify import LanguageIdentifier

ENGLISH = "Nina has read 6 × 3 = 18 pages so far.\nThere are 84 - 18 = 66 pages left."
TARGETS = tuple(code for code in LANGUAGES if code != "en")
WORD = re.compile("[A-Za-z]+")


def shifted(start: int) -> Callable[[str], str]:
    """Map capital letters to those that begin at a code point."""
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
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


@pytest.mark.parametrize("name", DISGUISES)
def test_english_in_disguise_is_refused_in_every_language(identifier: LanguageIdentifier, name: str) -> None:
    targets = [code for code in TARGETS if (code, name) != ("el", "Greek")]  # those are letters of the language there
    assert [code for code in targets if identifier.is_in(DISGUISES[name](ENGLISH), code)] == []


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


def test_strange_letters_become_plain_and_the_languages_own_stay() -> None:
    assert in_plain_letters("Chloé fährt t\u0336h\u0336e Łódź", LANGUAGES["de"]) == "Chloe fährt the Lodz"
    assert in_plain_letters("café", LANGUAGES["fr"]) == "café"
    assert normal("ｔｈｅ 🅰🇧\U0001f152 ⓓ") == "the ABC d"


GERMAN, RUSSIAN, FRENCH = LANGUAGES["de"], LANGUAGES["ru"], LANGUAGES["fr"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("é è ê ë", False),  # four letters that German does not have
        ("é è ê ë ì", True),  # five
        ("αβ", False),  # two Greek letters are a formula
        ("αβγ", True),  # three are a word
        ("b a d c f", False),  # five single letters
        ("b a d c f e", True),
        ("a b c d e f g", False),  # in the order of the alphabet they are labels
        ("a b c d e f g a", True),
        ("b+a+d+c+f+e", False),  # a formula
        ("b_a_d_c_f_e", True),
        ("b;;;;a d c f e", True),  # four characters between two letters
        ("b;;;;;a d c f e", False),  # five
        ("ab1a ab2b ab3c ab4d", False),  # four words with digits in them
        ("ab1a ab2b ab3c ab4d ab5e", True),  # five
        ("ab1a " * 9, False),  # one word, again and again
        ("ab111a ab222b ab333c ab444d ab555e", True),  # three digits
        ("ab1111a ab2222b ab3333c ab4444d ab5555e", False),  # four
        ("abα acα adα aeα", False),
        ("abα acα adα aeα afα", True),
        ("αab αac αad αae αaf", True),
        ("aα bα cα dα eα", False),  # one letter beside a Greek one is a formula
    ],
)
def test_every_disguise_has_a_limit(text: str, expected: bool) -> None:
    assert is_disguised(text, GERMAN) is expected


@pytest.mark.parametrize(("text", "num"), [("ChloÉ und chloé", 1), ("Chloé, Zoë", 2), ("Bäche", 0), ("ё й ъ", 0)])
def test_each_word_with_strange_letters_counts_once_in_any_case(text: str, num: int) -> None:
    assert num_strange_letters(text, GERMAN) == num


def test_the_rest_of_a_languages_own_script_is_strange() -> None:
    assert num_strange_letters("ј ґ", RUSSIAN) == 2
    assert num_strange_letters("ё", RUSSIAN) == 0
    assert num_strange_letters("é", RUSSIAN) == 1
    assert num_strange_letters("éè", FRENCH) == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [("øłđðħ", "olddh"), ("þı", "thi"), ("a\u0301", "a"), ("\u0301", "\u0301"), ("ɐ", "ɐ"), ("ëö", "eö")],
)
def test_a_strange_letter_becomes_the_ascii_letter_that_it_is_made_of(text: str, plain: str) -> None:
    assert in_plain_letters(text, GERMAN) == plain


def test_letters_in_emoji_are_letters() -> None:
    first_and_last = "\U0001f150\U0001f169 \U0001f170\U0001f189 \U0001f1e6\U0001f1ff"
    assert normal(first_and_last) == "AZ AZ AZ"
    assert normal("\U0001f18a") == "\U0001f18a"


def test_known_environments_and_colours_are_taken_out_and_other_words_stay() -> None:
    assert without_commands(r"\begin{align*} x \end{align*}").split() == ["x"]
    assert without_commands(r"\textcolor{red}{5} \color{teal}").split() == ["{5}", "{teal}"]
