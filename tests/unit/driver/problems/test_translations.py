"""Test the column `translation`: read from every format, given by the built-in set, and refused if it is wrong."""

import json
from pathlib import Path
from typing import Literal

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.config.data import BuiltinData
from driver.problems.builtin.generate import builtin_items
from driver.problems.sources import ProblemSource, open_source
from rewards.answers.final import final_answer
from tests.builders import a_data_section
from tests.refusals import refused

ROWS = [
    {"item_id": "a", "language": "de", "question": "Wie viele?", "question_en": "How many?", "translation": "Drei."},
    {"item_id": "b", "language": "de", "question": "Wie teuer?", "question_en": "What price?", "translation": None},
]


def open_rows(
    rows: list[dict[str, object]],
    path: Path,
    source: Literal["jsonl", "parquet", "huggingface"] = "jsonl",
    *,
    language: str = "de",
) -> ProblemSource:
    match source:
        case "jsonl":
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case "huggingface":
            datasets.Dataset.from_list(rows).save_to_disk(path)
    config = a_data_section(source=source, path=str(path), languages=(language,))
    return open_source(config, languages=(language,), seed=1)


@pytest.mark.parametrize("source", ["jsonl", "parquet", "huggingface"])
def test_a_translation_is_read_where_there_is_one(
    source: Literal["jsonl", "parquet", "huggingface"], tmp_path: Path
) -> None:
    opened = open_rows([dict(row) for row in ROWS], tmp_path / "problems", source)
    assert [opened.problem("de", position).translation for position in range(2)] == ["Drei.", None]


def test_english_that_is_borrowed_from_another_languages_row_has_no_translation(tmp_path: Path) -> None:
    source = open_rows([dict(row) for row in ROWS], tmp_path / "rows.jsonl", language="en")
    assert source.problem("en", 0).question == "How many?"
    assert source.problem("en", 0).translation is None


@pytest.mark.parametrize(("translation", "named"), [(3, "is 3"), ("\ud800", "surrogate")])
def test_a_translation_that_is_no_text_is_refused_by_its_column_and_line(
    translation: object, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROWS[0], "translation": translation}) + "\n", encoding="utf-8")
    with refused("translation", "line 1:", named):
        open_source(a_data_section(source="jsonl", path=str(path), languages=("de",)), languages=("de",), seed=1)


@pytest.mark.parametrize("nothing", ["", " "])
def test_an_empty_translation_is_none(nothing: str, tmp_path: Path) -> None:
    opened = open_rows([{**ROWS[0], "translation": nothing}], tmp_path / "rows.jsonl")
    assert opened.problem("de", 0).translation is None


def test_changed_translations_are_other_problems(tmp_path: Path) -> None:
    one = open_rows([dict(ROWS[0])], tmp_path / "one.jsonl")
    other = open_rows([{**ROWS[0], "translation": "Vier."}], tmp_path / "other.jsonl")
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("language", ["de", "sw", "th", "en"])
def test_the_built_in_set_gives_its_own_worked_solution_with_the_declared_answer(language: str) -> None:
    config = BuiltinData(languages=(language,), num_items=5)
    source = open_source(config, languages=(language,), seed=1)
    items = list(builtin_items(seed=1, split="train", num_items=5))
    for position, item in enumerate(items):
        problem = source.problem(language, position)
        assert problem.translation is not None
        assert problem.translation.startswith(item.text(language).solution + "\n")
        assert final_answer(problem.translation, language) == problem.answer
