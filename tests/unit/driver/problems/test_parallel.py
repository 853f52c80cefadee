"""Test parallel solutions: built-in, files shaped as MGSM's exemplars, and rows."""

import json
from pathlib import Path

import pytest

from contracts.rollouts import ParallelSolution
from driver.problems.builtin.texts import TEXTS
from driver.problems.parallel import fingerprint, load_solutions
from languages.facts import LANGUAGES
from rewards.answers.final import final_answer
from tests.refusals import refused

EXEMPLARS = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm" / "exemplars.json"


def load(source: object, *languages: str, num_items: int = 100) -> list[ParallelSolution]:
    return load_solutions(str(source), languages=languages, num_items=num_items, seed=1, split="test")


def written(folder: Path, content: object, name: str = "texts.json") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def rows(folder: Path, *changes: dict[str, object]) -> Path:
    row = {"item_id": "a", "language": "en", "question": "How many?", "solution": "5 + 6 = 11. The answer is 11."}
    return written(folder, "\n".join(json.dumps(row | change) for change in changes), "texts.jsonl")


def test_builtin_solutions_close_as_their_language_does_and_name_their_english() -> None:
    found = load("builtin", "de", "th", num_items=5)
    assert [item.language for item in found] == ["de", "th"] * 5
    english = load("builtin", "en", num_items=5)
    for native, pivot in zip(found[::2], english, strict=True):
        assert native.item_id == pivot.item_id
        assert (native.question_en, native.solution_en) == (pivot.question, pivot.solution)
        answers = {final_answer(native.solution, "de"), final_answer(pivot.solution, "en")}
        assert len(answers) == 1 and None not in answers


def test_no_languages_means_all_that_the_source_has() -> None:
    assert sorted(item.language for item in load("builtin", num_items=1)) == sorted(TEXTS)


def test_builtin_splits_share_no_problem() -> None:
    sets = [
        {item.question for item in load_solutions("builtin", languages=["en"], num_items=200, seed=1, split=split)}
        for split in ("train", "test")
    ]
    assert len(sets[0]) == 200
    assert not sets[0] & sets[1]


def test_exemplars_lose_their_labels_in_every_form(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {
            "en": {"1": {"q": "Question: How many?", "a": "Step-by-Step Answer: Five. The answer is 5."}},
            "fr": {"1": {"q": "Question : Combien ?", "a": "Re\u0301ponse e\u0301tape par étape : Cinq."}},
            "ja": {"1": {"q": "いくつ？", "a": "ステップごとの答え：五つ。"}},
        },
    )
    english, french, japanese = load(file)
    assert (english.question, english.solution) == ("How many?", "Five. The answer is 5.")
    assert (french.question, french.solution) == ("Combien ?", "Cinq.")
    assert (japanese.question, japanese.solution) == ("いくつ？", "五つ。")
    assert japanese.solution_en == "Five. The answer is 5."


@pytest.mark.skipif(not EXEMPLARS.exists(), reason="MGSM's exemplars are not beside this checkout")
def test_mgsm_exemplars_are_eight_in_eleven_languages_without_labels_and_with_answers() -> None:
    found = load(EXEMPLARS)
    assert len(found) == 88
    for item in found:
        assert not item.question.startswith(LANGUAGES[item.language].question_prefix)
        assert final_answer(item.solution, item.language) == final_answer(item.solution_en, "en") is not None
    languages = {item.language for item in found}
    assert languages == set(TEXTS) - {"ar"}
    labels = {item.solution[:12] for item in found if item.language == "de"}
    assert not any(label.startswith("Schritt") for label in labels)


def test_rows_are_taken_item_by_item_up_to_the_number_asked_for(tmp_path: Path) -> None:
    file = rows(
        tmp_path,
        {"language": "de", "question": "Wie viele?", "solution": "Die Antwort lautet 11."},
        {},
        {"item_id": "b", "question": "And now?"},
        {"item_id": "b", "language": "de", "question": "Und jetzt?"},
    )
    assert [(item.item_id, item.language) for item in load(file)] == [
        ("a", "de"),
        ("a", "en"),
        ("b", "de"),
        ("b", "en"),
    ]
    assert [item.question_en for item in load(file, "de")] == ["How many?", "And now?"]
    assert [item.item_id for item in load(file, "de", num_items=1)] == ["a"]


def test_fingerprint_follows_every_text(tmp_path: Path) -> None:
    first = load(rows(tmp_path, {}))
    assert fingerprint(first) == fingerprint(load(rows(tmp_path, {})))
    assert fingerprint(first) != fingerprint(load(rows(tmp_path, {"solution": "The answer is 12."})))


def test_half_a_character_is_refused_by_its_column_and_line(tmp_path: Path) -> None:
    with refused("question", "line 1:", "surrogate"):
        load(rows(tmp_path, {"question": "\ud800"}))


@pytest.mark.parametrize(
    ("content", "key", "named"),
    [
        ("{", "texts.json", ("line 1:", "JSON")),
        ("[]", "texts.json", ("list", "solution")),
        ({"en": []}, "texts.json", ("'en':", "list")),
        ({"en": {"1": "text"}}, "texts.json", ("'en', '1':", "str")),
        ({"en": {"1": {"q": "Question: Why?"}}}, "solution", ("'en', '1':", "None")),
        ({"en": {"1": {"q": "Question: ", "a": "5"}}}, "question", ("'en', '1':", "''")),
        ({"de": {"1": {"q": "Wie?", "a": "5"}}}, "language", ("'1'", "English", "de")),
        ({"en": {"1": {"q": "Why?", "a": "5"}}, "xx": {"1": {"q": "?", "a": "5"}}}, "language", ("'xx'", "de")),
        ({}, "texts.json", ()),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, content: object, key: str, named: tuple[str, ...]) -> None:
    with refused(key, str(tmp_path / "texts.json"), *named):
        load(written(tmp_path, content))


@pytest.mark.parametrize(
    ("changes", "key", "named"),
    [
        ([{}, {}], "language", ("texts.jsonl, line 2:", "'a'", "'en'")),
        ([{}, {"language": "de", "solution": 5}], "solution", ("texts.jsonl, line 2:", "5")),
        ([{}, {"item_id": "b", "language": "de"}], "language", ("texts.jsonl", "'b'", "English", "de")),
    ],
)
def test_a_bad_row_is_refused_by_its_column(
    tmp_path: Path, changes: list[dict[str, object]], key: str, named: tuple[str, ...]
) -> None:
    with refused(key, *named):
        load(rows(tmp_path, *changes))


def test_a_row_without_a_column_is_refused(tmp_path: Path) -> None:
    with refused("solution", "line 1:", "item_id, language, question"):
        load(written(tmp_path, '{"item_id": "a", "language": "en", "question": "?"}', "texts.jsonl"))


def test_an_unreadable_file_and_a_missing_language_are_refused(tmp_path: Path) -> None:
    with refused("nowhere.json", str(tmp_path)):
        load(tmp_path / "nowhere.json")
    with refused("languages", "sw, te", "en"):
        load(rows(tmp_path, {}), "en", "sw", "te")
    (tmp_path / "latin.json").write_bytes(b'{"en": "\xe9"}')
    with refused("latin.json", "UTF-8"):
        load(tmp_path / "latin.json")
