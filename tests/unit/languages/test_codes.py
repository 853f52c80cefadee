"""Test that a language is found by each of its usual names, and that no other word is taken for one."""

import pytest

from languages.codes import did_you_mean, language_code, nearest_code
from languages.facts import LANGUAGES


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("sw", "sw"),
        ("swahili", "sw"),
        ("Kiswahili", "sw"),
        ("SWAHILI ", "sw"),
        ("sw_KE", "sw"),
        ("swh_Latn", "sw"),
        ("zh-CN", "zh"),
        ("zho_Hans", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("cmn", "zh"),
        ("pt-BR", "pt"),
        ("ger", "de"),
        ("Deutsch", "de"),
        ("한국어", "ko"),
        ("Haitian  Creole", "ht"),
        ("Farsi", "fa"),
        ("espan\u0303ol", "es"),  # a decomposed accent
    ],
)
def test_a_language_is_found_by_each_of_its_usual_names(written: str, code: str) -> None:
    assert language_code(written) == code


@pytest.mark.parametrize("word", ["", "xx", "question", "answer", "klingon", "12", "-", "()"])
def test_other_words_are_no_language(word: str) -> None:
    assert language_code(word) is None


def test_every_language_with_a_file_is_found_by_its_name_and_its_flores_code() -> None:
    wrong = {
        (code, written)
        for code, language in LANGUAGES.items()
        for written in (language.name, language.name.upper(), language.flores)
        if written and language_code(written) != code
    }
    assert wrong == set()


@pytest.mark.parametrize(("written", "code"), [("swahilli", "sw"), ("Germn", "de"), ("zzzz", None), ("xx", None)])
def test_a_misspelt_name_has_a_nearest_language(written: str, code: str | None) -> None:
    assert nearest_code(written) == code


@pytest.mark.parametrize(
    ("written", "code"), [("swahili", "sw"), ("zh-CN", "zh"), ("swahilli", "sw"), ("Korean", None), ("sw", None)]
)
def test_only_a_known_language_is_suggested(written: str, code: str | None) -> None:
    hint = did_you_mean(written, known=("sw", "zh"))
    assert (repr(code) in hint) if code else hint == ""
