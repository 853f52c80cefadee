"""Test that the lists of frequent words hold only words that their sources have."""

import json
import tomllib
from collections.abc import Mapping
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import pytest

from driver.problems.builtin.texts import TEXTS
from languages.facts import builtin_languages
from languages.frequent_words import frequent_words, own_words
from languages.language import Language
from rewards.gates.lingua_judge import LinguaJudge, lingua_language

FOLDER = Path(__file__).resolve().parents[3] / "languages"
RECORD: Mapping[str, Mapping[str, float]] = json.loads((FOLDER / "word_sources.json").read_text(encoding="utf-8"))
RECORD_DIGEST = "38c21e06edaca05b"
"""Digest of the record that `make word-lists` writes from the sources. Change it only together with the record."""
FILES = {code: language.words for code, language in builtin_languages().items() if language.words}
NEIGHBOURS = {
    code: frozenset(words.split())
    for code, words in tomllib.loads((FOLDER / "neighbours" / "words.toml").read_text(encoding="utf-8")).items()
}
LISTS: Mapping[str, frozenset[str]] = {
    code: FILES.get(code, frozenset()) | NEIGHBOURS.get(code, frozenset()) for code in FILES | NEIGHBOURS
}
WITHOUT_FREQUENCIES = {"sw", "af", "et", "ht", "ne", "yo", "zu"}  # their sources say only that they have a word
MIN_ZIPF = 2.0  # one in ten million words


def test_a_language_in_another_script_has_a_list_only_where_lingua_does_not_know_it() -> None:
    others = [code for code, language in builtin_languages().items() if language.words and not language.is_latin]
    assert [code for code in others if lingua_language(code) is not None] == []


def test_shared_and_alike_words_are_of_lists_that_speak_against_the_language_and_not_its_own() -> None:
    for name in ("shared.toml", "alike.toml"):
        lists = tomllib.loads((FOLDER / "neighbours" / name).read_text(encoding="utf-8"))
        for code, words in lists.items():
            assert set(words.split()) <= frequent_words() - own_words(builtin_languages()[code]), (name, code)


@pytest.mark.parametrize("code", LISTS)
def test_every_word_of_a_list_is_in_the_record_of_its_source(code: str) -> None:
    assert LISTS[code] == set(RECORD[code])


@pytest.mark.parametrize("code", LISTS)
def test_every_recorded_word_is_frequent_enough(code: str) -> None:
    least = 1.0 if code in WITHOUT_FREQUENCIES else MIN_ZIPF
    assert {word: value for word, value in RECORD[code].items() if value < least} == {}


def test_the_record_is_as_the_command_wrote_it() -> None:
    assert blake2b((FOLDER / "word_sources.json").read_bytes(), digest_size=8).hexdigest() == RECORD_DIGEST


def test_the_table_of_languages_in_the_docs_says_what_each_has() -> None:
    page = (FOLDER.parent / "docs" / "languages.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in page.splitlines() if line.startswith("|")]
    for code, language in builtin_languages().items():
        has = (code in TEXTS, bool(language.words), LinguaJudge(language).asks_lingua)
        cells = (code, language.name, ", ".join(language.scripts), *("yes" if there else "" for there in has))
        assert cells in rows


@pytest.mark.skipif(find_spec("wordfreq") is None, reason="needs wordfreq: run in the environment of `make word-lists`")
def test_the_source_gives_what_the_record_says() -> None:
    from wordfreq import zipf_frequency  # pyright: ignore[reportMissingImports]

    for code in LISTS.keys() - WITHOUT_FREQUENCIES:
        assert {word: round(zipf_frequency(word, code), 2) for word in LISTS[code]} == RECORD[code]


def test_a_neighbours_words_are_known_and_speak_for_a_users_language_of_the_same_code() -> None:
    values = builtin_languages()["es"].model_dump() | {"code": "ca", "function_words": "casa"}
    assert own_words(Language.model_validate(values)) == LISTS["ca"] | {"casa"}
    assert LISTS["ca"] <= frequent_words()
