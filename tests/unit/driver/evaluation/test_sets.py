"""Read sets from small files of the published form, written for these tests, and refuse what is wrong with them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver.evaluation.sets.chosen import choose_tasks
from driver.evaluation.sets.read import SetRequest, TaskSet, languages_there, read_set
from driver.evaluation.tasks.registry import known_tasks
from tests.refusals import refused

SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data"

Rows = Sequence[Mapping[str, object]]

MMLU_PROX = {
    "question_id": 70,
    "question": "Was ist 2 + 3?",
    **{f"option_{number}": str(number) for number in range(6)},
    **{f"option_{number}": None for number in range(6, 10)},
    "answer": "F",
    "category": "math",
    "cot_content": "A: 2 + 3 = 5. Die Antwort ist (F).",
}
GLOBAL_MMLU = {
    **{"sample_id": "a/test/0", "subject": "a", "question": "Q?", "answer": "C"},
    **{f"option_{letter}": letter for letter in "abcd"},
    "cultural_sensitivity_label": "CA",
}
BELEBELE = {
    **{"link": "l", "question_number": 2, "flores_passage": "P.", "question": "Q?", "correct_answer_num": "4"},
    **{f"mc_answer{number}": f"a{number}" for number in range(1, 5)},
}
INCLUDE = {
    **{"question": "Q?", "answer": 1, "domain": "STEM", "regional_feature": "agnostic"},
    **{f"option_{letter}": letter for letter in "abcd"},
}
XSTORY = {
    "story_id": "s1",
    **{f"input_sentence_{number}": f"S{number}." for number in range(1, 5)},
    **{"sentence_quiz1": "E1.", "sentence_quiz2": "E2.", "answer_right_ending": 2},
}
XWINOGRAD = {"sentence": "The cup fell because _ was wet.", "option1": "it", "option2": "she", "answer": "1"}
MLOGIQA = {"context": "C.", "question": "Q?", "options": "['w', 'x', 'y', 'z']", "answer": "2"}
AFRIMGSM = {"question": "Q?", "answer": "", "answer_number": "18", "equation_solution": ""}
POLYMATH = {"id": "low-en-0", "question": "Q?", "answer": "\\frac{1}{2}"}


def write(file: Path, rows: Rows) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(map(dict, rows))), file)
        return
    if file.suffix == ".tsv":
        lines = ["\t".join(map(str, cells)) for cells in (rows[0], *(row.values() for row in rows))]
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(name: str, folder: Path | None, *languages: str, max_items: int | None = None, shots: int = 0) -> TaskSet:
    (chosen,) = choose_tasks([name])
    request = SetRequest(languages=languages, folder=chosen.file or folder, max_items=max_items, shots=shots)
    return read_set(chosen, request)


@pytest.mark.parametrize(
    ("task", "file", "row", "language", "expected"),
    [
        ("mmlu-prox", "de/test-00000-of-00001.parquet", MMLU_PROX, "de", ("F", "Was ist 2 + 3?")),
        ("mmlu-prox-lite", "data/de/test-00000-of-00001.parquet", MMLU_PROX, "de", ("F", "Was ist 2 + 3?")),
        ("global-mmlu", "sw/test-00000-of-00001.parquet", GLOBAL_MMLU, "sw", ("C", "Q?")),
        ("global-mmlu-lite", "sw/test.jsonl", GLOBAL_MMLU, "sw", ("C", "Q?")),
        ("belebele", "data/swh_Latn.jsonl", BELEBELE, "sw", ("D", "P.\n\nQ?")),
        ("include", "German/test-00000-of-00001.parquet", INCLUDE, "de", ("B", "Q?")),
        ("xstorycloze:generate", "sw/eval.jsonl", XSTORY, "sw", ("B", "S1. S2. S3. S4. ...")),
        ("xwinograd:generate", "test/jp.jsonl", XWINOGRAD, "ja", ("A", "The cup fell because _ was wet.")),
        ("mlogiqa", "mlogiqa/test/ko.jsonl", MLOGIQA, "ko", ("C", "C.\n\nQ?")),
        ("logiqa", "data/test-00000-of-00001.parquet", {**MLOGIQA, "label": "b"}, "en", ("B", "C.\n\nQ?")),
        ("msvamp", "test_Swahili.json", {"m_query": "Q?", "response": "145.0"}, "sw", ("145", "Q?")),
        ("mmath", "ko.json", {"gid": 3, "question": "Q?", "answer": "$2\\sqrt{2}$"}, "ko", ("2\\sqrt{2}", "Q?")),
        ("afrimgsm", "data/swa/test.tsv", AFRIMGSM, "sw", ("18", "Q?")),
        ("mgsm-rev2", "te.jsonl", {"id": 7, "question": "Q?", "answer": "1,200"}, "te", ("1200", "Q?")),
    ],
)
def test_a_row_of_the_published_form_is_an_item(
    tmp_path: Path, task: str, file: str, row: Mapping[str, object], language: str, expected: tuple[str, str]
) -> None:
    write(tmp_path / file, [row])
    if task == "mmath":
        (tmp_path / file).write_text(json.dumps([row]), encoding="utf-8")
    found = read(task, tmp_path, language)
    assert (found.items[0].gold, found.items[0].question) == expected


def test_empty_options_count_as_none(tmp_path: Path) -> None:
    write(tmp_path / "de/test.parquet", [MMLU_PROX])
    assert read("mmlu-prox", tmp_path, "de").items[0].options == ("0", "1", "2", "3", "4", "5")


def test_every_level_of_a_set_is_read_and_named(tmp_path: Path) -> None:
    for level in ("low", "medium", "high", "top"):
        write(tmp_path / f"en/{level}.parquet", [POLYMATH])
    items = read("polymath", tmp_path, "en").items
    assert [(item.level, item.item_id, item.gold) for item in items] == [
        (level, f"{level}/low-en-0", "0.5") for level in ("low", "medium", "high", "top")
    ]


def test_a_comma_that_groups_the_digits_of_mgsm_is_no_decimal_comma(tmp_path: Path) -> None:
    (tmp_path / "mgsm_de.tsv").write_text('Wie "viele"?\t2,125\nQ\t5\n', encoding="utf-8")
    items = read("mgsm", tmp_path, "de").items
    assert [(item.item_id, item.question, item.gold) for item in items] == [
        ("1", 'Wie "viele"?', "2125"),
        ("2", "Q", "5"),
    ]


def test_items_of_a_file_without_a_header_are_named_by_their_rows(tmp_path: Path) -> None:
    (tmp_path / "te.tsv").write_text("Q\t5\nR\t6\n", encoding="utf-8")
    items = read("mgsm-rev2", tmp_path, "te").items
    assert [(item.item_id, item.gold, item.tag) for item in items] == [("1", "5", ""), ("2", "6", "")]


def test_worked_examples_of_afrimgsm_are_its_dev_split(tmp_path: Path) -> None:
    write(tmp_path / "data/swa/test.tsv", [AFRIMGSM])
    write(tmp_path / "data/swa/dev.tsv", [{**AFRIMGSM, "question": "Swali: R?", "answer": "1 + 1 = 2. Jibu ni 2."}])
    (worked,) = read("afrimgsm", tmp_path, "sw", shots=1).worked["sw"]
    assert (worked.question, worked.solution) == ("R?", "1 + 1 = 2. Jibu ni 2.")


XCOPA = {"premise": "Mees keeras kraani lahti.", "choice1": "Toru täitus.", "choice2": "Vesi voolas.", "idx": 4}


def test_the_options_of_xcopa_follow_the_premise_and_its_connector(tmp_path: Path) -> None:
    write(tmp_path / "test.et.jsonl", [{**XCOPA, "question": "effect", "label": 1}])
    (item,) = read("xcopa", tmp_path, "et").items
    assert [choice.context for choice in item.choices] == ["Mees keeras kraani lahti seetõttu"] * 2
    assert [choice.continuation for choice in item.choices] == [" toru täitus.", " vesi voolas."]
    assert item.gold == "B"


def test_the_letters_of_belebele_are_scored_in_the_words_of_the_common_harness(tmp_path: Path) -> None:
    write(tmp_path / "data/swh_Latn.jsonl", [BELEBELE])
    (item,) = read("belebele:likelihood", tmp_path, "sw").items
    assert {choice.context for choice in item.choices} == {"P: P.\nQ: Q?\nA: a1\nB: a2\nC: a3\nD: a4\nAnswer:"}
    assert [choice.continuation for choice in item.choices] == [" A", " B", " C", " D"]


def test_the_sentence_of_xwinograd_is_filled_and_its_rest_is_scored(tmp_path: Path) -> None:
    write(tmp_path / "test/en.jsonl", [XWINOGRAD])
    (item,) = read("xwinograd", tmp_path, "en").items
    assert [choice.context for choice in item.choices] == ["The cup fell because it", "The cup fell because she"]
    assert {choice.continuation for choice in item.choices} == {" was wet."}


def test_worked_examples_lose_the_labels_that_stand_before_them(tmp_path: Path) -> None:
    (tmp_path / "mgsm_de.tsv").write_text("Q\t5\n", encoding="utf-8")
    example = {"q": "Frage: Wie viele?", "a": "Schritt-für-Schritt-Antwort: 1 + 1 = 2. Die Antwort lautet 2."}
    english = {"q": "Question: How many?", "a": "Step-by-Step Answer: 1 + 1 = 2. The answer is 2."}
    texts = {"de": {"1": example}, "en": {"1": english}}
    (tmp_path / "exemplars.json").write_text(json.dumps(texts), encoding="utf-8")
    (worked,) = read("mgsm", tmp_path, "de", shots=1).worked["de"]
    assert (worked.question, worked.solution) == ("Wie viele?", "1 + 1 = 2. Die Antwort lautet 2.")


def test_worked_examples_of_a_split_have_their_subject_and_their_answer(tmp_path: Path) -> None:
    write(tmp_path / "de/test.parquet", [MMLU_PROX])
    write(tmp_path / "de/validation.parquet", [MMLU_PROX])
    (worked,) = read("mmlu-prox", tmp_path, "de", shots=1).worked["de"]
    assert (worked.category, worked.solution) == ("math", "A: 2 + 3 = 5. Die Antwort ist (F).")


def test_a_plain_text_is_scored_whole(tmp_path: Path) -> None:
    write(tmp_path / "devtest/deu_Latn.jsonl", [{"id": 3, "text": "Es regnet."}])
    (item,) = read("flores", tmp_path, "de").items
    assert [(choice.context, choice.continuation) for choice in item.choices] == [("", "Es regnet.")]
    assert (item.gold, item.options) == ("", ())


def test_the_built_in_texts_need_no_files() -> None:
    (item,) = read("builtin-texts", None, "sw", max_items=1).items
    assert item.choices[0].continuation == item.question
    assert len(item.question.splitlines()) > 1


# --- a set of the user's own -----------------------------------------------------------------------------------------


def test_a_file_of_the_users_own_is_a_set(tmp_path: Path) -> None:
    rows = [
        {"language": "sw", "question": "Ngapi?", "answer": "18"},
        {"language": "de", "question": "Wo?", "options": ["Bonn", "Berlin"], "answer": "Berlin"},
        {"language": "de", "question": "Was?", "answer": "\\frac{1}{2}"},
    ]
    file = tmp_path / "My Set.jsonl"
    write(file, rows)
    found = read(str(file), None, "sw", "de")
    assert [(item.task, item.language, item.gold, item.options) for item in found.items] == [
        ("my-set", "sw", "18", ()),
        ("my-set", "de", "B", ("Bonn", "Berlin")),
        ("my-set", "de", "0.5", ()),
    ]


def test_a_file_without_the_needed_columns_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "my.jsonl", [{"question": "Q?", "target": "1"}])
    with refused("answer", str(tmp_path / "my.jsonl")):
        choose_tasks([str(tmp_path / "my.jsonl")])


@pytest.mark.parametrize("code", ["klingon", "DE", None, 3])
def test_a_row_in_no_language_is_refused_and_named(tmp_path: Path, code: object) -> None:
    rows = [{"question": "Q?", "answer": "1", "language": "sw"}, {"question": "R?", "answer": "1", "language": code}]
    write(tmp_path / "my.jsonl", rows)
    with refused("language", "line 2"):
        choose_tasks([str(tmp_path / "my.jsonl")])


@pytest.mark.parametrize(
    ("name", "named"),
    [("my.jsonl:likelihood", "'likelihood'"), ("folder", "--data TASK=FOLDER"), ("notes.txt", ".jsonl")],
)
def test_what_is_neither_a_task_nor_a_set_is_refused_with_what_it_is(tmp_path: Path, name: str, named: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("question", encoding="utf-8")
    write(tmp_path / "my.jsonl", [{"question": "Q?", "answer": "1"}])
    with refused("evaluation.tasks", named):
        choose_tasks([str(tmp_path / name)])


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my.jsonl").write_text("", encoding="utf-8")
    with refused("evaluation.tasks", "my.jsonl"):
        choose_tasks([str(tmp_path / "my.jsonl")])


@pytest.mark.parametrize("task", ["my.jsonl", "mgsm-rev2"])
def test_one_file_whose_rows_name_no_language_is_not_read_for_several(tmp_path: Path, task: str) -> None:
    write(tmp_path / "my.jsonl", [{"id": 1, "question": "Q?", "answer": "1"}])
    name = str(tmp_path / task) if task == "my.jsonl" else task
    folder = None if task == "my.jsonl" else tmp_path / "my.jsonl"
    with refused("evaluation.languages", "my.jsonl", "2 languages"):
        read(name, folder, "sw", "de")
    assert [item.language for item in read(name, folder, "sw").items] == ["sw"]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "key", "named"),
    [
        ({"id": 1, "question": "Q?", "answer": "many"}, "answer", ("line 1", "'many'")),
        ({"id": 1, "question": "Q?", "answer": None}, "answer", ("line 1",)),
        ({"id": 1, "question": " ", "answer": "1"}, "question", ("line 1",)),
        ({"number": 1, "question": "Q?", "answer": "1"}, "id", ("line 1", "number")),
    ],
)
def test_a_row_that_can_not_be_read_is_named(
    tmp_path: Path, row: Mapping[str, object], key: str, named: tuple[str, ...]
) -> None:
    write(tmp_path / "te.jsonl", [row])
    with refused(key, "mgsm-rev2", str(tmp_path / "te.jsonl"), *named):
        read("mgsm-rev2", tmp_path, "te")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"answer": "K"}, "answer"),
        ({"answer": "G"}, "answer"),  # there are six options
        ({f"option_{number}": None for number in range(1, 10)}, "option_0"),
    ],
)
def test_an_option_that_is_missing_is_refused(tmp_path: Path, change: Mapping[str, object], key: str) -> None:
    write(tmp_path / "de/test.jsonl", [{**MMLU_PROX, **change}])
    with refused(key, "mmlu-prox", "line 1"):
        read("mmlu-prox", tmp_path, "de")


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"options": ["a", "", "c"], "answer": "A"}, "options"),
        ({"options": [None, "b"], "answer": "B"}, "options"),
        ({"options": "red|green", "answer": "A"}, "options"),
        ({"options": {"A": "red", "B": "green"}, "answer": "A"}, "options"),
        ({"options": ["red"], "answer": "A"}, "options"),
        ({"options": ["red", "red", "green"], "answer": "red"}, "answer"),
        ({"options": ["red", "green"], "answer": "blue"}, "answer"),
        ({"answer": [3]}, "answer"),
        ({"answer": r"\frac{1}{"}, "answer"),
        ({"answer": float("nan")}, "answer"),
        ({"question": ["Which?"], "answer": "3"}, "question"),
    ],
)
def test_a_row_of_the_users_own_is_never_read_as_something_else(
    tmp_path: Path, row: Mapping[str, object], key: str
) -> None:
    write(tmp_path / "my.jsonl", [{"question": "Q?", **row}])
    with refused(key, "line 1"):
        read(str(tmp_path / "my.jsonl"), None, "en")


@pytest.mark.parametrize("without", [None, "", []])
def test_a_row_without_options_may_stand_beside_rows_with_options(tmp_path: Path, without: object) -> None:
    with_options = {"question": "1?", "options": ["x", "y"], "answer": "y"}
    write(tmp_path / "my.jsonl", [with_options, {"question": "2?", "options": without, "answer": "3"}])
    items = read(str(tmp_path / "my.jsonl"), None, "en").items
    assert [(item.options, item.gold) for item in items] == [(("x", "y"), "B"), ((), "3")]


def test_an_item_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "te.jsonl", [{"id": 7, "question": "Q?", "answer": "1"}] * 2)
    with refused("item_id", "te/7", "2 times"):
        read("mgsm-rev2", tmp_path, "te")


def test_fewer_items_than_asked_for_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "te.jsonl", [{"id": 7, "question": "Q?", "answer": "1"}])
    with refused("evaluation.max_items", "1", "9"):
        read("mgsm-rev2", tmp_path, "te", max_items=9)
    assert len(read("mgsm-rev2", tmp_path, "te", max_items=1).items) == 1


def test_a_language_that_the_set_lacks_is_refused(tmp_path: Path) -> None:
    with refused("evaluation.languages", "xx", "bn"):
        read("mgsm-rev2", tmp_path, "xx")


def test_a_folder_of_another_set_is_refused_and_recognised(tmp_path: Path) -> None:
    (tmp_path / "mgsm_te.tsv").write_text("Q\t5\n", encoding="utf-8")
    with refused("evaluation.paths", str(tmp_path), "looks like mgsm"):
        read("mgsm-rev2", tmp_path, "te")


def test_the_languages_of_a_folder_of_another_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mgsm_te.tsv").write_text("Q\t5\n", encoding="utf-8")
    with refused("evaluation.paths", "looks like mgsm"):
        languages_there(known_tasks()["mgsm-rev2"], tmp_path)


def test_a_set_that_is_on_no_hub_asks_for_its_folder() -> None:
    with refused("evaluation.paths", "mgsm-rev2"):
        read("mgsm-rev2", None, "te")


def test_the_languages_that_are_there_are_those_with_a_file(tmp_path: Path) -> None:
    for code in ("te", "sw"):
        write(tmp_path / f"{code}.jsonl", [{"id": 7, "question": "Q?", "answer": "1"}])
    assert languages_there(known_tasks()["mgsm-rev2"], tmp_path) == ("sw", "te")


# --- the real sets, where they are at hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "folder", "languages", "per_language"),
    [
        ("mgsm", "mgsm", 11, 250),
        ("mgsm-rev2", "mgsm_rev2", 11, 250),
        ("mmath", "mmath", 10, 374),
        ("xcopa", "xcopa_val", 11, 100),
    ],
)
def test_a_real_set_is_read_whole(task: str, folder: str, languages: int, per_language: int) -> None:
    place = SHARED / folder
    if not place.is_dir():
        pytest.skip(f"the set {task} is not at {place}")
    there = languages_there(known_tasks()[task], place)
    found = read(task, place, *there)
    assert (len(there), len(found.items)) == (languages, languages * per_language)
    if task == "mgsm-rev2":
        english = [item for item in found.items if item.language == "en"]
        assert sum(item.tag == "True" for item in english) == 22
