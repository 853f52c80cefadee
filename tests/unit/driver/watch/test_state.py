"""Check what the live page is told of a run folder as it grows."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from driver.tracking.line_logs import Event, EventLog, MetricsLog
from driver.tracking.run_folder import RunFolder
from driver.watch.actors import LANE_STEPS
from driver.watch.curves import MOST_POINTS
from driver.watch.state import LONGEST_TEXT, WatchedRun
from tests.runs.report_folders import a_training_run

ACTORS = {
    "actor/policy-0/tokens_per_s": 40.0,
    "actor/policy-0/busy_share": 0.75,
    "actor/policy-0/waiting_share": 0.25,
    "actor/policy-0/queue": 6.0,
    "actor/policy-0/version": 3.0,
    "actor/policy-0/versions_behind": 0.0,
    "actor/policy-0/restarts": 1.0,
    "actor/policy-0/serving": 1.0,
    "actor/scorer-0/texts_per_s": 2.0,
    "memory/policy-0/own_gib": 1.5,
}


def log_steps(folder: Path, *steps: int, **metrics: float) -> None:
    log = MetricsLog(folder / "metrics.jsonl", clock=lambda: 1000.0 + 10 * steps[-1])
    for step in steps:
        log.append(step, {"reward/mean": step / 10, "timing_s/step": 8.0, "timing_s/learn": 2.0, **metrics})
    log.close()


def state(run: WatchedRun) -> dict[str, Any]:
    """Return the state as the page gets it."""
    return cast("dict[str, Any]", json.loads(json.dumps(run.state())))


def test_a_folder_without_a_step_has_a_state(tmp_path: Path) -> None:
    found = state(WatchedRun(RunFolder(tmp_path)))
    assert (found["step"], found["lanes"], found["actors"], found["curves"]) == (0, [], [], [])
    assert WatchedRun(RunFolder(tmp_path)).responses() == {"step": None, "languages": {}}


def test_steps_that_are_added_appear(tmp_path: Path) -> None:
    run = WatchedRun(RunFolder(tmp_path))
    log_steps(tmp_path, 1)
    assert state(run)["step"] == 1
    log_steps(tmp_path, 2)
    found = state(run)
    assert found["step"] == 2
    (reward,) = [picture for picture in found["curves"] if picture["title"] == "Reward"]
    assert [line["points"] for line in reward["lines"]] == [[[1, 0.1], [2, 0.2]]]
    assert found["stages"] == ["learn"]
    assert found["lanes"][-1] == {"step": 2, "start_s": 1012.0, "end_s": 1020.0, "busy_s": {"learn": 2.0}}


def test_a_run_that_goes_on_from_a_checkpoint_replaces_the_steps_after_it(tmp_path: Path) -> None:
    run = WatchedRun(RunFolder(tmp_path))
    log_steps(tmp_path, 1, 2, 3)
    assert state(run)["step"] == 3
    (tmp_path / "metrics.jsonl").unlink()
    log_steps(tmp_path, 1)
    found = state(run)
    assert found["step"] == 1
    assert [lane["step"] for lane in found["lanes"]] == [1]


def test_the_lanes_have_the_last_steps_only(tmp_path: Path) -> None:
    log_steps(tmp_path, *range(1, LANE_STEPS + 11))
    lanes = state(WatchedRun(RunFolder(tmp_path)))["lanes"]
    assert [lane["step"] for lane in lanes] == list(range(11, LANE_STEPS + 11))


def test_a_line_has_at_most_so_many_points_however_long_the_run_is(tmp_path: Path) -> None:
    log_steps(tmp_path, *range(1, 2 * MOST_POINTS + 2))
    found = state(WatchedRun(RunFolder(tmp_path)))
    (points,) = [line["points"] for picture in found["curves"] for line in picture["lines"]]
    assert len(points) == 201  # of three steps each, and one of the last step alone
    assert points[-1] == [2 * MOST_POINTS + 1, pytest.approx((2 * MOST_POINTS + 1) / 10)]


def test_actors_have_what_the_last_step_says_of_them(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append(1, {**ACTORS, "actor/policy-1/serving": 1.0})
    log.append(2, {**ACTORS, "actor/policy-0/tokens_per_s": 60.0})
    log.close()
    policy, scorer = state(WatchedRun(RunFolder(tmp_path)))["actors"]
    assert policy["rates"] == [[1, 40.0], [2, 60.0]]
    assert {name: policy[name] for name in ("name", "role", "rate", "unit", "busy", "queue", "memory_gib")} == {
        "name": "policy-0",
        "role": "policy",
        "rate": 60.0,
        "unit": "tokens/s",
        "busy": 0.75,
        "queue": 6.0,
        "memory_gib": 1.5,
    }
    assert (scorer["name"], scorer["unit"], scorer["version"], scorer["serving"]) == ("scorer-0", "texts/s", None, None)


def test_a_finished_run_has_evaluations_events_and_responses_of_its_last_step(tmp_path: Path) -> None:
    folder = a_training_run(tmp_path / "run")
    run = WatchedRun(RunFolder(folder))
    found = state(run)
    assert found["status"] == "finished"
    assert [moment["moment"] for moment in found["evaluations"]] == ["before", "step 2", "step 4", "after"]
    responses = cast("dict[str, Any]", run.responses())
    assert responses["step"] == 6
    assert list(responses["languages"]) == ["de", "ar"]
    assert responses["languages"]["de"]["responses"][0]["text"]


def test_the_last_events_come_first_and_all_are_counted(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for number in range(40):
        log.append(Event(kind="worker", reason=f"change {number}"))
    log.close()
    found = state(WatchedRun(RunFolder(tmp_path)))
    assert found["num_events"] == 40
    assert [event["reason"] for event in found["events"][:2]] == ["change 39", "change 38"]


def test_a_long_response_is_cut_and_lines_that_no_run_writes_are_counted(tmp_path: Path) -> None:
    folder = a_training_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write("nothing\n[1]\n")
    run = WatchedRun(RunFolder(folder))
    assert state(run)["num_unreadable"] == 2
    texts = [
        response["text"]
        for group in cast("dict[str, Any]", run.responses())["languages"].values()
        for response in group["responses"]
    ]
    assert max(map(len, texts)) <= LONGEST_TEXT + 2
