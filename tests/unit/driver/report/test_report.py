"""Test report.html: of a finished run, of one that is still going, of a damaged one; and that values are escaped."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from contracts.errors import BadInput
from driver.evaluation.results import EvaluationResult, Example, record_evaluation
from driver.report.curves import figure_groups
from driver.report.figures import smoothing_window, trailing_mean
from driver.report.run_page import status, verdict
from driver.report.run_record import read_run
from driver.report.task_sections import MEASURE_TITLES, TaskSection, task_sections
from driver.report.write import write_report
from driver.templates import render
from driver.tracking.line_logs import Event, EventLog, MetricsLog
from driver.tracking.samples_file import SamplesLog
from tests.builders import a_language_result, a_problem, a_rollout, a_score, a_scored_group

HOSTILE = '<script>alert("1")</script> & <b>17</b>'
CONFIG = """[data]
languages = ["ar"]

[policy]
model = "tiny"

[algorithm]
steps = 3
"""
METRICS = {
    "reward/mean": 0.5,
    "reward/answer/all": 0.5,
    "gate/format/ar": 0.75,
    "lang/ar/accuracy": 0.25,
    "lang/ar/response_length": 40.0,
    "group/used": 3.0,
    "group/dropped_no_signal": 1.0,
    "response_length/mean": 40.0,
    "policy/loss": 0.1,
    "policy/mismatch_kl": 0.001,
    "timing_s/generate": 2.0,
    "timing_s/learn": 1.0,
    "throughput/policy_tokens_per_s": 100.0,
}
CHANGING = ("reward/mean", "reward/answer/all", "group/used", "policy/mismatch_kl", "timing_s/generate")
TITLES = ("Reward", "Parts of the reward", "Groups", "Mismatch, KL", "Time per stage")


class Checker(HTMLParser):
    """Collect what a browser shows, and fail on a tag that is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def seen(report: Path) -> Checker:
    checker = Checker()
    checker.feed(report.read_text(encoding="utf-8"))
    checker.close()
    assert checker.open == []
    return checker


def add_steps(folder: Path, *steps: int) -> None:
    metrics, samples = MetricsLog(folder / "metrics.jsonl"), SamplesLog(folder / "samples.parquet")
    for step in steps:
        metrics.append(step, {**METRICS, **{name: step * METRICS[name] for name in CHANGING}})
        problem = a_problem("a", "ar", question=HOSTILE, answer="17")
        score = a_score(parts={"answer": 1.0}, gates={"language": False}, answer="17")
        group = a_scored_group(problem, [score], number=step, rollouts=[a_rollout(f"{HOSTILE} {step}")])
        samples.append(step, [group], learned_by={})
    metrics.close()


def evaluation(share: float, *, english: float = 0.8) -> EvaluationResult:
    example = Example(item_id="t", question=HOSTILE, gold="17", response=HOSTILE, is_correct=True, is_in_language=False)
    accuracies = {"en": english, "ar": share}
    return EvaluationResult(
        languages=tuple(a_language_result(code, found, examples=(example,)) for code, found in accuracies.items()),
        measured_on={"source": "test"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run that ended well."""
    run = tmp_path / "demo<run>"
    run.mkdir()
    (run / "config.toml").write_text(CONFIG, encoding="utf-8")
    (run / "summary.json").write_text('{"status": "finished"}', encoding="utf-8")
    add_steps(run, 1, 2, 3)
    SamplesLog(run / "samples.parquet").merge()
    record_evaluation(run / "evaluation.json", "before", evaluation(0.2))
    record_evaluation(run / "evaluation.json", "after", evaluation(0.5))
    events = EventLog(run / "events.jsonl")
    events.append(Event(kind="group_dropped", reason="no_signal", step=1, group_id="1/a/ar", detail=HOSTILE))
    events.close()
    return run


def test_a_whole_run_is_shown_with_its_pictures_tables_and_texts(folder: Path) -> None:
    report = write_report(folder)
    assert report == folder / "report.html"
    page = seen(report)
    text = " ".join(page.text)
    assert "3 of 3 steps done; finished." in text
    assert "Arabic" in text
    assert all(title in text for title in TITLES)
    assert page.tags.count("svg") >= len(TITLES)
    assert "Step 1, item a" in text
    assert "Step 3, item a" in text
    assert "no_signal" in text
    assert 'model = "tiny"' in text


def test_the_report_asks_for_nothing_outside_itself(folder: Path) -> None:
    page = seen(write_report(folder))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)


def test_what_models_and_data_wrote_is_shown_as_text_and_is_never_markup(folder: Path) -> None:
    report = write_report(folder)
    page = seen(report)
    assert HOSTILE in "".join(page.text)
    assert "<script" not in report.read_text(encoding="utf-8")
    assert "b" not in page.tags


def test_hostile_names_in_config_events_and_metrics_are_shown_as_text(folder: Path) -> None:
    language = '"><script>'
    (folder / "config.toml").write_text(
        f"[data]\nlanguages = ['{language}']\n[policy]\nmodel = '{HOSTILE}'\n", encoding="utf-8"
    )
    (folder / "summary.json").write_text(json.dumps({"status": HOSTILE, HOSTILE: HOSTILE}), encoding="utf-8")
    metrics = {f"lang/{language}/accuracy": 0.5, f"gate/{HOSTILE}/ar": 0.5, "policy/<script>": 0.5}
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"step": 4, "time": 0.0, "metrics": metrics}) + "\n")
    events = EventLog(folder / "events.jsonl")
    events.append(Event(kind=HOSTILE, reason=HOSTILE, detail=HOSTILE))
    events.close()
    page = seen(write_report(folder))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "".join(page.text).count(HOSTILE) > 6


def test_a_value_cannot_close_the_attribute_that_it_is_written_into(tmp_path: Path) -> None:
    template = tmp_path / "one.html.jinja"
    template.write_text('<div lang="{{ code }}">{{ svg }}</div>', encoding="utf-8")
    assert render(template, code='"><script>', svg=Markup("<svg/>")) == (
        '<div lang="&#34;&gt;&lt;script&gt;"><svg/></div>'
    )


def test_a_fact_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "one.html.jinja"
    template.write_text("{{ record.nothing }}", encoding="utf-8")
    with pytest.raises(UndefinedError):
        render(template, record=Event(kind="a", reason="b"))


def test_the_outcome_comes_first_and_says_what_changed(folder: Path) -> None:
    told = verdict(read_run(folder, sampled_at_each_end=1))
    assert [statement.tone for statement in told[:2]] == ["better", "better"]
    assert "20.0% before, 50.0% after" in told[0].text
    assert "narrowed from 60.0 to 30.0 points" in told[1].text


@pytest.mark.parametrize(("after", "tone"), [(0.25, ""), (0.02, "worse"), (0.2, "")])
def test_a_change_that_may_be_chance_is_no_gain(folder: Path, after: float, tone: str) -> None:
    record_evaluation(folder / "evaluation.json", "after", evaluation(after))
    assert verdict(read_run(folder, sampled_at_each_end=1))[0].tone == tone


def test_evaluations_between_steps_give_learning_curves_and_a_curve_of_the_gap(folder: Path) -> None:
    def sections() -> TaskSection:
        record = read_run(folder, sampled_at_each_end=1)
        (section,) = task_sections(record.evaluations, record.changes)
        return section

    assert (bool(sections().gap_picture), len(sections().curves)) == (True, 0)
    record_evaluation(folder / "evaluation.json", "step-2", evaluation(0.3))
    assert [curve.name for curve in sections().curves] == ["English", "Arabic"]


def test_none_right_has_an_interval(folder: Path) -> None:
    record_evaluation(folder / "evaluation.json", "after", evaluation(0.0))
    record = read_run(folder, sampled_at_each_end=1)
    (section,) = task_sections(record.evaluations, record.changes)
    arabic = next(row for row in section.rows if row.name == "Arabic")
    assert (arabic.cells[1].text, arabic.cells[1].interval) == ("0.0%", "0.0% to 3.7%")  # z^2 / (100 + z^2)


def test_a_failed_run_says_that_it_failed_and_why(folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps({"status": f"failed: {HOSTILE}"}), encoding="utf-8")
    record = read_run(folder, sampled_at_each_end=1)
    assert (status(record).kind, status(record).failure) == ("worse", HOSTILE)
    assert HOSTILE in verdict(record)[0].text
    assert HOSTILE in "".join(seen(write_report(folder)).text)


def test_a_run_that_learned_nothing_says_so_first_and_names_the_key(folder: Path) -> None:
    metrics = MetricsLog(folder / "metrics.jsonl")
    for step in (1, 2, 3):
        lost = {"group/dropped_unscored": 6.0, "response/unscored_reference_truncated": 24.0, "response/unscored": 24.0}
        metrics.append(step, {"group/used": 0.0, **lost})
    metrics.close()
    told = verdict(read_run(folder, sampled_at_each_end=1))
    assert (told[0].tone, "pivot.max_response_tokens" in told[0].text) == ("worse", True)
    assert not any("0.000" in statement.text for statement in told)


def test_numbers_that_never_change_are_listed_and_not_drawn(folder: Path) -> None:
    groups = figure_groups(read_run(folder, sampled_at_each_end=1))
    constants = {constant.title: dict(constant.values) for group in groups for constant in group.constants}
    assert constants["Gate: format"] == {"Arabic": 0.75}
    assert "Reward" not in constants
    drawn = {figure.title for group in groups for figure in group.figures}
    assert not drawn & set(constants)
    assert "Reward" in drawn


def test_pictures_take_their_colours_from_the_readers_scheme(folder: Path) -> None:
    picture = str(task_picture(folder))
    assert "var(--after)" in picture
    assert "var(--ink)" in picture or "var(--tick)" in picture
    assert "#ffffff" not in picture


def task_picture(folder: Path) -> str:
    record = read_run(folder, sampled_at_each_end=1)
    return task_sections(record.evaluations, record.changes)[0].picture


def test_a_run_that_is_still_going_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    add_steps(tmp_path, 1)
    text = " ".join(seen(write_report(tmp_path)).text)
    assert "1 of 3 steps done; no summary yet." in text
    assert "Nothing was evaluated yet." in text
    assert "Step 1, item a" in text  # samples that are not merged yet


def test_only_a_first_evaluation_is_shown_without_inventing_the_second(folder: Path) -> None:
    (folder / "evaluation.json").unlink()
    record_evaluation(folder / "evaluation.json", "before", evaluation(0.2))
    told = verdict(read_run(folder, sampled_at_each_end=1))[0]
    assert told.text.startswith("Before training")
    assert "English 80.0%" in told.text
    record = read_run(folder, sampled_at_each_end=1)
    (section,) = task_sections(record.evaluations, record.changes)
    assert (section.shown_moments, section.heads) == (("before",), tuple(MEASURE_TITLES.values()))


def test_an_empty_folder_still_gives_a_page(tmp_path: Path) -> None:
    text = " ".join(seen(write_report(tmp_path)).text)
    assert "Nothing has been measured yet." in text
    assert "There is no config.toml." in text


@pytest.mark.parametrize("file", ["config.toml", "metrics.jsonl", "evaluation.json", "samples.parquet", "summary.json"])
def test_a_damaged_file_is_named_and_the_rest_is_shown(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b'{"step": 1}\n')
    text = " ".join(seen(write_report(folder)).text)
    assert "demo<run>" in text
    if file != "summary.json":  # any JSON object will do there
        assert f"{file} could not be read" in text


def test_what_is_no_training_is_not_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "summary.json").write_text('{"data": "builtin", "items": 12}', encoding="utf-8")
    text = " ".join(seen(write_report(tmp_path)).text)
    assert "steps done" not in text
    assert "Nothing was evaluated yet." not in text
    assert "12" in text


def test_a_folder_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_report(tmp_path / "nothing")


def test_a_report_of_the_same_run_is_the_same_file(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_smoothing_averages_over_the_steps_before_and_starts_at_once() -> None:
    assert trailing_mean([1.0, 2.0, 6.0, 4.0], window=3) == [1.0, 1.5, 3.0, 4.0]
    assert [smoothing_window(num_steps) for num_steps in (5, 20, 25, 200)] == [1, 1, 3, 20]
