"""Test comparisons of evaluations, their tables, and what is refused."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from driver.evaluation.comparison import GAP, MEAN, as_csv, as_json, as_markdown, compare
from driver.evaluation.entries import Entry, entries_of
from driver.evaluation.judging import JudgedRow, write_rows
from driver.evaluation.measured import BOTH
from driver.evaluation.record import JSON, ModelResult, read_record, write_record
from driver.evaluation.results import EvaluationResult, record_evaluation
from driver.evaluation.summarise import summarise_task
from driver.evaluation.tables import COLUMNS, as_tables
from driver.evaluation.tables import as_csv as results_as_csv
from driver.evaluation.tables import as_latex as results_as_latex
from driver.evaluation.tables import as_markdown as results_as_markdown
from driver.language_names import language_title
from driver.outcome.changes import compare_moments
from tests.builders import a_judged_row
from tests.refusals import refused


def rows(
    num_correct: int, *, num: int = 40, languages: Sequence[str] = ("en", "de"), task: str = "mgsm-rev2"
) -> list[JudgedRow]:
    return [
        a_judged_row(str(item), language, is_correct=item < num_correct or language == "en", task=task)
        for language in languages
        for item in range(num)
    ]


def a_result(found: list[JudgedRow], *, skill: str = "arithmetic", **settings: str) -> EvaluationResult:
    measured_on = {"task": found[0].task, "skill": skill, "levels": "{}", "model": "m", **settings}
    return summarise_task(found, trained=("de",), weights={}, measured_on=measured_on)


def an_entry(name: str, found: list[JudgedRow], **settings: str) -> Entry:
    task = found[0].task
    return Entry(name=name, results={task: a_result(found, **settings)}, rows={task: found})


def test_differences_are_those_of_each_language_the_mean_and_the_gap() -> None:
    comparison = compare([an_entry("before", rows(10)), an_entry("after", rows(30))])
    found = {(line.over, line.measure): line for line in comparison.lines}
    german = found["German", "Acc"]
    assert (german.before, german.after, german.difference.value) == pytest.approx((0.25, 0.75, 0.5))
    assert german.is_clear
    assert found["English", "Acc"].difference.value == 0
    assert found["gap to English", "Acc"].difference.value == pytest.approx(-0.5)
    assert found["German", "LC&Acc"].difference.value == pytest.approx(0.5)
    assert comparison.notes == ()


def test_the_interval_is_that_of_the_report_and_the_bootstrap_stands_beside_it() -> None:
    """None of 16 right twice: no resampled difference, but the truth may be a fifth on either side (Newcombe)."""
    none_right = rows(0, num=16, languages=("de",))
    (line,) = [
        line
        for line in compare([an_entry("before", none_right), an_entry("after", none_right)]).lines
        if line.measure == "Acc"
    ]
    assert (line.difference.low, line.difference.high) == pytest.approx((-0.19361, 0.19361), abs=1e-5)
    assert (line.bootstrap.low, line.bootstrap.high) == (0.0, 0.0)


@pytest.mark.parametrize("num_right", [(0, 3), (2, 9), (10, 10)])
def test_a_training_run_has_the_same_differences_in_its_report_and_in_a_comparison(num_right: tuple[int, int]) -> None:
    languages = ("en", "de", "th")
    sides = [rows(num, num=10, languages=languages) for num in num_right]
    results = {moment: a_result(found) for moment, found in zip(("before", "after"), sides, strict=True)}
    (report,) = compare_moments(results, dict(zip(("before", "after"), sides, strict=True)))
    lines = compare([an_entry(moment, found) for moment, found in zip(("before", "after"), sides, strict=True)]).lines
    found = {line.over: line.difference for line in lines if line.measure == "LC&Acc"}
    shown = [(language_title(one.code), one.changes) for one in report.languages]
    shown += [(MEAN, report.mean), (GAP, report.gap)]
    assert found == {name: changes[BOTH].difference for name, changes in shown}


def test_an_average_that_one_evaluation_did_not_measure_is_left_out() -> None:
    languages = ("de", "th")
    before = rows(3, num=10, languages=languages)
    after = [replace(row, is_in_language=None) if row.language == "th" else row for row in before]
    lines = compare([an_entry("before", before), an_entry("after", after)]).lines
    assert {line.over for line in lines if line.measure == "LC&Acc"} == {"German"}
    assert {line.over for line in lines if line.measure == "Acc"} == {"German", "Thai", MEAN}


def test_english_and_other_kinds_of_skill_are_a_block_of_their_own() -> None:
    before = an_entry("before", rows(10, task="xcopa", languages=("de",)), skill="commonsense")
    after = an_entry("after", rows(10, task="xcopa", languages=("de",)), skill="commonsense")
    assert all(line.is_retention for line in compare([before, after]).lines)
    trained = compare([an_entry("before", rows(10)), an_entry("after", rows(30))])
    assert {line.over for line in trained.lines if line.is_retention} == {"English"}
    text = as_markdown(trained)
    assert text.index("## Trained skills") < text.index("## Retention")
    assert "+50.0" in text


def test_other_items_are_refused() -> None:
    with refused("RUN", "mgsm-rev2", "'en'", "10 differ"):
        compare([an_entry("before", rows(10)), an_entry("after", rows(10, num=30))])


def test_evaluations_without_a_common_task_are_refused() -> None:
    with refused("RUN", "mgsm-rev2", "xcopa"):
        compare([an_entry("before", rows(10)), an_entry("after", rows(10, task="xcopa"))])


def test_one_evaluation_alone_is_refused() -> None:
    with refused("RUN"):
        compare([an_entry("before", rows(10))])


def test_other_settings_are_said() -> None:
    notes = compare([an_entry("a", rows(1), shots="0"), an_entry("b", rows(1), shots="8")]).notes
    assert len(notes) == 1
    assert "shots" in notes[0]


def test_every_line_is_in_the_csv_and_in_the_json() -> None:
    comparison = compare([an_entry("before", rows(10)), an_entry("after", rows(30))])
    written = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert len(written) == len(comparison.lines) == len(json.loads(as_json(comparison))["lines"])
    assert (written[1]["over"], written[1]["before"], written[1]["difference"]) == ("German", "25.0", "+50.0")


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_training_run_has_its_moments_in_order(tmp_path: Path) -> None:
    (tmp_path / "evaluations").mkdir()
    for moment, num in (("after", 30), ("before", 10), ("step-10", 25), ("step-9", 20)):
        record_evaluation(tmp_path / "evaluation.json", moment, a_result(rows(num)))
        write_rows(tmp_path / "evaluations" / f"{moment}.parquet", rows(num))
    entries = entries_of([tmp_path])
    assert [entry.name for entry in entries] == [
        f"{tmp_path.name} {moment}" for moment in ("before", "step-9", "step-10", "after")
    ]
    assert len(compare(entries).lines) == 3 * 3 * 2


def test_a_folder_of_evaluate_has_its_models(tmp_path: Path) -> None:
    (tmp_path / "evaluations").mkdir()
    models = {name: ModelResult(name=name, digest="d", result=a_result(rows(10))) for name in ("own/a", "b")}
    write_record(tmp_path, models)
    for slug in ("own-a", "b"):
        write_rows(tmp_path / "evaluations" / f"{slug}.parquet", rows(10))
    assert read_record(tmp_path) == models
    assert [entry.name for entry in entries_of([tmp_path])] == ["own/a", "b"]


def a_folder_of_evaluate(folder: Path, name: str, found: list[JudgedRow]) -> Path:
    (folder / "evaluations").mkdir(parents=True)
    write_record(folder, {name: ModelResult(name=name, digest="d", result=a_result(found))})
    write_rows(folder / "evaluations" / f"{name}.parquet", found)
    return folder


def test_one_model_in_two_folders_is_told_apart_by_their_names(tmp_path: Path) -> None:
    folders = [a_folder_of_evaluate(tmp_path / name, "m", rows(10)) for name in ("greedy", "sampled")]
    assert [entry.name for entry in entries_of(folders)] == ["greedy: m", "sampled: m"]


def test_a_folder_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    folder = a_folder_of_evaluate(tmp_path / "greedy", "m", rows(10))
    with refused("RUN", "greedy: m"):
        entries_of([folder, folder])


def test_responses_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    folder = a_folder_of_evaluate(tmp_path / "one", "m", rows(10))
    write_rows(folder / "evaluations" / "m.parquet", rows(10, task="xcopa"))
    with refused("m.parquet", "mgsm-rev2"):
        entries_of([folder])


def test_a_folder_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    with refused("RUN", str(tmp_path)):
        entries_of([tmp_path])


def test_an_evaluation_whose_responses_are_gone_is_refused(tmp_path: Path) -> None:
    record_evaluation(tmp_path / "evaluation.json", "before", a_result(rows(1)))
    with refused("before.parquet", str(tmp_path)):
        entries_of([tmp_path])


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / JSON).write_text('{"a": 1}', encoding="utf-8")
    with refused(JSON, str(tmp_path)):
        read_record(tmp_path)


# --- tables of results -----------------------------------------------------------------------------------------------

RESULTS = {"own_model": [a_result(rows(10))]}


def test_the_csv_has_a_row_for_each_language_and_each_average() -> None:
    written = list(csv.reader(io.StringIO(results_as_csv(RESULTS))))
    assert tuple(written[0]) == COLUMNS
    assert [row[2] for row in written[1:]] == [
        *("English", "German", "mean: seen", "mean: all", "gap to English"),
    ]
    german = dict(zip(COLUMNS, written[2], strict=True))
    assert (german["items"], german["Acc"], german["LC"], german["LC&Acc"]) == ("40", "25.0", "100.0", "25.0")
    assert german["Acc s.e."] == f"{100 * (0.25 * 0.75 / 40) ** 0.5:.1f}"


def test_every_row_of_the_markdown_has_all_columns() -> None:
    lines = results_as_markdown(RESULTS).splitlines()
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}


def test_the_latex_has_a_line_for_each_row_and_no_raw_signs() -> None:
    text = results_as_latex(RESULTS)
    assert r"own\_model" in text
    body = text.split(r"\midrule")
    assert body[1].count(r"\\") == 2  # languages
    assert r"LC\&Acc" in text
    assert text.count("&") - text.count(r"\&") == 1 + 3 + 5 * 3


def test_the_terminal_has_every_row() -> None:
    (table,) = as_tables(RESULTS)
    assert table.row_count == 5


def test_every_number_of_the_terminal_is_under_its_own_head() -> None:
    (table,) = as_tables(RESULTS)
    german = {str(column.header): list(column.cells)[1] for column in table.columns}
    assert (german["language"], german["items"], german["right"]) == ("German", "40", "25.0")
    assert german["95% interval"] == "14.2 to 40.2"  # Wilson's, of 10 of 40
    assert (german["in language"], german["both"], german["declared"], german["cut off"]) == (
        "100.0",
        "25.0",
        "100.0",
        "0.0",
    )
    assert german["tokens"] == "3"


def averages(*languages: str, trained: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found = summarise_task(rows(10, languages=languages), trained=trained, weights={}, measured_on={"task": "t"})
    return {average.name: average.languages for average in found.averages}


def test_averages_leave_english_out_and_tell_trained_languages_and_scripts_apart() -> None:
    assert averages("en", "de", "fr", "th", trained=("de", "th")) == {
        "seen": ("de", "th"),
        "unseen": ("fr",),
        "all": ("de", "fr", "th"),
        "Latin": ("de", "fr"),
        "Thai": ("th",),
        "gap": ("en", "de", "fr", "th"),
    }


def test_without_a_known_training_there_are_no_seen_languages() -> None:
    assert averages("de", "fr", trained=()) == {"all": ("de", "fr")}
