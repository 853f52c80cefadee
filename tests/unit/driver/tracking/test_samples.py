"""Check what a row of samples.parquet holds, and that no kill loses or doubles a finished step."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.rollouts import Score, ScoredGroup, Unscored
from driver.tracking.samples_file import SamplesLog, read_samples, sampled_steps, storable
from tests.builders import a_problem, a_reference, a_rollout, a_score, a_scored_group


def group(
    step: int,
    text: str,
    *,
    score: Score | Unscored | None = None,
    versions: tuple[int, int, int] = (0, 0, 0),
) -> ScoredGroup:
    return a_scored_group(
        a_problem("a", "th", question="คำถาม", answer="17"),
        [score or a_score(0.7, parts={"answer": 1.0}, answer="17")],
        number=step,
        rollouts=[a_rollout(text, versions=versions)],
        reference=a_reference(text="The answer is 17."),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples.parquet"


def texts(path: Path, *steps: int) -> list[tuple[object, object]]:
    return [(row["step"], row["response"]) for row in read_samples(path, steps=steps)]


def test_a_row_holds_the_question_the_response_and_every_part_and_gate(path: Path) -> None:
    SamplesLog(path).append(4, [group(4, "คำตอบคือ 17", versions=(5, 5, 6))], learned_by={"4/a/th": 7})
    (row,) = read_samples(path, steps=[4])
    assert row == {
        "step": 4,
        "group_id": "4/a/th",
        "item_id": "a",
        "language": "th",
        "question": "คำถาม",
        "response": "คำตอบคือ 17",
        "thinking": None,
        "finish_reason": "stop",
        "num_tokens": 3,
        "num_thinking_tokens": 0,
        "policy_version": 5,
        "last_policy_version": 6,
        "learned": True,
        "learner_version": 7,
        "reward": 0.7,
        "unscored_reason": None,
        "answer": "17",
        "reference": "The answer is 17.",
        "part_answer": 1.0,
        "gate_language": True,
    }


def test_the_thinking_of_a_response_has_a_column_of_its_own(path: Path) -> None:
    scored = group(4, "คำตอบคือ 17", versions=(5, 5, 6))
    (rollout,) = scored.group.rollouts
    thinks = replace(scored.group, rollouts=(replace(rollout, thinking="Hm.", num_thinking_tokens=2),))
    SamplesLog(path).append(4, [replace(scored, group=thinks)], learned_by={})
    (row,) = read_samples(path, steps=[4])
    assert (row["response"], row["thinking"], row["num_thinking_tokens"]) == ("คำตอบคือ 17", "Hm.", 2)


def test_an_unscored_response_has_no_reward_but_a_reason(path: Path) -> None:
    SamplesLog(path).append(1, [group(1, "x", score=Unscored(reason="scorer timed out"))], learned_by={})
    (row,) = read_samples(path, steps=[1])
    assert row["reward"] is None
    assert row["unscored_reason"] == "scorer timed out"


def test_a_group_that_was_dropped_was_learned_from_by_no_version(path: Path) -> None:
    SamplesLog(path).append(1, [group(1, "x")], learned_by={"2/a/th": 7})
    (row,) = read_samples(path, steps=[1])
    assert (row["learned"], row["learner_version"]) == (False, None)


def test_an_unscored_response_of_a_group_that_was_learned_from_was_not(path: Path) -> None:
    SamplesLog(path).append(1, [group(1, "x", score=Unscored(reason="timed out"))], learned_by={"1/a/th": 7})
    (row,) = read_samples(path, steps=[1])
    assert (row["learned"], row["learner_version"]) == (False, 7)


def test_a_step_is_on_disk_when_append_returns_and_one_file_holds_all_after_merge(path: Path) -> None:
    log = SamplesLog(path)
    log.append(1, [group(1, "one")], learned_by={})
    assert texts(path, 1) == [(1, "one")]
    log.append(2, [group(2, "two")], learned_by={})
    log.merge()
    assert pq.read_table(path).column("response").to_pylist() == ["one", "two"]
    assert pq.ParquetFile(path).num_row_groups == 2
    assert not path.with_suffix("").exists()
    assert sampled_steps(path) == [1, 2]


def test_steps_with_different_parts_and_gates_merge_into_one_table(path: Path) -> None:
    log = SamplesLog(path)
    log.append(1, [group(1, "one", score=Unscored(reason="x"))], learned_by={})
    log.append(
        2, [group(2, "two", score=Score(reward=0.0, parts={"reasoning": 0.5}, gates={}, answer=None))], learned_by={}
    )
    log.append(3, [group(3, "three")], learned_by={})
    log.merge()
    rows = read_samples(path, steps=[1, 2, 3])
    assert [row["part_reasoning"] for row in rows] == [None, 0.5, None]
    assert [row["gate_language"] for row in rows] == [None, None, True]


def test_a_run_that_goes_on_after_a_merge_adds_to_it(path: Path) -> None:
    SamplesLog(path).append(1, [group(1, "one")], learned_by={})
    SamplesLog(path).merge()
    resumed = SamplesLog(path)
    resumed.append(2, [group(2, "two")], learned_by={})
    assert texts(path, 1, 2) == [(1, "one"), (2, "two")]
    resumed.merge()
    assert texts(path, 1, 2) == [(1, "one"), (2, "two")]


def test_a_step_that_is_done_again_replaces_itself_and_all_after_it(path: Path) -> None:
    log = SamplesLog(path)
    for step in (1, 2, 3):
        log.append(step, [group(step, "first")], learned_by={})
    log.append(2, [group(2, "again")], learned_by={})
    assert texts(path, 1, 2, 3) == [(1, "first"), (2, "again")]
    log.merge()
    log.append(2, [group(2, "a third time")], learned_by={})
    assert texts(path, 1, 2, 3) == [(1, "first"), (2, "a third time")]
    assert sampled_steps(path) == [1, 2]


def test_a_kill_between_merging_and_clearing_up_doubles_nothing(path: Path, tmp_path: Path) -> None:
    log = SamplesLog(path)
    for step in (1, 2):
        log.append(step, [group(step, f"step {step}")], learned_by={})
    shutil.copytree(path.with_suffix(""), tmp_path / "kept")
    log.merge()
    shutil.move(tmp_path / "kept", path.with_suffix(""))  # as if the kill had come before the parts were removed
    assert texts(path, 1, 2) == [(1, "step 1"), (2, "step 2")]
    log.merge()
    assert pq.read_table(path).column("step").to_pylist() == [1, 2]


def test_a_file_that_a_kill_left_half_written_is_not_read(path: Path) -> None:
    log = SamplesLog(path)
    log.append(1, [group(1, "one")], learned_by={})
    (path.with_suffix("") / "step-00000002.parquet.writing").write_bytes(b"PAR1 and then nothing")
    assert sampled_steps(path) == [1]
    log.merge()
    assert texts(path, 1, 2) == [(1, "one")]


def test_merging_nothing_leaves_things_as_they_are(path: Path) -> None:
    SamplesLog(path).merge()
    assert not path.exists()
    assert sampled_steps(path) == []


def test_half_a_character_is_written_as_its_escape() -> None:
    assert storable("ok \ud83c \U0001f3be") == "ok \\ud83c \U0001f3be"
