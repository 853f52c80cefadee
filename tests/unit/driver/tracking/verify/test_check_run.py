"""Check that `verify` finds nothing wrong with a right run, and finds each damage."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadInput
from driver.cli import main
from driver.tracking.line_logs import read_lines, replace_lines
from driver.tracking.run_folder import RunFolder, sole_writer
from driver.tracking.verify import draw_checks, step_checks
from driver.tracking.verify.check_run import (
    CHECKS,
    CLAIMS,
    RunSummary,
    check_claims,
    check_run,
    not_checked_in,
    proved_by,
    summarise_run,
)
from driver.tracking.verify.checkpoint_records import Violation
from driver.tracking.verify.records import RunRecords, SampleRow, read_records
from driver.tracking.verify.reward_checks import wrong_reward
from rewards.compose import Combination
from tests.builders import a_config
from tests.runs.damaged_record import (
    DAMAGES,
    STEPS,
    UNUSED,
    Check,
    Found,
    Line,
    change_lines,
    change_rows,
    drop,
    drop_what_was_learned,
    finished,
    group_id,
    killed,
)
from tests.runs.recorded_run import GATES, RecordedRun, RecordedStep


def violations_of(folder: RunFolder) -> tuple[Violation, ...]:
    return check_run(read_records(folder.path))


def summary_of(folder: RunFolder) -> RunSummary:
    return summarise_run(read_records(folder.path))


def proved(records: RunRecords) -> tuple[str, ...]:
    return proved_by(records, check_claims(records))


@pytest.fixture(scope="module")
def right_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished(tmp_path_factory.mktemp("right"))


@pytest.fixture
def folder(right_run: RunFolder, tmp_path: Path) -> RunFolder:
    """Return a copy of the right run, to be damaged."""
    return RunFolder(shutil.copytree(right_run.path, tmp_path / "damaged"))


# --- a right run ------------------------------------------------------------------------------------------------------


def test_a_right_run_has_no_violation_and_its_numbers_are_counted(folder: RunFolder) -> None:
    """Draws 0 to 13: 8 learned from, 2 without a signal, 2 without a reference, 2 under way at the end."""
    assert violations_of(folder) == ()
    summary = summary_of(folder)
    assert (summary.status, summary.steps, summary.learned) == ("finished", 4, 8)
    assert summary.dropped == {"no_signal": 2, "reference_truncated": 2, "run_ended": 2}
    assert (summary.samples, summary.open, summary.checkpoints) == (10 * 3, 0, 3)
    assert (summary.oldest, summary.allowed, summary.last_version) == (1, 1, 4)
    assert summary.not_recorded == ()


def test_a_run_that_was_killed_has_its_open_draws_in_the_last_checkpoint(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    summary = summary_of(folder)
    assert (violations_of(folder), summary.status, summary.open) == ((), "killed", 2)


def test_a_kill_within_a_step_leaves_samples_that_count_for_nothing(tmp_path: Path) -> None:
    """Samples and events of a step are written before its metrics."""
    folder = killed(tmp_path)
    change_lines(folder.metrics, lambda lines: lines.pop())
    (folder.checkpoints / "step-000004").rename(folder.checkpoints / "step-000004.partial")
    (folder.checkpoints / "latest").write_text("step-000002\n", encoding="utf-8")
    assert (violations_of(folder), summary_of(folder).steps) == ((), 3)
    assert read_records(folder.path).unfinished_steps == (4,)
    assert len(summary_of(folder).not_recorded) == 1


def test_samples_that_were_folded_in_twice_count_once(tmp_path: Path) -> None:
    """A kill between merging and clearing up leaves both: the merged file and the steps' own."""
    folder = killed(tmp_path)
    parts = sorted((folder.path / "samples").glob("*.parquet"))
    pq.write_table(pa.concat_tables([pq.read_table(part) for part in parts]), folder.samples)
    parts[0].unlink()
    assert violations_of(folder) == ()


def test_restarts_and_resumes_are_counted_by_kind(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path)
    for step in STEPS:
        run.step(step)
    run.event("worker", "policy-0: ready -> suspect")
    run.event("worker", "policy-0: suspect -> dead")
    run.event("worker", "policy-1: ready -> dead")
    run.event("learner_lost", "learner-1 died")
    run.event("resumed", "after step 2")
    summary = summary_of(run.finish(unused=UNUSED))
    assert summary.happened == {"learner_lost": 1, "policy: dead": 2, "policy: suspect": 1}
    assert summary.resumes == 1


def sft_run(place: Path) -> RunFolder:
    run = RecordedRun(place, max_staleness=0, algorithm="sft")
    run.step(RecordedStep(learned=(0, 2), rejected=(1,), version=0, open=()))
    run.step(RecordedStep(learned=(3,), version=1))
    return run.finish()


def test_what_was_imitated_counts_as_learned_from_though_no_engine_drew_it(tmp_path: Path) -> None:
    folder = sft_run(tmp_path)
    summary = summary_of(folder)
    assert (violations_of(folder), summary.not_recorded) == ((), ())
    assert (summary.learned, summary.samples, summary.dropped) == (3, 0, {"reference_truncated": 1})


@pytest.mark.parametrize(
    ("change", "check", "about"),
    [
        (
            lambda lines: lines.append(lines[0] | {"step": 2}),
            draw_checks.groups_are_closed_once,
            f"group {group_id(0)}",
        ),
        (lambda lines: lines.pop(0), draw_checks.no_draw_is_lost, "draw 0"),
        (lambda lines: lines.pop(0), draw_checks.checkpoints_lose_and_repeat_nothing, "step-000001, draw 0"),
    ],
)
def test_a_problem_that_is_imitated_twice_or_not_at_all_is_found(
    tmp_path: Path, change: Callable[[list[Line]], object], check: Check, about: str
) -> None:
    folder = sft_run(tmp_path)
    change_lines(folder.events, change)
    assert about in {violation.about for violation in check(read_records(folder.path))}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_each_damage_is_found_and_the_contrary_not_claimed(
    folder: RunFolder, damage: Callable[[RunFolder], Found]
) -> None:
    check, about = damage(folder)
    records = read_records(folder.path)
    assert about in {violation.about for violation in check(records)}
    assert about in {violation.about for violation in check_run(records)}
    (claim,) = (claim for claim in CLAIMS if check in claim.checks)
    assert claim.text not in proved(records)


def test_every_check_finds_some_damage(right_run: RunFolder, tmp_path: Path) -> None:
    copies = (RunFolder(shutil.copytree(right_run.path, tmp_path / str(number))) for number in range(len(DAMAGES)))
    assert {damage(copy)[0] for damage, copy in zip(DAMAGES, copies, strict=True)} == set(CHECKS)


# --- what is proved ---------------------------------------------------------------------------------------------------


def test_a_right_run_proves_every_claim_and_its_bytes_when_they_are_read(folder: RunFolder) -> None:
    records = read_records(folder.path)
    assert len(proved(records)) == len(CLAIMS)
    assert len(not_checked_in(records)) == 1
    records = read_records(folder.path, reads_shards=True)
    assert len(proved(records)) == len(CLAIMS) + 1
    assert not_checked_in(records) == ()


@pytest.mark.parametrize("name", ["step-000002/learner/policy/shard.pt", "final/model.safetensors"])
def test_a_byte_that_changed_is_found_where_every_byte_is_read(folder: RunFolder, name: str) -> None:
    file = folder.checkpoints / name
    file.write_bytes(b"W" + file.read_bytes()[1:])
    assert violations_of(folder) == ()
    assert [violation.about for violation in check_run(read_records(folder.path, reads_shards=True))] == [name]
    assert main(["verify", str(folder.path)]) == 0
    assert main(["verify", str(folder.path), "--shards"]) == 1


def test_a_run_without_samples_and_checkpoints_claims_nothing_about_them(tmp_path: Path) -> None:
    run = RecordedRun(tmp_path, max_staleness=0, algorithm="sft")
    run.step(RecordedStep(learned=(0, 1), version=0))
    records = read_records(run.finish().path)
    assert check_run(records) == ()
    claimed = {check for claim in CLAIMS if claim.text in proved(records) for check in claim.checks}
    assert step_checks.steps_are_there_once in claimed
    for check in CHECKS[-5:]:  # of rows, draws and files
        assert check not in claimed


def test_problems_that_have_changed_since_are_not_compared_and_that_is_said(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    problems = tmp_path / "problems.jsonl"
    problems.write_text(problems.read_text(encoding="utf-8").replace("Wie viele", "Wie alt"), encoding="utf-8")
    records = read_records(folder.path)
    assert check_run(records) == ()
    assert len(not_checked_in(records)) == 2
    problems.unlink()
    assert (check_run(read_records(folder.path)), len(not_checked_in(read_records(folder.path)))) == ((), 2)


def test_draws_out_of_turn_are_right_where_groups_were_replaced_after_a_lost_learner(tmp_path: Path) -> None:
    """Draw 11 is of German, which is not its turn; set/6 is the next problem of German after draw 10."""
    run = RecordedRun(tmp_path)
    for step in STEPS[:3]:
        run.step(step)
    folder = run.kill()
    drop(folder, 9, step=3)
    drop(folder, 10, step=3)
    event = {"kind": "group_dropped", "reason": "no_signal", "step": 3, "group_id": "11/set/6/de"}
    change_lines(folder.events, lambda lines: lines.append({**event, "detail": "", "time": 1.0}))
    (found,) = draw_checks.draws_are_those_of_the_seed(read_records(folder.path))
    assert found.about == "draw 11"
    lost = {"kind": "learner_lost", "reason": "learner-1 died", "step": None, "group_id": None}
    change_lines(folder.events, lambda lines: lines.append({**lost, "detail": "", "time": 2.0}))
    records = read_records(folder.path)
    assert list(draw_checks.draws_are_those_of_the_seed(records)) == []
    assert len(not_checked_in(records)) == 2


@pytest.mark.parametrize(("reward", "is_right"), [(0.25, True), (0.375, True), (0.5, True), (0.3, False)])
def test_a_reward_is_that_of_the_weights_of_its_step_or_of_an_earlier_one(reward: float, is_right: bool) -> None:
    """Only the answer is right: it earns 0.25 at step 0, 0.375 at step 1, and 0.5 from step 2 on."""
    rest = {"reasoning": 0.0}
    schedule = [
        {"step": 0, "answer": 0.25, "numbers": 0.75} | rest,
        {"step": 2, "answer": 0.5, "numbers": 0.5} | rest,
    ]
    row = SampleRow(
        learned=True,
        learner_version=1,
        oldest_version=1,
        newest_version=1,
        reward=reward,
        unscored_reason=None,
        parts={"answer": 1.0, "reasoning": 0.0, "numbers": 0.0},
        gates=GATES,
    )
    combination = Combination(a_config(reward={"schedule": schedule}).reward)
    assert (wrong_reward(row, 3, combination, list(GATES)) == "") is is_right


# --- any run ----------------------------------------------------------------------------------------------------------


@st.composite
def runs(draw: st.DrawFn) -> tuple[tuple[RecordedStep, ...], tuple[int, ...]]:
    """Steps that take any of the draws in flight, with a restart of the learner here and there, and what is left."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    next_number, version = 0, 0
    in_flight: list[int] = []
    steps: list[RecordedStep] = []
    for _ in range(draw(st.integers(1, 6))):
        started = chance.randint(1, 5)
        in_flight += range(next_number, next_number + started)
        next_number += started
        chance.shuffle(in_flight)
        taken, in_flight = in_flight[: (size := chance.randint(0, 4))], in_flight[size:]
        in_flight.append(next_number)  # so that the newest draw is one of the checkpoint's own
        next_number += 1
        cuts = sorted(chance.choices(range(len(taken) + 1), k=2))
        learned = tuple(taken[: cuts[0]])
        steps.append(
            RecordedStep(
                learned=learned,
                no_signal=tuple(taken[cuts[0] : cuts[1]]),
                rejected=tuple(taken[cuts[1] :]),
                version=version,
                ages=chance.choice([(0, 0), (1, 0), (1, 1)]),
                open=tuple(in_flight) if chance.random() < 0.5 else None,
            )
        )
        version += bool(learned) + (chance.random() < 0.2)
    return tuple(steps), tuple(in_flight)


@settings(max_examples=12, deadline=None)
@given(runs(), st.booleans())
@pytest.mark.slow
def test_no_right_run_has_a_violation(run: tuple[tuple[RecordedStep, ...], tuple[int, ...]], ends: bool) -> None:
    steps, left = run
    with TemporaryDirectory() as path:
        recorded = RecordedRun(Path(path))
        for step in steps:
            recorded.step(step)
        folder = recorded.finish(unused=left) if ends else recorded.kill()
        assert violations_of(folder) == ()


@settings(max_examples=12, deadline=None)
@given(runs(), st.randoms(use_true_random=False))
@pytest.mark.slow
def test_a_draw_that_is_lost_from_a_finished_run_is_found(
    run: tuple[tuple[RecordedStep, ...], tuple[int, ...]], chance: random.Random
) -> None:
    """All rows and events of the draw are removed, whatever became of it."""
    steps, left = run
    numbers = [*left, *(number for step in steps for number in (*step.learned, *step.no_signal, *step.rejected))]
    lost = chance.choice(sorted(numbers)[:-1])  # that there was a last draw is recorded nowhere else
    with TemporaryDirectory() as path:
        recorded = RecordedRun(Path(path))
        for step in steps:
            recorded.step(step)
        folder = recorded.finish(unused=left)
        if folder.samples.exists():
            change_rows(folder, lambda row: [] if row["group_id"] == group_id(lost) else [row])
        events = [line for line in read_lines(folder.events) if line["group_id"] != group_id(lost)]
        replace_lines(folder.events, events)
        assert f"draw {lost}" in {violation.about for violation in violations_of(folder)}


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_right_run_ends_the_command_with_0(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder.path)]) == 0
    assert "groups: 8 learned from" in capsys.readouterr().out


def test_a_violation_is_a_line_and_ends_the_command_with_1(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    _, about = drop_what_was_learned(folder)
    assert main(["verify", str(folder.path), "--json"]) == 1
    written = capsys.readouterr()
    lines = json.loads(written.out)["violations"]
    assert any(line.startswith(f"{about} ") for line in lines)
    assert {f"violation: {line}" for line in lines} <= set(written.err.splitlines())


def test_a_violation_about_a_hostile_id_is_one_line_without_control_characters(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    change_lines(folder.events, lambda lines: lines[-1].update(group_id="13/a\nno violations\x1b[2J/fr"))
    assert main(["verify", str(folder.path)]) == 1
    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert sum("no violations" in line for line in written.splitlines()) == sum(
        line.startswith("violation: ") and "no violations" in line for line in written.splitlines()
    )


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_no_run_folder_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_run_that_is_still_going_is_refused(folder: RunFolder) -> None:
    with sole_writer(folder.path):
        assert main(["verify", str(folder.path)]) == 2


def test_a_folder_of_another_command_is_refused(folder: RunFolder) -> None:
    folder.write_summary({"accuracy": 1.0})
    with pytest.raises(BadInput) as refused:
        read_records(folder.path)
    assert refused.value.key == "summary.json"


def test_samples_of_an_earlier_version_are_refused(folder: RunFolder) -> None:
    pq.write_table(pq.read_table(folder.samples).drop_columns(["learned"]), folder.samples)
    with pytest.raises(BadInput) as refused:
        read_records(folder.path)
    assert refused.value.key == "samples.parquet"
