"""Test answers in any text: no text raises or hangs, and a number written in a language is read back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.facts import LANGUAGES
from rewards.answers.final import (
    answer_of,
    declared_answers,
    final_answer,
    kind_of,
    last_number,
    plain_answer,
    same_answer,
    split_reasoning,
)
from rewards.answers.numbers import nfc

CODES = st.sampled_from(list(LANGUAGES))
# Any code point, lone surrogates, controls, direction marks and emoji included, ...
WILD = st.text(st.characters(exclude_categories=()), max_size=40)
# ... and the pieces that declarations are made of, in any order.
PIECES = st.sampled_from(
    [
        *(language.closing.format(answer="") for language in LANGUAGES.values()),
        *(
            "The answer is",
            "\\boxed{",
            "}",
            "####",
            "\\frac{",
            "\\frac12",
            "{",
            "\\sqrt{3}",
            "\\text{",
            "\\(",
            "\\)",
            "$",
        ),
        *(
            "18",
            "٣",
            "১৮",
            "%",
            "½",
            "1 1/2",
            "1.234,5",
            "-",
            "万",
            "million",
            "x^2",
            "=",
            "(B)",
            "B",
            "A",
            "Ｂ",
            "Paris",
        ),
        *("### Antwort\n", "Ergebnis: ", "ตอบ ", "**答案**\n", "XII", "⑫", "十一", "= 11", "5 + 6", "≈", "/0 ="),
        *(". ", "\n", " ", ",", ":", "9" * 5000, "\ud800", "\u202e", "😀", "\x00"),
    ]
)
TEXTS = st.one_of(WILD, st.lists(st.one_of(PIECES, WILD), max_size=12).map("".join))
NATIVE_DIGITS = {
    "bn": "০১২৩৪৫৬৭৮৯",
    "te": "౦౧౨౩౪౫౬౭౮౯",
    "th": "๐๑๒๓๔๕๖๗๘๙",
    "ar": "٠١٢٣٤٥٦٧٨٩",
    "zh": "０１２３４５６７８９",
}


def written(whole: int, decimals: str, code: str, *, is_grouped: bool, is_native: bool) -> str:
    """Return the number as a writer of the language writes it."""
    mark = LANGUAGES[code].decimal_mark
    group = {"fr": "\u202f", "ru": "\u00a0", ",": "."}.get(code if code in ("fr", "ru") else mark, ",")
    text = f"{whole:,}".replace(",", group) if is_grouped else str(whole)
    text += mark + decimals if decimals else ""
    if is_native and code in NATIVE_DIGITS:
        text = text.translate(str.maketrans("0123456789", NATIVE_DIGITS[code]))
        text = text.replace(",", "٬").replace(".", "٫") if code == "ar" else text
    return text


@settings(deadline=None)
@given(TEXTS, CODES)
def test_any_text_is_read_without_raising(text: str, code: str) -> None:
    answers = declared_answers(text, code)
    composed = nfc(text)
    for answer in answers:
        assert 0 <= answer.start < answer.end <= len(composed)
        assert answer.value.strip() == answer.value != ""
        assert kind_of(answer.value) == answer.kind
        assert answer.is_clear or not same_answer(answer_of(answers) or "", "18")
        assert answer.language in (None, "en", code)
    assert [answer.start for answer in answers] == sorted(answer.start for answer in answers)
    reasoning, closing = split_reasoning(text, answers, code)
    assert len(reasoning) + len(closing) <= len(composed) + 1
    assert closing if answers else closing == ""
    last_number(text, code)
    plain_answer(text, code)


@settings(deadline=None)
@given(TEXTS, TEXTS, CODES)
def test_same_answer_is_reflexive_and_symmetric_on_what_is_declared(a: str, b: str, code: str) -> None:
    values = [answer.value for text in (a, b) for answer in declared_answers(text, code)]
    values += [answer for text in (a, b) if (answer := plain_answer(text, code)) is not None]
    for first in values:
        assert same_answer(first, first)
        for second in values:
            assert same_answer(first, second) is same_answer(second, first)


@settings(deadline=None)
@given(
    st.integers(0, 10**12),
    st.from_regex(r"|[0-9]{0,2}[1-9]", fullmatch=True),
    CODES,
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_a_number_in_a_languages_own_format_is_read_back(
    whole: int, decimals: str, code: str, forms: tuple[bool, bool, bool]
) -> None:
    is_negative, is_grouped, is_native = forms
    canonical = ("-" if is_negative and (whole or decimals) else "") + str(whole) + ("." + decimals if decimals else "")
    number = written(whole, decimals, code, is_grouped=is_grouped, is_native=is_native)
    sign = "-" if canonical.startswith("-") else ""
    text = LANGUAGES[code].closing.format(answer=sign + number)
    answer = final_answer(text, code)
    assert answer is not None
    assert answer.split("|")[0] == canonical


@settings(deadline=None)
@given(st.sampled_from("ABCDEFGHIJ"), CODES, st.sampled_from(["({})", "{}", "**{}**", r"\boxed{{{}}}", "**({})**"]))
def test_an_option_in_a_languages_own_closing_is_read_back(letter: str, code: str, form: str) -> None:
    [found] = declared_answers(LANGUAGES[code].closing.format(answer=form.format(letter)), code)
    assert (found.value, found.kind, found.language) == (letter, "option", code)


RUNS = (
    *(
        "7",
        "(",
        "\n",
        " ",
        ".",
        "*",
        "#",
        "$",
        "=",
        "-",
        "\\",
        "½",
        "a",
        "A",
        "^",
        "'",
        "\ud800",
        "\u202e",
        "😀",
        " \n",
        "{,}1",
    ),
    *(
        "\\boxed{",
        "\\boxed{1}",
        "\\boxed{\\text{",
        "\\frac",
        "\\frac{1",
        "####\n",
        ".#>* ",
        "1/",
        "1,",
        "111 ",
        "1=2",
        "3万",
    ),
    *("\\boxed{1=2=3}", "\\boxed{1 2 3}", "1+1=", "### Answer\n\n", "答え ", "II ", "⑫", "十", "* "),
    *("The answer is ", "answer is B, ", "1 1/2 ", "e\u0301\u0316", "\u0301\u0316"),
)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.slow
def test_a_hundred_thousand_characters_of_anything_are_read(run: str) -> None:
    text = run * (100_000 // len(run))
    for code in ("en", "ja", "te"):
        closing = LANGUAGES[code].closing
        answers = declared_answers(f"{closing.format(answer=text)}\n{closing.format(answer='5')}", code)
        assert answers[-1].value == "5"
