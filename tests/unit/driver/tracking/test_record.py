"""Check what of a finished step is written to which file, and how a run is summarised."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from actors.fleets.readings import ActorReading
from actors.remote.memory import ProcessMemory
from contracts.batches import PushResult, StepResult
from contracts.errors import RunFailed
from contracts.rollouts import DroppedGroup, Problem, Score, ScoredGroup, Unscored
from driver.evaluation.results import EvaluationResult, record_evaluation
from driver.references.store import ReferenceCounts
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console
from driver.tracking.line_logs import MetricsLog, read_events, read_metrics
from driver.tracking.recorder import FLEET_METRICS, RunRecorder
from driver.tracking.run_folder import RunFolder
from driver.tracking.samples_file import read_samples
from driver.tracking.step_record import SkippedStep, StepRecord, Update
from driver.tracking.summary import summarise, thirds
from tests.builders import a_language_result, a_problem, a_score, a_scored_group


def a_group(problem: Problem, *scores: Score | Unscored, step: int = 1) -> ScoredGroup:
    return a_scored_group(problem, scores, number=step, versions=(0, 0))


def a_step(step: int, groups: list[ScoredGroup | DroppedGroup], dropped: list[DroppedGroup]) -> StepRecord:
    learned = len(groups) > len(dropped)
    lost = {group.group_id for group in dropped}
    return StepRecord(
        step=step,
        policy_version=step - 1,
        groups=groups,
        dropped=dropped,
        learned=[
            group.group.group_id
            for group in groups
            if isinstance(group, ScoredGroup) and group.group.group_id not in lost
        ],
        num_samples=2 if learned else 0,
        update=Update(
            step=StepResult(metrics={"policy/loss": 0.25, "packing/efficiency": 0.75}, num_tokens=10, seconds=2.0),
            push=PushResult(policy_version=step, num_tensors=1, num_bytes=8, seconds=0.5),
        )
        if learned
        else None,
        references=ReferenceCounts(asked=4, cached=3, requests=1, tokens=6),
        stage_seconds={"generate": 3.0, "pivot": 2.0},
        scorer={"scorer/retries": 1.0},
    )


def drop(group: ScoredGroup, reason: str) -> DroppedGroup:
    return DroppedGroup(group_id=group.group.group_id, problem=group.group.problem, reason=reason, detail="why")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def recorder(
    folder: RunFolder, *, said: io.StringIO | None = None, watch: ConsistencyWatch | None = None
) -> RunRecorder:
    console = Console(Terminal(file=said or io.StringIO(), width=200))
    console.start_steps(3)
    return RunRecorder(folder, console, watch=watch or ConsistencyWatch(floor=0, steps=1))


def test_a_step_reaches_metrics_events_and_samples(folder: RunFolder) -> None:
    good, dull = a_group(a_problem("good"), a_score(0.2), a_score(0.6)), a_group(a_problem("dull"), a_score(0.5))
    log = recorder(folder)
    log.begin(1)
    log.record(
        replace(a_step(1, [good, dull], [drop(dull, "no_signal")]), policy_version=4, metrics={"queue/ready": 3.0})
    )
    log.close()
    (step,) = read_metrics(folder.metrics)
    assert step.step == 1
    assert step.metrics["group/used"] == 1
    assert step.metrics["group/dropped_no_signal"] == 1
    assert step.metrics["reward/mean"] == pytest.approx((0.2 + 0.6 + 0.5) / 3)
    assert step.metrics["pivot/requests"] == 1
    assert step.metrics["pivot/cache_hit_rate"] == 0.75  # 3 of 4
    assert step.metrics["throughput/pivot_tokens_per_s"] == 3  # 6 tokens in 2 s
    assert step.metrics["packing/efficiency"] == 0.75
    assert step.metrics["scorer/retries"] == 1
    assert step.metrics["queue/ready"] == 3
    assert step.metrics["staleness/max"] == 4  # of the good group: version 4 learns from tokens of version 0
    assert step.metrics["policy/loss"] == 0.25
    (event,) = read_events(folder.events)
    assert (event.kind, event.step, event.group_id) == ("group_dropped", 1, dull.group.group_id)
    assert (event.reason, event.detail) == ("no_signal", "why")
    rows = read_samples(folder.samples, steps=[1])
    assert [(row["group_id"], row["learned"], row["learner_version"]) for row in rows] == [
        (good.group.group_id, True, 4),
        (good.group.group_id, True, 4),
        (dull.group.group_id, False, None),
    ]


def test_actors_and_the_disk_are_measured_at_each_step_and_sinks_get_what_was_written(folder: RunFolder) -> None:
    class Kept:
        def __init__(self) -> None:
            self.steps: list[tuple[int, dict[str, float]]] = []
            self.is_closed = False

        def step(self, step: int, metrics: Mapping[str, float]) -> None:
            self.steps.append((step, dict(metrics)))

        def cut_back(self, step: int) -> None:
            self.steps = [done for done in self.steps if done[0] <= step]

        def close(self) -> None:
            self.is_closed = True

    sink, log = Kept(), recorder(folder)
    waiting = ActorReading(name="scorer-0", role="scorer", is_serving=True, num_restarts=1, progress=None, queue=4)
    log.attach(lambda: [waiting], sink)
    log.begin(1)
    log.record(a_step(1, [a_group(a_problem("good"), a_score(0.2), a_score(0.6))], []))
    log.close()
    (written,) = read_metrics(folder.metrics)
    assert written.metrics["actor/scorer-0/queue"] == 4
    assert written.metrics["actor/scorer-0/restarts"] == 1
    assert written.metrics["disk/free_gib"] > 0
    assert sink.steps == [(1, written.metrics)]
    assert sink.is_closed


def test_a_sink_is_told_that_steps_are_done_again(folder: RunFolder) -> None:
    class Kept:
        def __init__(self) -> None:
            self.heard: list[tuple[str, int]] = []

        def step(self, step: int, metrics: Mapping[str, float]) -> None:
            self.heard.append(("step", step))

        def cut_back(self, step: int) -> None:
            self.heard.append(("cut_back", step))

        def close(self) -> None:
            self.heard.append(("close", 0))

    sink, log = Kept(), recorder(folder)
    log.attach(lambda: [], sink)
    for step in (1, 2):
        log.begin(step)
        log.record(a_step(step, [a_group(a_problem(f"item {step}"), a_score(0.2), a_score(0.6), step=step)], []))
    log.cut_back(1)
    log.close()
    assert sink.heard == [("step", 1), ("step", 2), ("cut_back", 1), ("close", 0)]


def test_the_most_memory_of_every_process_so_far_is_a_metric_of_each_step(folder: RunFolder) -> None:
    log = recorder(folder)
    gib = 2**30
    for own, peak in ((2, 3), (1, 4)):
        log.memory_seen("policy-0", ProcessMemory(own=own * gib, peak=peak * gib, gpu=0))
    log.memory_seen("learner-0", ProcessMemory(own=gib, peak=gib, gpu=60 * gib))
    group = a_group(a_problem("item"), a_score(0.2), a_score(0.6), step=1)
    log.record(a_step(1, [group], []))
    log.close()
    (step,) = read_metrics(folder.metrics)
    assert (step.metrics["memory/policy-0/own_gib"], step.metrics["memory/policy-0/peak_gib"]) == (2, 4)
    assert step.metrics["memory/learner-0/gpu_gib"] == 60
    assert "memory/policy-0/gpu_gib" not in step.metrics
    assert 0.05 < step.metrics["memory/driver/own_gib"] <= step.metrics["memory/driver/peak_gib"]


def test_slow_workers_and_second_tries_are_counted_in_their_step_and_only_lost_workers_are_printed(
    folder: RunFolder,
) -> None:
    said = io.StringIO()
    log = recorder(folder, said=said)
    log.begin(1)
    log.worker_changed("slow_worker", "policy-1", "it is slow")
    log.worker_changed("worker", "policy-1: ready -> dead", "it is slow, and dead")
    for _ in range(2):
        log.worker_changed("second_try", "scorer", "it waits")
    for step in (1, 2):
        group = a_group(a_problem(f"item {step}"), a_score(0.2), a_score(0.6), step=step)
        log.record(a_step(step, [group], []))
    log.close()
    counted = [[step.metrics[name] for name in FLEET_METRICS.values()] for step in read_metrics(folder.metrics)]
    assert counted == [[1, 2], [0, 0]]
    kinds = [event.kind for event in read_events(folder.events)]
    assert kinds == ["slow_worker", "worker", "second_try", "second_try"]
    assert said.getvalue().count("it is slow") == 1 and "it waits" not in said.getvalue()


def test_steps_that_are_done_again_are_cut_from_all_files_and_what_is_of_no_step_stays(folder: RunFolder) -> None:
    """A group that was dropped at step 2 may be learned from when step 2 is done again."""
    good, dull = a_group(a_problem("good"), a_score(0.2), a_score(0.6)), a_group(a_problem("dull"), a_score(0.5))
    log = recorder(folder)
    for step in (1, 2, 3):
        log.begin(step)
        log.record(a_step(step, [good, dull], [drop(dull, "no_signal")]))
    log.event("learner_lost", "learner-0 died")
    log.cut_back(1)
    assert [step.step for step in read_metrics(folder.metrics)] == [1]
    assert {row["step"] for row in read_samples(folder.samples, steps=range(9))} == {1}
    assert [(event.kind, event.step) for event in read_events(folder.events)] == [
        ("group_dropped", 1),
        ("learner_lost", None),
    ]
    log.begin(2)
    log.record(a_step(2, [good, dull], []))
    log.dropped([drop(dull, "run_ended")], step=3)
    log.close()
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2]
    assert {row["step"] for row in read_samples(folder.samples, steps=range(9))} == {1, 2}
    assert [(event.kind, event.reason, event.step) for event in read_events(folder.events)][-1] == (
        "group_dropped",
        "run_ended",
        3,
    )


def test_skipped_optimiser_steps_are_written_down_with_their_groups(folder: RunFolder) -> None:
    group = a_group(a_problem("a"), a_score(0.2), a_score(0.6))
    step = a_step(1, [group], [])
    assert step.update is not None
    skipped = SkippedStep(optimizer_step=4, group_ids=("0/a/de", "1/b/th"))
    log = recorder(folder)
    log.begin(1)
    log.record(replace(step, update=replace(step.update, push=None, skipped=(skipped,))))
    log.close()
    (event,) = read_events(folder.events)
    assert (event.kind, event.reason, event.step) == ("step_skipped", "not_finite", 1)
    assert event.detail == "optimiser step 4: loss or gradient is not finite; groups 0/a/de, 1/b/th"
    assert not any(name.startswith("weights/") for name in read_metrics(folder.metrics)[0].metrics)


def test_a_step_that_nothing_was_learned_from_says_nothing_of_a_learner(folder: RunFolder) -> None:
    problem = a_problem("a")
    bad = DroppedGroup(group_id="0/a/de", problem=problem, reason="bad_prompt", detail="too long")
    log = recorder(folder)
    log.begin(1)
    log.record(a_step(1, [bad], [bad]))
    log.close()
    (step,) = read_metrics(folder.metrics)
    assert step.metrics["group/used"] == 0
    assert step.metrics["group/dropped_bad_prompt"] == 1
    assert not any(name.startswith(("policy/", "weights/", "packing/", "reward/")) for name in step.metrics)
    assert not folder.samples.exists()


def test_each_reason_for_unscored_responses_is_explained_once(folder: RunFolder) -> None:
    said = io.StringIO()
    log = recorder(folder, said=said)
    first = Unscored(reason="custom reward failed: ValueError", detail="Traceback ...\n  line 3\nValueError: one")
    again = Unscored(reason="custom reward failed: ValueError", detail="Traceback ...\n  line 3\nValueError: two")
    other = Unscored(reason="scorer timed out", detail="scorer-0 gave no answer in 5 s")
    silent = Unscored(reason="the reference is empty")
    for step, scores in ((1, (first, again, a_score(0.5))), (2, (again, other, silent))):
        log.begin(step)
        log.record(a_step(step, [a_group(a_problem("a"), *scores, step=step)], []))
    log.close()
    events = read_events(folder.events)
    assert [(event.kind, event.step, event.group_id, event.reason, event.detail) for event in events] == [
        ("unscored", 1, "1/a/de", first.reason, first.detail),
        ("unscored", 2, "2/a/de", other.reason, other.detail),
    ]
    notes = [line for line in said.getvalue().splitlines() if "events.jsonl" in line]
    assert len(notes) == 2
    assert first.reason in notes[0] and "ValueError: one" in notes[0]
    assert other.reason in notes[1] and other.detail in notes[1]


def test_a_run_that_is_stopped_for_its_language_has_its_last_step_on_disk(folder: RunFolder) -> None:
    log = recorder(folder, watch=ConsistencyWatch(floor=0.5, steps=1))
    english = Score(reward=0.0, parts={}, gates={"language": False}, answer="1")
    log.begin(1)
    with pytest.raises(RunFailed) as failed:
        log.record(a_step(1, [a_group(a_problem("a"), english, english)], []))
    assert failed.value.key == "reward.consistency_floor"
    assert [step.metrics["lang/de/language_consistency"] for step in read_metrics(folder.metrics)] == [0.0]
    assert len(read_samples(folder.samples, steps=[1])) == 2


def test_finished_steps_are_on_disk_before_the_run_is_over(folder: RunFolder) -> None:
    log = recorder(folder)
    for step in (1, 2):
        log.begin(step)
        log.record(a_step(step, [a_group(a_problem("a"), a_score(0.2), a_score(0.6), step=step)], []))
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2]
    assert len(read_samples(folder.samples, steps=[1, 2])) == 4
    log.close()
    assert len(read_samples(folder.samples, steps=[1, 2])) == 4


def test_a_summary_compares_the_first_third_of_the_steps_with_the_last(folder: RunFolder) -> None:
    log = recorder(folder)
    for step, reward in enumerate((0.1, 0.3, 0.2), start=1):
        log.begin(step)
        log.record(a_step(step, [a_group(a_problem("a"), a_score(reward), step=step)], []))
    log.close()
    summary = summarise(folder, status="finished", seconds=1.23)
    assert (summary["reward_first_third"], summary["reward_last_third"]) == (0.1, 0.2)
    assert "0.100 (first third of the steps) -> 0.200 (last third)" in str(summary["headline"])
    assert (summary["steps"], summary["seconds"], summary["evaluation"]) == (3, 1.2, {})
    assert json.loads(folder.summary.read_text(encoding="utf-8")) == summary


def test_a_summary_of_a_run_that_reached_no_step_is_one_all_the_same(folder: RunFolder) -> None:
    summary = summarise(folder, status="failed: no room", seconds=1)
    assert (summary["status"], summary["steps"]) == ("failed: no room", 0)


def test_a_run_without_rewards_is_summed_up_by_its_loss(folder: RunFolder) -> None:
    log = MetricsLog(folder.metrics)
    for step, loss in enumerate((3.0, 2.5, 2.0), start=1):
        log.append(step, {"policy/loss": loss})
    log.close()
    summary = summarise(folder, status="finished", seconds=1)
    assert summary["headline"] == "Loss 3.000 (first third of the steps) -> 2.000 (last third)."
    assert "reward_first_third" not in summary


def test_a_run_that_took_no_optimiser_step_says_so(folder: RunFolder) -> None:
    log = MetricsLog(folder.metrics)
    log.append(1, {"reward/mean": 0.5})
    log.close()
    without_loss = str(summarise(folder, status="finished", seconds=1)["headline"])
    log = MetricsLog(folder.metrics)
    log.append(1, {"reward/mean": 0.5, "policy/loss": 0.1})
    log.close()
    with_loss = str(summarise(folder, status="finished", seconds=1)["headline"])
    assert without_loss.endswith(with_loss)
    assert without_loss != with_loss


def test_a_summary_says_accuracy_and_gap_before_the_reward_and_why_groups_were_dropped(folder: RunFolder) -> None:
    log = MetricsLog(folder.metrics)
    log.append(1, {"reward/mean": 0.5, "group/used": 0.0, "group/dropped_too_stale": 3.0})
    log.close()
    for moment, share in (("before", 0.2), ("after", 0.5)):
        languages = (a_language_result("en", 0.8), a_language_result("de", share))
        record_evaluation(folder.evaluation, moment, EvaluationResult(languages=languages))
    summary = summarise(folder, status="finished", seconds=1)
    assert str(summary["headline"]).startswith("Nothing was learned because")
    parts = ("algorithm.max_staleness", "20.0% before, 50.0% after", "from 60.0 to 30.0 points", "0.500")
    places = [str(summary["headline"]).index(part) for part in parts]
    assert places == sorted(places)
    learned_from = json.loads(folder.summary.read_text(encoding="utf-8"))["learned_from"]
    assert (learned_from["groups"], learned_from["used"], list(learned_from["others"].values())) == (3, 0, [3])


def test_little_to_learn_from_is_said_once_after_the_first_steps(folder: RunFolder) -> None:
    said, seen = io.StringIO(), []
    log = recorder(folder, said=said)
    for step in range(1, 6):
        dull = a_group(a_problem("dull"), a_score(0.5), step=step)
        log.begin(step)
        log.record(a_step(step, [dull], [drop(dull, "no_signal")]))
        seen.append(said.getvalue().count("nothing was learned"))
    assert seen == [0, 0, 1, 1, 1]


def test_thirds_of_few_steps_overlap_rather_than_vanish() -> None:
    assert thirds([]) == (0.0, 0.0)
    assert thirds([0.5]) == (0.5, 0.5)
    assert thirds([0.25, 0.75]) == (0.25, 0.75)
    assert thirds([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) == (0.5, 4.5)
