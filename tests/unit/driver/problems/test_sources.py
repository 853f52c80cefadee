"""Test problem sources: what each format reads, what it refuses and where, and that rows stay on disk."""

import json
import tracemalloc
from pathlib import Path
from typing import Literal

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.config.data import BuiltinData, LogicData
from contracts.rollouts import Problem
from driver.problems.builtin.texts import TEXTS
from driver.problems.index import TableSource
from driver.problems.logic.texts import TEXTS as LOGIC_TEXTS
from driver.problems.mgsm import MgsmTable, without_thousands
from driver.problems.rows import COLUMNS
from driver.problems.sources import ProblemSource, first_problems, open_source, problems_by_language
from driver.problems.stream import ProblemStream, first_draws
from driver.problems.tables import JsonlTable, ParquetTable
from tests.builders import a_data_section
from tests.refusals import refused

MGSM = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mgsm"
Source = Literal["builtin", "jsonl", "parquet", "huggingface", "mgsm"]
ROWS = [
    {"item_id": "a", "language": "de", "question": "Wie viele?", "question_en": "How many?", "answer": "3"},
    {"item_id": "a", "language": "th", "question": "กี่อัน", "question_en": "How many?", "answer": "3"},
    {"item_id": "b", "language": "de", "question": "Wie teuer?", "question_en": "What price?", "answer": None},
]
GERMAN_B = Problem(item_id="b", language="de", question="Wie teuer?", question_en="What price?")


def open_(source: Source, path: Path, *languages: str, **split: str) -> ProblemSource:
    config = a_data_section(source=source, path=str(path), languages=languages, **split)
    return open_source(config, languages=languages, seed=1)


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "problems.jsonl", [dict(row) for row in ROWS])


def test_jsonl_is_read_by_language_and_position(jsonl: Path) -> None:
    source = open_("jsonl", jsonl, "de", "th")
    assert source.counts == {"de": 2, "th": 1}
    assert source.problem("de", 1) == GERMAN_B
    assert source.where("de", 1) == f"{jsonl}, line 3"
    assert source.problem("th", 0).question == "กี่อัน"


def test_jsonl_may_have_blank_lines_windows_line_ends_a_byte_order_mark_and_no_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n \r\n".join(json.dumps(row).encode() for row in ROWS))
    assert open_("jsonl", path, "de").problem("de", 1) == GERMAN_B


def test_parquet_is_read_by_row_over_row_groups_of_any_size(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "item_id": number, "question": f"Frage {number}", "more": b"x"} for number in range(3000)]
    path = tmp_path / "problems.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=700)
    source = open_("parquet", path, "de")
    assert source.counts["de"] == 3000
    for number in (0, 699, 700, 1023, 1024, 2999):
        problem = source.problem("de", number)
        assert (problem.item_id, problem.question) == (str(number), f"Frage {number}")


def test_a_hugging_face_folder_is_read_from_data_files_and_from_save_to_disk(
    jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "data"
    data.mkdir()
    jsonl.rename(data / "train.jsonl")
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "saved-splits")
    for folder in (data, tmp_path / "saved", tmp_path / "saved-splits"):
        source = open_("huggingface", folder, "de", "th")
        assert source.counts == {"de": 2, "th": 1}
        assert source.problem("de", 1) == GERMAN_B
    with refused(str(data), "'dev'"):
        open_("huggingface", data, "de", split="dev")
    with refused(str(tmp_path / "nothing")):
        open_("huggingface", tmp_path / "nothing", "de")


def test_mgsm_takes_the_english_question_from_the_same_line(tmp_path: Path) -> None:
    (tmp_path / "mgsm_en.tsv").write_text('Say "one"\t1\nTwo\t2,125\n', encoding="utf-8")
    (tmp_path / "mgsm_de.tsv").write_text('"Sag eins\t1\nZwei\t2,125\n', encoding="utf-8")
    source = open_("mgsm", tmp_path, "de", "en")
    assert source.problem("de", 0) == Problem(
        item_id="mgsm-1", language="de", question='"Sag eins', question_en='Say "one"', answer="1"
    )
    assert source.problem("de", 1).answer == "2125"
    assert source.problem("en", 1).question == "Two"


@pytest.mark.skipif(not MGSM.is_dir(), reason="MGSM is not beside the project (../shared/data/mgsm)")
def test_the_real_mgsm_has_250_parallel_problems_in_eleven_languages() -> None:
    source = open_("mgsm", MGSM, "de", "sw", "th")
    assert source.counts == {"de": 250, "sw": 250, "th": 250}
    assert source.notes == ()
    with refused("languages", "250 in bn"):
        open_("mgsm", MGSM, "ko")
    assert source.problem("de", 0).question.startswith("Janets Enten legen 16 Eier pro Tag.")
    assert source.problem("de", 0).question_en.startswith("Janet’s ducks lay 16 eggs per day.")
    answers = [source.problem("sw", number).answer for number in range(250)]
    assert [answer for answer in answers if answer in ("2125", "114200", "276000", "5600")] != []
    assert all(answer is not None and answer.isdigit() for answer in answers)


def test_the_built_in_set_is_the_same_for_a_seed_and_parts_train_from_test() -> None:
    config = BuiltinData(num_items=20, languages=("en",))
    first, again = (open_source(config, languages=("en",), seed=5) for _ in range(2))
    other = open_source(config, languages=("en",), seed=6)
    assert first.counts == {"en": 20}
    assert first.fingerprint == again.fingerprint != other.fingerprint
    test = open_source(config.model_copy(update={"split": "test"}), languages=("en",), seed=5)
    questions = {problem.question for problem in first_problems(first, ("en",), num_items=20)}
    assert questions.isdisjoint(problem.question for problem in first_problems(test, ("en",), num_items=20))


def test_a_table_without_english_rows_serves_its_english_questions(jsonl: Path) -> None:
    source = open_("jsonl", jsonl, "en")
    assert source.counts == {"en": 2}  # items a and b
    assert source.problem("en", 0) == Problem(
        item_id="a", language="en", question="How many?", question_en="How many?", answer="3"
    )


def test_english_rows_of_the_table_are_used_where_it_has_some(tmp_path: Path) -> None:
    rows = [dict(ROWS[2]), {"item_id": "b", "language": "en", "question": "What price?"}]
    source = open_("jsonl", write_jsonl(tmp_path / "p.jsonl", rows), "en")
    assert source.counts == {"en": 1}
    assert source.problem("en", 0).question_en == "What price?"


@pytest.mark.parametrize(
    ("value", "answer"),
    [(7, "7"), (7.0, "7"), (1e21, "1000000000000000000000"), (0.5, "0.5"), (" 7 ", "7"), ("", None)],
)
def test_an_answer_may_be_text_a_number_or_missing(tmp_path: Path, value: object, answer: str | None) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{**ROWS[0], "item_id": 12, "answer": value}])
    problem = open_("jsonl", path, "de").problem("de", 0)
    assert (problem.item_id, problem.answer) == ("12", answer)


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("2,125", "2125"),
        ("1,234,567.5", "1234567.5"),
        ("-1,000", "-1000"),
        ("18", "18"),
        ("1,2", "1,2"),
        ("1,2x", "1,2x"),
    ],
)
def test_thousands_commas_are_taken_out_of_whole_numbers_only(answer: str, read: str) -> None:
    assert without_thousands(answer) == read


def test_first_problems_are_parallel_where_the_rows_are(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "item_id": item, "language": language} for item in "abc" for language in ("de", "fr")]
    source = open_("jsonl", write_jsonl(tmp_path / "p.jsonl", rows), "de", "fr")
    taken = [problem.group_key for problem in first_problems(source, ("fr", "de"), num_items=2)]
    assert taken == ["a/fr", "b/fr", "a/de", "b/de"]
    assert len(list(first_problems(source, ("fr",), num_items=9))) == 3


def test_the_fingerprint_changes_with_any_question_and_not_with_the_file_name(jsonl: Path, tmp_path: Path) -> None:
    fingerprint = open_("jsonl", jsonl, "de").fingerprint
    copy = write_jsonl(tmp_path / "copy.jsonl", [dict(row) for row in ROWS])
    assert open_("jsonl", copy, "de").fingerprint == fingerprint
    changed = write_jsonl(
        tmp_path / "changed.jsonl", [dict(row) for row in (*ROWS[:2], {**ROWS[2], "question": "Was?"})]
    )
    assert open_("jsonl", changed, "de").fingerprint != fingerprint


@pytest.mark.parametrize(
    ("change", "key", "named"),
    [
        ({"question": "  "}, "question", ()),
        ({"question": 5}, "question", ("5",)),
        ({"question_en": None}, "question_en", ("None",)),
        ({"item_id": 1.5}, "item_id", ("1.5",)),
        ({"answer": [1]}, "answer", ("[1]",)),
        ({"answer": True}, "answer", ("True",)),
        ({"item_id": "a"}, "item_id", ("'a'", "'de'", "line 1;")),
        ({"item_id": "a", "language": "th"}, "question_en", ("'a'", "line 1;")),
    ],
)
def test_a_wrong_row_is_refused_by_its_column_and_line(
    tmp_path: Path, change: dict[str, object], key: str, named: tuple[str, ...]
) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [dict(ROWS[0]), {**ROWS[2], **change}])
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n \n", 1), encoding="utf-8")
    with refused(key, f"{path}, line 4:", *named):
        open_("jsonl", path, "de", "th")


@pytest.mark.parametrize("column", ["language", "question", "question_en"])
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path, column: str) -> None:
    row = {key: value for key, value in ROWS[0].items() if key != column}
    present = ", ".join(row)
    with refused(column, f"{tmp_path / 'p.jsonl'}, line 1:", present):
        open_("jsonl", write_jsonl(tmp_path / "p.jsonl", [dict(row)]), "de", "th")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "p.parquet")
    with refused(column, f"{tmp_path / 'p.parquet'}, row 1:", present):
        open_("parquet", tmp_path / "p.parquet", "de", "th")


@pytest.mark.parametrize(
    ("line", "named"), [(b'{"item_id": "c", ', "JSON at column 18"), (b'["c"]', "list"), (b"\xff\xfe", "UTF-8")]
)
def test_a_broken_line_is_refused_with_its_number(jsonl: Path, line: bytes, named: str) -> None:
    jsonl.write_bytes(jsonl.read_bytes() + line)
    with refused(jsonl.name, f"{jsonl}, line 4:", named):
        open_("jsonl", jsonl, "de")


def test_half_a_character_is_refused_by_its_column_and_line(tmp_path: Path) -> None:
    path = tmp_path / "half.jsonl"
    path.write_text(json.dumps({**ROWS[0], "question": "Wie viele \ud800?"}) + "\n", encoding="utf-8")
    with refused("question", f"{path}, line 1:", "surrogate"):
        open_("jsonl", path, "de")


def test_files_that_are_missing_empty_or_of_another_format_are_refused(tmp_path: Path, jsonl: Path) -> None:
    with refused("missing.jsonl"):
        open_("jsonl", tmp_path / "missing.jsonl", "de")
    with refused(tmp_path.name):
        open_("parquet", tmp_path, "de")
    with refused(jsonl.name, "Parquet"):
        open_("parquet", jsonl, "de")
    with refused("mgsm_en.tsv", str(tmp_path)):
        open_("mgsm", tmp_path, "de")
    empty = write_jsonl(tmp_path / "empty.jsonl", [])
    with refused(str(empty)):
        open_("jsonl", empty, "de")


def test_a_language_without_problems_is_refused_with_those_that_exist(jsonl: Path) -> None:
    with refused("languages", str(jsonl), "sw, ja", "has de", "1 in th"):
        open_("jsonl", jsonl, "de", "sw", "ja")


@pytest.mark.parametrize(
    ("german", "key", "named"),
    [
        ("Eins\t1\n", "mgsm_de.tsv", ("mgsm_de.tsv has 1 problems", "mgsm_en.tsv 2")),
        ("Eins\t1\nZwei\t3\n", "answer", ("mgsm_de.tsv, line 2:", "'3'", "mgsm_en.tsv '2'")),
        ("Eins\t1\nZwei 2\n", "mgsm_de.tsv", ("mgsm_de.tsv, line 2:", "1 columns")),
    ],
)
def test_mgsm_files_that_are_not_parallel_are_refused(
    tmp_path: Path, german: str, key: str, named: tuple[str, ...]
) -> None:
    (tmp_path / "mgsm_en.tsv").write_text("One\t1\nTwo\t2\n", encoding="utf-8")
    (tmp_path / "mgsm_de.tsv").write_text(german, encoding="utf-8")
    with refused(key, *named):
        open_("mgsm", tmp_path, "de")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "mgsm"])
def test_opening_and_drawing_hold_a_small_part_of_the_set_in_memory(tmp_path: Path, kind: str) -> None:
    num_rows, padding = 4000, "x" * 3000  # 12 MB in each language
    rows = [{**ROWS[0], "item_id": f"{number}", "question": f"{number} {padding}"} for number in range(num_rows)]
    match kind:
        case "jsonl":
            path = write_jsonl(tmp_path / "p.jsonl", rows)
        case "parquet":
            path = tmp_path / "p.parquet"
            pq.write_table(pa.Table.from_pylist(rows), path)
        case _:
            path = tmp_path
            for language in ("de", "en"):
                lines = (f"{row['question']}\t3\n" for row in rows)
                (path / f"mgsm_{language}.tsv").write_text("".join(lines), encoding="utf-8")
    del rows
    arrow_before = pa.total_allocated_bytes()
    tracemalloc.start()
    match kind:
        case "jsonl":
            table = JsonlTable(path)
        case "parquet":
            table = ParquetTable(path, columns=COLUMNS)
        case _:
            table = MgsmTable(path)
    source = TableSource(table, name=kind)
    drawn = first_draws(ProblemStream(source, languages=("de",), seed=1), 50)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len({draw.problem.item_id for draw in drawn}) == 50
    # 8 bytes a row and a language, the 50 problems drawn (150 kB), and small change.
    assert held < 1_000_000
    assert pa.total_allocated_bytes() - arrow_before < 1_000_000


def test_a_built_in_source_counts_the_languages_that_it_has() -> None:
    assert problems_by_language(BuiltinData(num_items=3)) == dict.fromkeys(TEXTS, 3)
    logic = LogicData(source="logic", num_items=3)
    assert problems_by_language(logic) == dict.fromkeys(LOGIC_TEXTS, 3)
