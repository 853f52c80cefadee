"""Check that the files of a continued run have every step once."""

from pathlib import Path

import pytest

from contracts.rollouts import ScoredGroup
from driver.tracking.line_logs import (
    Event,
    EventLog,
    JsonLines,
    MetricsLog,
    cut_events,
    cut_metrics,
    read_events,
    read_lines,
    read_metrics,
    replace_lines,
)
from driver.tracking.samples_file import SamplesLog, cut_samples, read_samples, sampled_steps
from tests.builders import a_problem, a_rollout, a_score, a_scored_group


def group(step: int, text: str) -> ScoredGroup:
    return a_scored_group(a_problem("a", "th"), [a_score()], number=step, rollouts=[a_rollout(text)])


def texts(path: Path) -> list[tuple[object, object]]:
    return [(row["step"], row["response"]) for row in read_samples(path, steps=range(100))]


def test_later_steps_leave_the_metrics_and_none_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, clock=lambda: 1.5)
    for step, value in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25), (3, float("nan")), (4, 0.4)):
        log.append(step, {"reward/mean": value})
    log.close()
    cut_metrics(path, after_step=3)
    assert list(read_lines(path)) == [
        {"step": 1, "time": 1.5, "metrics": {"reward/mean": 0.1}},
        {"step": 2, "time": 1.5, "metrics": {"reward/mean": 0.25}},
        {"step": 3, "time": 1.5, "metrics": {"reward/mean": None}},
    ]
    cut_metrics(path, after_step=0)
    assert read_metrics(path) == []


def test_events_of_later_steps_go_and_the_runs_own_stay(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 1.0)
    for event in (
        Event(kind="group_dropped", reason="no_signal", step=1, group_id="1/a/de"),
        Event(kind="group_dropped", reason="no_signal", step=2, group_id="2/a/de"),
        Event(kind="run_failed", reason="RunFailed: policy-0 died"),
    ):
        log.append(event)
    log.close()
    cut_events(path, after_step=1)
    assert [(event.kind, event.step, event.time) for event in read_events(path)] == [
        ("group_dropped", 1, 1.0),
        ("run_failed", None, 1.0),
    ]


def test_a_cut_takes_a_line_that_a_kill_tore_inside_a_character_with_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 1.0)
    log.append(Event(kind="note", reason="ไทย"))
    log.close()
    path.write_bytes(path.read_bytes() + '{"kind": "note", "reason": "ไทย'.encode()[:-1])
    cut_events(path, after_step=1)
    assert [event.reason for event in read_events(path)] == ["ไทย"]
    assert path.read_bytes().endswith(b"}\n")


def test_a_record_that_was_never_begun_stays_so(tmp_path: Path) -> None:
    for cut in (cut_metrics, cut_events, cut_samples):
        cut(tmp_path / "nothing", after_step=3)
    assert list(tmp_path.iterdir()) == []


def test_replacing_lines_leaves_nothing_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    (tmp_path / "lines.jsonl.writing").write_text('{"left": "by a kill"}\n', encoding="utf-8")
    lines = JsonLines(path)
    lines.append({"a": 1})
    lines.close()
    replace_lines(path, [{"a": 2}])
    assert list(read_lines(path)) == [{"a": 2}]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("merges_after", [0, 2, 4])
def test_later_steps_leave_the_samples_merged_or_not(tmp_path: Path, merges_after: int) -> None:
    path = tmp_path / "samples.parquet"
    log = SamplesLog(path)
    for step in (1, 2, 3, 4):
        log.append(step, [group(step, f"first {step}")], learned_by={})
        if step == merges_after:
            log.merge()
    cut_samples(path, after_step=2)
    assert texts(path) == [(1, "first 1"), (2, "first 2")]
    again = SamplesLog(path)
    again.append(3, [group(3, "again 3")], learned_by={})
    again.merge()
    assert texts(path) == [(1, "first 1"), (2, "first 2"), (3, "again 3")]


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_run_that_starts_again_keeps_no_sample(tmp_path: Path, is_merged: bool) -> None:
    path = tmp_path / "samples.parquet"
    log = SamplesLog(path)
    log.append(1, [group(1, "one")], learned_by={})
    if is_merged:
        log.merge()
    cut_samples(path, after_step=0)
    assert sampled_steps(path) == []
    assert not path.exists()
