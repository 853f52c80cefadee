"""Test that the lists of frequent words hold only words that their sources have."""

import json
import tomllib
from collections.abc import Mapping
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import pytest

from languages.facts import builtin_languages
from languages.frequent_words import frequent_words, own_words
from languages.language import Language

FOLDER = Path(__file__).resolve().parents[3] / "languages"
RECORD: Mapping[str, Mapping[str, float]] = json.loads((FOLDER / "word_sources.json").read_text(encoding="utf-8"))
RECORD_DIGEST = "026af61c05278ea1"
"""Digest of the record that `make word-lists` writes from the sources. Change it only together with the record."""
LISTS: Mapping[str, frozenset[str]] = {
    **{code: language.words for code, language in builtin_languages().items() if language.words},
    **{
        code: frozenset(words.split())
        for code, words in tomllib.loads((FOLDER / "neighbours" / "words.toml").read_text(encoding="utf-8")).items()
    },
}
MIN_ZIPF = 2.0  # one in ten million words


def test_only_languages_in_latin_script_have_lists() -> None:
    assert set(LISTS) == {"en", "de", "es", "fr", "sw", "pt", "it", "nl", "ca"}


@pytest.mark.parametrize("code", LISTS)
def test_every_word_of_a_list_is_in_the_record_of_its_source(code: str) -> None:
    assert LISTS[code] == set(RECORD[code])


@pytest.mark.parametrize("code", LISTS)
def test_every_recorded_word_is_frequent_enough(code: str) -> None:
    least = 1.0 if code == "sw" else MIN_ZIPF  # a lexicon says only that a word is in it
    assert {word: value for word, value in RECORD[code].items() if value < least} == {}


def test_the_record_is_as_the_command_wrote_it() -> None:
    assert blake2b((FOLDER / "word_sources.json").read_bytes(), digest_size=8).hexdigest() == RECORD_DIGEST


@pytest.mark.skipif(find_spec("wordfreq") is None, reason="needs wordfreq: run in the environment of `make word-lists`")
def test_the_source_gives_what_the_record_says() -> None:
    from wordfreq import zipf_frequency  # pyright: ignore[reportMissingImports]

    for code in LISTS.keys() - {"sw"}:
        assert {word: round(zipf_frequency(word, code), 2) for word in LISTS[code]} == RECORD[code]


def test_a_neighbours_words_are_known_and_speak_for_a_users_language_of_the_same_code() -> None:
    values = builtin_languages()["es"].model_dump() | {"code": "it", "function_words": "casa"}
    assert own_words(Language.model_validate(values)) == LISTS["it"] | {"casa"}
    assert LISTS["it"] <= frequent_words()
