"""Test the language files: what the built-in ones hold, and how a mistake in a file is reported."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import regex

from driver.problems.builtin.texts import TEXTS
from languages.facts import LANGUAGES, builtin_languages, languages_digest, read_own_languages, use_own_languages
from languages.files import LanguageFileError, parse_language, read_language
from languages.language import Language, Script

ROOT = Path(__file__).resolve().parents[3]

MINIMAL: dict[str, object] = {
    "code": "ha",
    "name": "Hausa",
    "scripts": ["Latin"],
    "function_words": "da na ba",
    "question_prefix": "Tambaya:",
    "instruction": "Yi tunani mataki-mataki.",
    "closing": "Amsar ita ce {answer}.",
}


def mistake(values: dict[str, object]) -> LanguageFileError:
    with pytest.raises(LanguageFileError) as caught:
        parse_language(values, file="ha.toml")
    assert "ha.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_builtin_file_is_named_after_its_code_and_has_what_every_language_needs(code: str) -> None:
    language = read_language(ROOT / "languages" / f"{code}.toml")
    assert language.code == code
    assert language.flores
    assert language.number_words
    assert language.or_word != "/"
    assert language.words or not language.words_are_foreign_elsewhere
    assert language.alphabet is not None or not language.is_latin


@pytest.mark.parametrize("code", TEXTS)
def test_a_language_with_built_in_problems_fills_every_key_that_has_a_use(code: str) -> None:
    language = LANGUAGES[code]
    assert language.scales
    assert language.percents
    assert language.option_words
    assert bool(language.solution_label) == (code != "ar")  # MGSM has no Arabic
    assert bool(language.words) == language.is_latin == language.words_are_foreign_elsewhere


def test_a_file_with_the_required_keys_alone_is_a_language() -> None:
    language = parse_language(MINIMAL, file="ha.toml")
    assert (language.words, language.declarations, language.has_spaces) == ({"da", "na", "ba"}, (), True)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": 5}, "name"),
        ({"name": " "}, "name"),
        ({"code": "Hausa"}, "code"),
        ({"scripts": []}, "scripts"),
        ({"scripts": ["Latn"]}, "scripts"),
        ({"letter_weight": 0}, "letter_weight"),
        ({"decimal_mark": ";"}, "decimal_mark"),
        ({"closing": "Amsar ita ce"}, "closing"),
        ({"closing": "{answer} ce"}, "closing"),
        ({"closing": "Amsar {x} ce {answer}"}, "closing"),
        ({"closing_phrases": ["amsar (ita ce"]}, "closing_phrases"),
        ({"closing_phrases": ["amsar ita ce]"]}, "closing_phrases"),
        ({"closing_phrases": ["amsar|ce"]}, "closing_phrases"),
        ({"closing_phrases": [""]}, "closing_phrases"),
        ({"closing_labels": ["(amsa]"]}, "closing_labels"),
        ({"closing_patterns": ["amsa("]}, "closing_patterns"),
        ({"closing_patterns": ["amsa *:"]}, "closing_patterns"),
        ({"closing_patterns": ["amsa {0,}"]}, "closing_patterns"),
        ({"closing_patterns": ["{lable}amsa"]}, "closing_patterns"),
        ({"scales": {"dubu": ["1000"]}}, "scales"),
        ({"number_words": {"0": ["sifili"]}}, "number_words"),
        ({"number_words": {"2": "biyu"}}, "number_words"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(changes: dict[str, object], key: str) -> None:
    error = mistake(MINIMAL | changes)
    assert (error.file, error.key) == ("ha.toml", key)


@pytest.mark.parametrize("key", [key for key in MINIMAL if key != "function_words"])
def test_a_missing_key_is_named(key: str) -> None:
    assert mistake({name: value for name, value in MINIMAL.items() if name != key}).key == key


def test_an_unknown_key_is_reported_before_the_key_that_it_was_meant_to_be() -> None:
    values = {name: value for name, value in MINIMAL.items() if name != "closing"} | {
        "closing_phrase": "Amsar {answer}"
    }
    assert mistake(values).key == "closing_phrase"


@pytest.mark.parametrize("content", [b"code = ", b"\xff", None])
def test_a_file_that_can_not_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "ha.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LanguageFileError) as caught:
        read_language(file)
    assert (caught.value.file, caught.value.key) == (str(file), "")


def written(folder: Path, name: str, **changes: object) -> Path:
    lines = (f"{key} = {json.dumps(value)}" for key, value in (MINIMAL | changes).items())
    file = folder / name
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_language_without_frequent_words_is_a_language() -> None:
    language = parse_language(MINIMAL | {"function_words": ""}, file="ha.toml")
    assert language.words == frozenset()


def test_two_files_of_a_user_may_not_have_the_same_code_and_none_may_be_english(tmp_path: Path) -> None:
    hausa, again = written(tmp_path, "a.toml"), written(tmp_path, "b.toml")
    english = written(tmp_path, "c.toml", code="en")
    assert [language.code for language in read_own_languages([hausa])] == ["ha"]
    for files, wrong in (([hausa, again], again), ([english], english)):
        with pytest.raises(LanguageFileError) as caught:
            read_own_languages(files)
        assert (caught.value.file, caught.value.key) == (str(wrong), "code")


def test_a_users_file_takes_the_place_of_a_built_in_one(tmp_path: Path) -> None:
    num_languages = len(LANGUAGES)
    [own] = read_own_languages([written(tmp_path, "de.toml", code="de")])
    use_own_languages([own])
    try:
        assert LANGUAGES["de"] is own
        assert len(LANGUAGES) == len(list(LANGUAGES)) == num_languages
    finally:
        use_own_languages(())
    assert LANGUAGES["de"] is builtin_languages()["de"]


def test_the_digest_changes_with_any_value() -> None:
    digest = languages_digest([parse_language(MINIMAL, file="")])
    assert digest == languages_digest([parse_language(MINIMAL, file="")])
    assert digest != languages_digest([parse_language(MINIMAL | {"letter_weight": 0.9}, file="")])
    assert digest != languages_digest([parse_language(MINIMAL | {"function_words": "da na"}, file="")])


def test_a_language_reaches_another_process_whole() -> None:
    language = parse_language(MINIMAL, file="")
    sent = pickle.loads(pickle.dumps(language))
    assert sent.model_dump() == language.model_dump()
    assert sent.words == language.words


def test_every_script_that_a_file_may_name_is_one_of_unicode() -> None:
    for script in Script.__args__:
        assert regex.fullmatch(rf"\p{{Script={script}}}+", "a") is None or script == "Latin"


@pytest.mark.parametrize(
    ("values", "text", "rest"),
    [
        ({"closing_phrases": ["amsar[ ƙarshe] (ita ce|shi ne)"]}, "Amsar ƙarshe shi ne: 5", " 5"),
        ({"closing_phrases": ["amsa"]}, "amsar 5", None),
        ({"closing_labels": ["amsa"]}, "Eh. **Amsa**: 5", " 5"),
        ({"closing_labels": ["amsa"]}, "wata amsa: 5", None),
        ({"closing_headings": ["amsa"]}, "### Amsa\n5 shafi", "5 shafi"),
        ({"closing_headings": ["amsa"]}, "### Amsa\n5 + 6 = 11\nSai 11 + 3.", None),
        ({"closing_results": ["sakamako:"]}, "Sakamako: 5", "5"),
        ({"closing_results": ["sakamako:"]}, "Sakamako: 5\nSai 6", None),
        ({"closing_patterns": ["{line}amsa{emphasis}{alone}"]}, "amsa 5\n", "5\n"),
        ({"closing_patterns": ["{line}amsa{emphasis}{alone}"]}, "amsa 5 + 6\n", None),
    ],
)
def test_phrases_in_words_declare_an_answer(values: dict[str, object], text: str, rest: str | None) -> None:
    language: Language = parse_language(MINIMAL | values, file="")
    found = [match for pattern in language.declarations if (match := re.search(pattern, text, re.IGNORECASE))]
    assert [text[match.end() :] for match in found] == ([] if rest is None else [rest])


def test_reading_the_languages_imports_nothing_heavy() -> None:
    code = (
        "import sys; from languages.facts import LANGUAGES; len(dict(LANGUAGES));"
        "print([name for name in ('numpy', 'torch', 'lingua', 'regex', 'contracts') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
