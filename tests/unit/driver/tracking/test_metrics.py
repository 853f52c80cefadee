"""Check the metrics of one step, worked out by hand, and that the two logs survive kills and continued runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.scoring.metrics import over_step, scorer_metrics
from contracts.batches import PushResult, StepResult
from contracts.metrics.registry import UnknownMetric
from contracts.rollouts import DroppedGroup, Rollout, Score, ScoredGroup, Unscored
from driver.references.store import ReferenceCounts
from driver.tracking.line_logs import Event, EventLog, MetricsLog, read_events, read_metrics
from driver.tracking.step_metrics import StepOutcome, step_metrics
from tests.builders import a_problem, a_reference, a_scored_group


def rollout(num_tokens: int, *, is_truncated: bool = False) -> Rollout:
    return Rollout(
        token_ids=tuple(range(num_tokens)),
        logprobs=(-0.5,) * num_tokens,
        text="...",
        finish_reason="length" if is_truncated else "stop",
        token_versions=(3,) * num_tokens,
    )


def score(reward: float, *, answer: str | None, reasoning: float, is_in_language: bool = True) -> Score:
    return Score(
        reward=reward,
        parts={"answer": float(answer == "17"), "reasoning": reasoning},
        gates={"language": is_in_language, "format": True},
        answer=answer,
    )


def group(
    language: str, rollouts: tuple[Rollout, ...], scores: tuple[Score | Unscored, ...], *, gold: str | None = "17"
) -> ScoredGroup:
    return a_scored_group(
        a_problem("a", language, answer=gold),
        scores,
        number=1,
        rollouts=rollouts,
        reference=a_reference(text="12 + 5 = 17. The answer is 17.", num_tokens=9),
    )


def outcome(*groups: ScoredGroup, dropped: tuple[DroppedGroup, ...] = (), is_learned: bool = True) -> StepOutcome:
    return StepOutcome(
        groups=groups,
        dropped=dropped,
        stage_seconds={"generate": 4.0, "pivot": 2.0, "score": 0.5, "learn": 3.0, "push": 1.0, "step": 9.0},
        pivot=ReferenceCounts(asked=4, cached=3, requests=1, tokens=50),
        learning=StepResult(metrics={"policy/loss": 0.25}, num_tokens=600, seconds=2.0) if is_learned else None,
        push=PushResult(policy_version=4, num_tensors=2, num_bytes=1000, seconds=1.0) if is_learned else None,
    )


GERMAN = group(
    "de",
    (rollout(10), rollout(30, is_truncated=True)),
    (score(0.9, answer="17", reasoning=0.75), score(0.1, answer="16", reasoning=0.25)),
)
FRENCH = group(
    "fr",
    (rollout(20), rollout(40)),
    (score(0.0, answer=None, reasoning=0.0, is_in_language=False), Unscored(reason="scorer timed out")),
)


def test_rewards_are_averaged_over_scored_responses_only() -> None:
    metrics = step_metrics(outcome(GERMAN, FRENCH))
    assert metrics["reward/mean"] == pytest.approx((0.9 + 0.1 + 0.0) / 3)
    # Variance of 0.9, 0.1, 0: mean of squares 0.82 / 3 less the squared mean (1 / 3)^2.
    assert metrics["reward/std"] == pytest.approx((0.82 / 3 - 1 / 9) ** 0.5)
    assert metrics["response/unscored"] == 1
    assert metrics["group/reward_std"] == pytest.approx(0.4)  # the German group's; the French has one score


def test_unscored_responses_are_counted_by_the_reason_before_the_colon() -> None:
    reasons = ("custom reward failed: ValueError", "custom reward failed: KeyError", "scorer timed out", "no answer")
    unscored = group("fr", (rollout(1),) * 4, tuple(Unscored(reason=reason) for reason in reasons))
    metrics = step_metrics(outcome(GERMAN, unscored))
    assert {name: value for name, value in metrics.items() if name.startswith("response/unscored")} == {
        "response/unscored": 4,
        "response/unscored_custom_reward_failed": 2,
        "response/unscored_no_answer": 1,
        "response/unscored_scorer_timed_out": 1,
    }


def test_language_consistency_needs_reasoning_and_answer_and_counts_gates_that_are_off() -> None:
    def judged(language: bool, *, answer_language: bool) -> Score:
        return Score(
            reward=0.5, parts={"answer_language": float(answer_language)}, gates={"language": language}, answer="1"
        )

    scores = (judged(True, answer_language=True), judged(True, answer_language=False)) * 2
    metrics = step_metrics(outcome(group("de", (rollout(1),) * 4, scores)))
    assert metrics["lang/de/language_consistency"] == 0.5
    assert metrics["gate/language/de"] == 1.0


def test_counters_over_a_step_are_differences_but_the_queue_is_what_was_seen_last() -> None:
    before = {"texts": 10.0, "busy_s": 2.0, "queue_depth": 3.0, "queue_depth_max": 9.0}
    after = {"texts": 26.0, "busy_s": 6.0, "queue_depth": 1.0, "queue_depth_max": 4.0, "retries": 1.0}
    assert over_step(before, after) == {
        "texts": 16.0,
        "busy_s": 4.0,
        "queue_depth": 1.0,
        "queue_depth_max": 4.0,
        "retries": 1.0,
    }


def test_scorer_metrics_are_worked_from_counters() -> None:
    counters = {
        "groups": 4.0,
        "texts": 32.0,
        "batches": 2.0,
        "busy_s": 8.0,
        "latency_s": 10.0,
        "encoded": 36.0,
        "truncated_tokens": 7.0,
        "failures": 1.0,
    }
    assert scorer_metrics(counters) == {
        "scorer/busy_s": 8.0,
        "scorer/encoded": 36.0,
        "scorer/truncated_tokens": 7.0,
        "scorer/failures": 1.0,
        "scorer/texts_per_s": 4.0,  # 32 / 8
        "scorer/batch_size": 16.0,  # 32 / 2
        "scorer/latency_s": 2.5,  # 10 / 4
        "scorer/encoded_per_group": 9.0,  # 36 / 4: eight responses and a reference
    }


def test_a_step_in_which_no_scorer_worked_has_no_mean_of_it() -> None:
    assert scorer_metrics({"groups": 0.0, "texts": 0.0, "batches": 0.0, "busy_s": 0.0, "retries": 0.0}) == {
        "scorer/busy_s": 0.0,
        "scorer/retries": 0.0,
    }


def test_what_the_scorers_say_is_among_the_metrics_of_a_step() -> None:
    metrics = step_metrics(replace(outcome(GERMAN), scorer={"scorer/texts_per_s": 3.0}))
    assert metrics["scorer/texts_per_s"] == 3.0


def test_every_part_and_gate_is_named_by_language_and_over_all() -> None:
    metrics = step_metrics(outcome(GERMAN, FRENCH))
    assert metrics["reward/answer/de"] == 0.5
    assert metrics["reward/reasoning/de"] == 0.5
    assert metrics["reward/reasoning/all"] == pytest.approx(1 / 3)
    assert metrics["gate/language/fr"] == 0.0
    assert metrics["gate/language/all"] == pytest.approx(2 / 3)
    assert metrics["gate/format/fr"] == 1.0


def test_a_language_is_measured_against_gold_and_against_the_pivot() -> None:
    metrics = step_metrics(outcome(group("de", GERMAN.group.rollouts, GERMAN.scores, gold="16"), FRENCH))
    assert metrics["lang/de/accuracy"] == 0.5  # "16" is gold here
    assert metrics["lang/de/agreement"] == 0.5  # "17" is the pivot's
    assert metrics["lang/de/language_consistency"] == 1.0
    assert metrics["lang/de/response_length"] == 20
    assert metrics["lang/de/truncated"] == 0.5
    assert metrics["lang/fr/accuracy"] == 0.0
    assert metrics["lang/fr/response_length"] == 30  # the unscored response has a length too
    assert metrics["lang/all/reward_mean"] == metrics["reward/mean"]


@pytest.mark.parametrize("gold", [None, "blue"])
def test_without_a_number_as_gold_there_is_no_accuracy_rather_than_a_low_one(gold: str | None) -> None:
    metrics = step_metrics(outcome(group("de", GERMAN.group.rollouts, GERMAN.scores, gold=gold)))
    assert "lang/de/accuracy" not in metrics
    assert metrics["lang/de/agreement"] == 0.5


def test_a_dropped_group_is_counted_by_its_reason_and_still_measured() -> None:
    dropped = (
        DroppedGroup(group_id="1/a/fr", problem=FRENCH.group.problem, reason="no_signal"),
        DroppedGroup(group_id="1/b/es", problem=FRENCH.group.problem, reason="reference_truncated"),
    )
    metrics = step_metrics(outcome(GERMAN, FRENCH, dropped=dropped))
    assert metrics["group/used"] == 1
    assert metrics["group/dropped_no_signal"] == 1
    assert metrics["group/dropped_reference_truncated"] == 1
    assert metrics["group/dropped_unscored"] == 0
    assert "lang/fr/reward_mean" in metrics


def test_rates_are_work_over_the_seconds_of_its_stage() -> None:
    """Check that what was generated meanwhile comes from the buffer: off-policy it is not what was learned from."""
    finished = {"group/finished_tokens": 100.0, "group/finished_texts": 4.0}
    metrics = step_metrics(replace(outcome(GERMAN, FRENCH), buffer=finished))
    assert metrics["response_length/mean"] == 25
    assert metrics["response_length/max"] == 40
    assert metrics["throughput/policy_tokens_per_s"] == 100 / 4
    assert metrics["throughput/pivot_tokens_per_s"] == 50 / 2
    assert metrics["throughput/scorer_texts_per_s"] == 4 / 0.5
    assert metrics["throughput/learner_tokens_per_s"] == 600 / 2
    assert metrics["timing_s/step"] == 9
    assert metrics["pivot/requests"] == 1
    assert metrics["pivot/cache_hit_rate"] == 0.75
    assert metrics["policy/loss"] == 0.25
    assert metrics["weights/policy_version"] == 4


def test_a_step_in_which_nothing_was_learned_or_scored_has_metrics_all_the_same() -> None:
    metrics = step_metrics(outcome(is_learned=False))
    assert metrics["group/used"] == 0
    assert "reward/mean" not in metrics
    assert "throughput/learner_tokens_per_s" not in metrics
    assert metrics["timing_s/step"] == 9


def test_metrics_come_back_as_they_were_written(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", clock=lambda: 12.5)
    log.append(1, {"reward/mean": 0.5})
    found = read_metrics(tmp_path / "metrics.jsonl")  # before the log is closed: each line is flushed
    log.close()
    assert [(step.step, step.time, step.metrics) for step in found] == [(1, 12.5, {"reward/mean": 0.5})]


def test_a_number_that_is_not_finite_is_written_as_null_and_read_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.append(1, {"policy/loss": float("nan"), "reward/mean": 0.5})
    log.close()
    assert json.loads(path.read_text())["metrics"] == {"policy/loss": None, "reward/mean": 0.5}
    assert read_metrics(path)[0].metrics == {"reward/mean": 0.5}


def test_a_metric_that_is_not_declared_can_not_be_written(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    with pytest.raises(UnknownMetric) as refused:
        log.append(1, {"reward/mean": 0.5, "policy/lr": 1e-6})
    log.close()
    assert refused.value.name == "policy/lr"
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_step_that_is_done_again_replaces_itself_and_all_after_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsLog(path)
    for step in (1, 2, 3):
        first.append(step, {"reward/mean": 0.1 * step})
    first.close()
    resumed = MetricsLog(path)
    resumed.append(2, {"reward/mean": 0.9})
    resumed.close()
    assert [(step.step, step.metrics["reward/mean"]) for step in read_metrics(path)] == [(1, 0.1), (2, 0.9)]


def test_a_line_torn_by_a_kill_is_passed_over_and_spoils_no_later_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "time": 0.0, "metrics": {}}\n{"step": 2, "ti')
    log = MetricsLog(path)
    log.append(2, {"reward/mean": 0.5})
    log.close()
    assert [step.step for step in read_metrics(path)] == [1, 2]


def test_events_come_back_stamped_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 7.0)
    log.append(Event(kind="group_dropped", reason="no_signal", step=2, group_id="2/a/de"))
    log.append(Event(kind="restart", reason="worker died", detail="policy 1"))
    log.close()
    assert read_events(path) == [
        Event(kind="group_dropped", reason="no_signal", step=2, group_id="2/a/de", time=7.0),
        Event(kind="restart", reason="worker died", detail="policy 1", time=7.0),
    ]


def test_text_that_utf_8_can_not_hold_comes_back_from_a_log(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: 7.0)
    log.append(Event(kind="unscored", reason="r", detail="caf\u00e9 \udc80"))
    log.close()
    assert read_events(path)[0].detail == "caf\u00e9 \udc80"


def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    assert read_events(tmp_path / "events.jsonl") == []
