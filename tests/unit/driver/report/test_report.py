"""Test report.html: of a finished run, of one that is still going, of a damaged one; and that values are escaped."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from contracts.errors import BadInput
from driver.evaluation.results import EvaluationResult, Example, record_evaluation
from driver.report.figures import smoothing_window, trailing_mean
from driver.report.results import verdict
from driver.report.run_record import read_run
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
    "policy/mismatch_kl": 0.001,
    "timing_s/generate": 2.0,
    "timing_s/learn": 1.0,
    "throughput/policy_tokens_per_s": 100.0,
}
TITLES = ("Reward", "Parts of the reward", "Gate: format", "Mismatch, KL", "Time per stage", "Throughput per stage")


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
        metrics.append(step, METRICS)
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


def test_the_verdict_says_what_changed_and_whether_it_is_clear(folder: Path) -> None:
    # sqrt(0.2 * 0.8 / 100) = 0.04 and sqrt(0.5 * 0.5 / 100) = 0.05: together sqrt(0.0041) = 6.4 points.
    assert verdict(read_run(folder, sampled_at_each_end=1)) == (
        "Right answers in the asked language, mean over the languages other than English: 20.0% before, 50.0% after "
        "(+30.0 points, standard error 6.4): a clear gain. The gap to English went from 60.0 to 30.0 points."
    )


@pytest.mark.parametrize(
    ("after", "judged"), [(0.25, "no clear change"), (0.02, "a clear loss"), (0.2, "no clear change")]
)
def test_a_change_within_two_standard_errors_is_no_gain(folder: Path, after: float, judged: str) -> None:
    record_evaluation(folder / "evaluation.json", "after", evaluation(after))
    assert f": {judged}." in verdict(read_run(folder, sampled_at_each_end=1))


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
    assert verdict(read_run(folder, sampled_at_each_end=1)).startswith(
        "Before training: 80.0% in English and 20.0% in the other languages on average"
    )
    assert "a clear gain" not in " ".join(seen(write_report(folder)).text)


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


def test_a_folder_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_report(tmp_path / "nothing")


def test_a_report_of_the_same_run_is_the_same_file(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_smoothing_averages_over_the_steps_before_and_starts_at_once() -> None:
    assert trailing_mean([1.0, 2.0, 6.0, 4.0], window=3) == [1.0, 1.5, 3.0, 4.0]
    assert [smoothing_window(num_steps) for num_steps in (5, 20, 25, 200)] == [1, 1, 3, 20]
