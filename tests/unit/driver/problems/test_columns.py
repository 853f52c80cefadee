"""Test tables as people have them: other names of columns and languages, wide tables, rows that can't be used."""

import json
import math
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver.problems.sources import ProblemSource, open_source
from tests.builders import a_data_section
from tests.refusals import refused

MMATH = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "mmath"


def csv_source(path: Path, text: str, *languages: str, needs_english: bool = True, **keys: object) -> ProblemSource:
    path.write_text(text, encoding="utf-8")
    config = a_data_section(source="csv", path=str(path), languages=languages, **keys)
    return open_source(config, languages=languages, seed=1, needs_english=needs_english)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.csv"


def test_columns_and_languages_may_have_other_names(file: Path) -> None:
    text = "id,lang,problem,english\n1,Kiswahili,Moja?,One?\n2,sw_KE,Mbili?,Two?\n3,ko,하나?,One?\n"
    columns = {"item_id": "id", "language": "lang", "question": "problem", "question_en": "english"}
    source = csv_source(file, text, "sw", columns=columns)
    assert source.counts == {"sw": 2}
    problem = source.problem("sw", 1)
    assert (problem.item_id, problem.question, problem.question_en) == ("2", "Mbili?", "Two?")
    taken, skipped = source.notes
    assert '"Kiswahili" as sw' in taken and '"sw_KE" as sw' in taken
    assert "1 in ko" in skipped


@pytest.mark.parametrize(
    ("header", "meaning", "near"),
    [
        ("problem,question_en", "question", "problem"),
        ("Question,question_en", "question", "Question"),
        ("qestion,question_en", "question", "qestion"),
        ("question,lang,question_en", "language", "lang"),
        ("question,english", "question_en", "english"),
    ],
)
def test_a_column_with_a_name_that_is_near_is_suggested(file: Path, header: str, meaning: str, near: str) -> None:
    cells = ",".join("x" for _ in header.split(","))
    with refused(meaning, f'data.columns.{meaning} = "{near}"', f"{file}, line 2"):
        csv_source(file, f"{header}\n{cells}\n", "sw")


def test_a_column_that_the_config_names_must_be_there(file: Path) -> None:
    with refused("answer", "'gold'", "question, question_en"):
        csv_source(file, "question,question_en\nx,y\n", "sw", columns={"answer": "gold"})


def test_a_table_of_one_language_needs_neither_language_nor_item_id(file: Path) -> None:
    source = csv_source(file, "question,question_en\nMoja?,One?\nMbili?,Two?\n", "sw")
    assert [source.problem("sw", number).item_id for number in range(2)] == ["row-1", "row-2"]
    assert any("sw (Swahili)" in note for note in source.notes)


def test_with_several_languages_the_config_must_say_which_one_all_rows_are_in(file: Path) -> None:
    text = "question,question_en\nMoja?,One?\n"
    with refused("language", "data.rows_language"):
        csv_source(file, text, "sw", "de")
    source = csv_source(file, text, "en", rows_language="Swahili")
    assert source.problem("en", 0).question == "One?"  # the English question of a Swahili row
    with refused("data.rows_language", "'klingon'"):
        csv_source(file, text, "sw", rows_language="klingon")


ENGLISH = "Natalia sold clips to 48 of her friends in April. How many did she sell?"
SWAHILI = "Natalia aliwauzia marafiki zake 48 klipu mwezi wa Aprili. Aliuza klipu ngapi kwa jumla?"


@pytest.mark.parametrize(("question", "taken_for"), [(ENGLISH, "sw"), (ENGLISH, "th"), (SWAHILI, "en")])
def test_questions_that_are_not_in_the_one_language_asked_for_are_refused_unless_the_config_says_it(
    file: Path, question: str, taken_for: str
) -> None:
    text = f'question,question_en\n"{question}",{ENGLISH}\n"1 + 1?",{ENGLISH}\n'
    with refused("data.rows_language", f"{file}, line 2"):
        csv_source(file, text, taken_for)
    assert csv_source(file, text, taken_for, rows_language=taken_for).counts == {taken_for: 2}


@pytest.mark.parametrize(("question", "taken_for"), [(ENGLISH, "en"), (SWAHILI, "sw")])
def test_questions_that_are_in_the_one_language_asked_for_are_taken(file: Path, question: str, taken_for: str) -> None:
    assert csv_source(file, f"question,question_en\n{question},{ENGLISH}\n", taken_for).counts == {taken_for: 1}


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("question_sw,question_de,question_en", {}),
        ("swahili,de,English", {}),
        ("p:swh_Latn,p:deu_Latn,p:en", {"question": "p:{language}"}),
    ],
)
def test_a_wide_table_has_a_column_for_each_language(file: Path, header: str, columns: dict[str, str]) -> None:
    text = f"id,{header},answer\n1,Moja?,Eins?,One?,1\n2,,Zwei?,Two?,2\n"
    source = csv_source(file, text, "sw", "de", "en", columns=columns)
    assert source.counts == {"sw": 1, "de": 2, "en": 2}
    problem = source.problem("de", 1)
    assert (problem.question, problem.question_en, problem.answer) == ("Zwei?", "Two?", "2")
    assert source.problem("sw", 0).item_id == source.problem("de", 0).item_id == source.problem("en", 0).item_id
    assert any("1 in sw" in note for note in source.notes)


def test_a_column_named_id_is_not_taken_for_indonesian(file: Path) -> None:
    with refused("question"):
        csv_source(file, "id,en\n1,One?\n", "sw")


def test_the_english_rows_of_a_long_table_are_the_english_questions(file: Path) -> None:
    text = "item_id,language,question\na,sw,Moja?\na,English,One?\nb,en,Two?\nb,sw,Mbili?\n"
    source = csv_source(file, text, "sw")
    assert [source.problem("sw", number).question_en for number in range(2)] == ["One?", "Two?"]
    with refused("question_en", f"{file}, line 6"):
        csv_source(file, text + "c,sw,Tatu?\n", "sw")


def test_english_is_needed_only_where_a_pivot_is_asked(file: Path) -> None:
    text = "question,answer\nMoja?,1\n"
    with refused("question_en", "translate"):
        csv_source(file, text, "sw")
    source = csv_source(file, text, "sw", needs_english=False)
    assert (source.problem("sw", 0).question_en, source.problem("sw", 0).answer) == ("", "1")


def test_a_misspelt_language_is_suggested_where_nothing_is_left(file: Path) -> None:
    with refused("languages", "swahilli", "'sw'"):
        csv_source(file, "language,question,question_en\nswahilli,x,y\n", "sw")


TWO_BAD = "question,question_en\nMoja?,One?\n,Two?\nTatu?,\n"


def test_bad_rows_are_refused_with_their_number_unless_they_may_be_left_out(file: Path) -> None:
    with refused("question", f"{file}, line 3", "1 more row", 'data.on_bad_item = "skip"'):
        csv_source(file, TWO_BAD, "sw")
    source = csv_source(file, TWO_BAD, "sw", on_bad_item="skip")
    assert source.counts == {"sw": 1}
    assert any("line 3" in note and "line 4" in note for note in source.notes)


def test_where_all_rows_are_bad_nothing_is_left_out(file: Path) -> None:
    with refused("question", f"{file}, line 2"):
        csv_source(file, "question,question_en\n,One?\n", "sw", on_bad_item="skip")


@pytest.mark.parametrize("row", [{"question": None}, {"question": math.nan}, {"question": {"text": "a"}}])
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_null_a_nan_and_a_nested_cell_are_refused_by_their_row(
    tmp_path: Path, row: dict[str, object], kind: Literal["jsonl", "json"]
) -> None:
    path = tmp_path / f"p.{kind}"
    all_rows = [{"question": "a", "question_en": "x"}, row | {"question_en": "y"}]
    path.write_text(json.dumps(all_rows) if kind == "json" else "\n".join(map(json.dumps, all_rows)), encoding="utf-8")
    with refused("question", "row 2" if kind == "json" else "line 2"):
        open_source(a_data_section(source=kind, path=str(path), languages=("sw",)), languages=("sw",), seed=1)


def test_numbers_of_parquet_that_became_floats_are_whole_again(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    columns = {"qid": [1.0, 2.0], "Swahili": ["Moja?", "Mbili?"], "question_en": ["One?", "Two?"], "blob": [b"x", b"y"]}
    pq.write_table(pa.table(columns | {"answer": [3.0, math.nan]}), path)
    config = a_data_section(
        source="parquet", path=str(path), languages=("sw",), columns={"item_id": "qid", "question": "Swahili"}
    )
    source = open_source(config, languages=("sw",), seed=1)
    assert [source.problem("sw", number).item_id for number in range(2)] == ["1", "2"]
    assert [source.problem("sw", number).answer for number in range(2)] == ["3", None]


def test_the_answer_behind_a_worked_solution_is_read(file: Path) -> None:
    source = csv_source(file, "question,answer\nMoja?,Kwanza 2 + 3 = 5. #### 5\n", "sw", needs_english=False)
    assert source.problem("sw", 0).answer == "5"


@pytest.mark.skipif(not MMATH.is_dir(), reason="MMATH is not beside the project (../shared/data/mmath)")
def test_a_real_file_of_another_form_is_read_as_its_refusal_says() -> None:
    keys = {"source": "json", "path": str(MMATH / "es.json"), "languages": ("es",)}
    with refused("language", 'data.columns.language = "lang"'):
        open_source(a_data_section(**keys), languages=("es",), seed=1, needs_english=False)
    config = a_data_section(**keys, columns={"language": "lang", "item_id": "gid"})
    source = open_source(config, languages=("es",), seed=1, needs_english=False)
    assert source.counts == {"es": 374}
    assert source.notes == ()
    assert (source.problem("es", 0).item_id, source.problem("es", 0).answer) == ("0", "204")
