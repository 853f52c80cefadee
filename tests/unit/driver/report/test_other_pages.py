"""Test the pages of an evaluation and of a comparison: they speak of what they are, and of every model and task."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from driver.evaluation.comparison import compare
from driver.evaluation.entries import Entry, entries_of
from driver.evaluation.record import write_record
from driver.report.comparison_page import comparison_html
from driver.report.evaluate_page import evaluate_facts
from driver.report.run_record import read_run
from driver.report.write import write_report
from tests.runs.report_folders import a_result, a_training_run, an_evaluation, rows


class Page(HTMLParser):
    """Collect the texts of a page, and those that are coloured as good."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.better: list[str] = []
        self._kind = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._kind = dict(attrs).get("class") or ""

    def handle_data(self, data: str) -> None:
        if found := " ".join(data.split()):
            self.texts.append(found)
            if self._kind == "better":
                self.better.append(found)

    def place(self, text: str) -> int:
        return self.texts.index(text)


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    return an_evaluation(tmp_path / "evaluated")


def test_an_evaluation_is_told_by_model_and_task_and_never_as_training(evaluated: Path) -> None:
    page = Page(write_report(evaluated).read_text(encoding="utf-8"))
    assert not any("steps done" in text or "training" in text.lower() for text in page.texts[: page.place("The run")])
    assert {"some-org/first: mgsm-rev2", "some-org/first: xcopa"} <= set(page.texts)
    assert {"7.50", "0.900"} <= set(page.texts)  # perplexity, and bits for each byte
    assert not {"script", "link", "img"} & page.tags


def test_an_evaluation_that_is_still_going_is_one_all_the_same(evaluated: Path) -> None:
    write_record(evaluated, {})
    page = Page(write_report(evaluated).read_text(encoding="utf-8"))
    assert "An evaluation of 0 models on 0 tasks." in page.texts
    assert not any("steps done" in text for text in page.texts)


def test_no_right_answer_of_a_model_has_an_interval(evaluated: Path) -> None:
    facts = evaluate_facts(read_run(evaluated, sampled_at_each_end=1).models or {})
    models = facts["models"]
    assert isinstance(models, list)
    spanish = next(row for row in models[0].tasks[0].rows if row.name == "Spanish")
    # The upper limit at 0 of 40 is z^2 / (40 + z^2) = 3.8415 / 43.8415.
    assert (spanish.cells[0].text, spanish.cells[0].interval) == ("0.0%", "0.0% to 8.8%")


def test_a_table_has_the_mean_of_a_script_only_where_several_languages_have_it(evaluated: Path) -> None:
    facts = evaluate_facts(read_run(evaluated, sampled_at_each_end=1).models or {})
    models = facts["models"]
    assert isinstance(models, list)
    names = [row.name for row in models[0].tasks[0].rows if row.is_total]
    assert [name for name in names if "scripts" in name] == ["Mean of Latin scripts", "Mean of Brahmic scripts"]


@pytest.mark.slow
def test_a_comparison_shows_what_was_gained_before_what_was_kept(tmp_path: Path) -> None:
    page = Page(comparison_html(compare(entries_of([a_training_run(tmp_path / "run")]))))
    assert page.place("Trained skills") < page.place("mgsm-rev2, Acc") < page.place("Retention")
    assert page.place("Retention") < page.place("xcopa, Acc")
    assert "Variety of responses" in page.texts
    assert not {"script", "link", "img"} & page.tags


def test_a_gap_that_narrows_is_good(tmp_path: Path) -> None:
    def entry(name: str, num_right: dict[str, int]) -> Entry:
        found = rows(num_right, task="mgsm")
        return Entry(name=name, results={"mgsm": a_result(found)}, rows={"mgsm": found})

    page = Page(comparison_html(compare([entry("one", {"en": 30, "de": 5}), entry("two", {"en": 30, "de": 25})])))
    assert {"+50.0", "−50.0"} <= set(page.better)  # German's accuracy, and the gap
