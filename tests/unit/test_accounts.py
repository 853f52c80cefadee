"""The auditor: a right run has no violation, and each wrong is found and named."""

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

from driver.accounts.ledger import read_ledger
from driver.accounts.statement import Statement, audit
from driver.checkpoint_files import STATE
from driver.cli import main
from driver.errors import BadInput
from driver.json_lines import read_lines, replace_lines
from driver.run_folder import RunFolder, sole_writer
from tests.booked_run import BookedRun, Turn, a_draw

Line = dict[str, object]

TURNS = (
    Turn(learned=(0, 1), dull=(2,), version=0, open=(3, 4)),
    Turn(learned=(3, 5), rejected=(4,), version=1, ages=(1, 0), open=(6, 7, 8)),
    Turn(learned=(7, 8), dull=(6,), version=2, ages=(1, 1)),
    Turn(learned=(9, 10), rejected=(11,), version=3, open=(12, 13)),
)
UNUSED = (12, 13)


def finished(place: Path) -> RunFolder:
    run = BookedRun(place)
    for turn in TURNS:
        run.turn(turn)
    return run.finish(unused=UNUSED)


def killed(place: Path) -> RunFolder:
    run = BookedRun(place)
    for turn in TURNS:
        run.turn(turn)
    return run.kill()


@pytest.fixture(scope="module")
def right_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished(tmp_path_factory.mktemp("right"))


@pytest.fixture
def folder(right_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the right run, to be spoiled."""
    return RunFolder(shutil.copytree(right_run.path, tmp_path / "booked"))


def verified(folder: RunFolder) -> Statement:
    return audit(read_ledger(folder.path))


def group_id(number: int) -> str:
    return a_draw(number).group_id


# --- ways to spoil a folder -------------------------------------------------------------------------------------------


def change_lines(path: Path, change: Callable[[list[Line]], object]) -> None:
    lines: list[Line] = list(read_lines(path))
    change(lines)
    replace_lines(path, lines)


def change_metrics(folder: RunFolder, step: int, **values: float | None) -> None:
    """`group_used` is "group/used"; None takes the metric out."""

    def change(lines: list[Line]) -> None:
        metrics = lines[step - 1]["metrics"]
        assert isinstance(metrics, dict)
        for name, value in values.items():
            key = name.replace("_", "/", 1)
            metrics.pop(key) if value is None else metrics.update({key: value})

    change_lines(folder.metrics, change)


def change_rows(folder: RunFolder, change: Callable[[Line], list[Line]]) -> None:
    """Each row becomes those that `change` makes of it."""
    table = pq.read_table(folder.samples)
    rows = [new for row in table.to_pylist() for new in change(row)]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder.samples)


def set_in_group(folder: RunFolder, number: int, **cells: object) -> None:
    change_rows(folder, lambda row: [row | cells if row["group_id"] == group_id(number) else row])


def change_state(folder: RunFolder, step: int, change: Callable[[Line], object]) -> None:
    path = folder.checkpoints / f"step-{step:06d}" / STATE
    state = json.loads(path.read_text(encoding="utf-8"))
    change(state)
    path.write_text(json.dumps(state), encoding="utf-8")


def drop(folder: RunFolder, number: int, *, step: int, reason: str = "no_signal") -> None:
    event = {"kind": "group_dropped", "reason": reason, "step": step, "group_id": group_id(number)}
    change_lines(folder.events, lambda lines: lines.append({**event, "detail": "", "time": 1.0}))


# --- a right run ------------------------------------------------------------------------------------------------------


def test_a_right_run_has_no_violation_and_its_numbers_are_told(folder: RunFolder) -> None:
    """Draws 0 to 13: 8 learned from, 2 dull, 2 without a reference, 2 that came too late."""
    statement = verified(folder)
    assert statement.violations == ()
    assert (statement.status, statement.steps, statement.learned) == ("finished", 4, 8)
    assert statement.dropped == {"no_signal": 2, "reference_truncated": 2, "run_ended": 2}
    assert (statement.samples, statement.open, statement.checkpoints) == (10 * 3, 0, 3)
    assert (statement.oldest, statement.allowed, statement.last_version) == (1, 1, 4)
    assert statement.not_recorded == ()


def test_a_run_that_was_killed_has_its_open_draws_in_the_last_checkpoint(tmp_path: Path) -> None:
    statement = verified(killed(tmp_path))
    assert (statement.violations, statement.status, statement.open) == ((), "killed", 2)


def test_a_kill_within_a_step_leaves_samples_that_count_for_nothing(tmp_path: Path) -> None:
    """Samples and events of a step are written before its metrics."""
    folder = killed(tmp_path)
    change_lines(folder.metrics, lambda lines: lines.pop())
    (folder.checkpoints / "step-000004").rename(folder.checkpoints / "step-000004.partial")
    statement = verified(folder)
    assert (statement.violations, statement.steps) == ((), 3)
    assert statement.not_recorded == ("samples of step 4, which was not finished",)


def test_samples_that_were_folded_in_twice_count_once(tmp_path: Path) -> None:
    """A kill between merging and clearing up leaves both: the merged file and the steps' own."""
    folder = killed(tmp_path)
    parts = sorted((folder.path / "samples").glob("*.parquet"))
    pq.write_table(pa.concat_tables([pq.read_table(part) for part in parts]), folder.samples)
    parts[0].unlink()
    assert verified(folder).violations == ()


def test_restarts_and_resumes_are_counted_by_kind(tmp_path: Path) -> None:
    run = BookedRun(tmp_path)
    for turn in TURNS:
        run.turn(turn)
    run.event("worker", "policy-0: ready -> suspect")
    run.event("worker", "policy-0: suspect -> dead")
    run.event("worker", "policy-1: ready -> dead")
    run.event("learner_lost", "learner-1 died")
    run.event("resumed", "after step 2")
    statement = verified(run.finish(unused=UNUSED))
    assert statement.happened == {"learner_lost": 1, "policy: dead": 2, "policy: suspect": 1}
    assert statement.resumes == 1


def test_an_sft_run_claims_nothing_of_what_it_learned_from(tmp_path: Path) -> None:
    run = BookedRun(tmp_path, max_staleness=0, algorithm="sft")
    run.turn(Turn(learned=(), rejected=(3,), version=0))
    statement = verified(run.finish())
    assert statement.violations == ()
    assert statement.not_recorded == (
        "which draws an SFT run learned from: that each was learned from once is not shown",
    )


# --- one wrong each ---------------------------------------------------------------------------------------------------


def double_a_step(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.append(lines[-1]))
    return "step 4 is in metrics.jsonl more than once"


def lose_a_step(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.pop(1))
    return "metrics.jsonl has step 3 where step 2 was to come"


def lose_the_last_steps_metrics(folder: RunFolder) -> str:
    change_lines(folder.metrics, lambda lines: lines.pop())
    return "samples.parquet has groups of step 4, which metrics.jsonl does not have"


def lose_a_loss(folder: RunFolder) -> str:
    change_metrics(folder, 2, policy_loss=None)
    return "step 2 learned from 2 groups and has no policy/loss"


def push_an_older_version(folder: RunFolder) -> str:
    change_metrics(folder, 3, weights_policy_version=1.0)
    return "step 3 pushed version 1, after version 2"


def learn_with_an_older_version(folder: RunFolder) -> str:
    for number in TURNS[2].learned:
        set_in_group(folder, number, learner_version=1, policy_version=1, last_policy_version=1)
    return "step 3 learned with version 1, after version 2"


def learn_with_two_versions(folder: RunFolder) -> str:
    set_in_group(folder, 3, learner_version=2)
    return "step 2 learned with several versions of the weights: 1, 2"


def learn_from_the_future(folder: RunFolder) -> str:
    set_in_group(folder, 9, last_policy_version=4)
    return f"group {group_id(9)} in step 4 has a sample of version 4, and was learned from by version 3"


def let_versions_fall(folder: RunFolder) -> str:
    set_in_group(folder, 2, policy_version=1)
    return (
        f"group {group_id(2)} in step 1 has a sample whose newest token is of version 0 and whose oldest is of "
        "version 1"
    )


def learn_from_too_old_a_sample(folder: RunFolder) -> str:
    set_in_group(folder, 9, policy_version=1)
    return f"group {group_id(9)} in step 4 was learned from at age 2; algorithm.max_staleness allows 1"


def lose_a_row(folder: RunFolder) -> str:
    seen: list[object] = []
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(9) and not seen and not seen.append(1) else [row])
    return f"group {group_id(9)} in step 4 has 2 rows; algorithm.group_size is 3"


def count_an_unscored_sample_as_zero(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row | {"reward": 0.0} if row["unscored_reason"] else row])
    return f"group {group_id(0)} in step 1 has an unscored sample (timeout) with the reward 0"


def count_unscored_samples_into_the_mean(folder: RunFolder) -> str:
    """Step 1: draw 0 has 0 and 0.25, draw 1 has 0, 0.25 and 0.5, draw 2 three times 0, which is 1.0 over 8, not 9."""
    change_metrics(folder, 1, reward_mean=1.0 / 9)
    return "step 1 has reward/mean 0.1111111111 in metrics.jsonl, and 0.125 by samples.parquet"


def learn_from_an_unscored_sample(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row | {"learned": row["learner_version"] is not None}])
    return (
        f"group {group_id(0)} in step 1 has a sample with learned = True, learner_version 0 and "
        "reason for being unscored"
    )


def forget_to_score(folder: RunFolder) -> str:
    set_in_group(folder, 2, reward=None)
    return f"group {group_id(2)} in step 1 has a sample with neither a reward nor a reason why it is unscored"


def say_more_was_learned(folder: RunFolder) -> str:
    change_metrics(folder, 3, group_used=3.0)
    return "step 3 has group/used 3 in metrics.jsonl, and 2 by samples.parquet"


def lose_a_drop(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(2)])
    return f"group {group_id(2)} has samples and was neither learned from nor dropped"


def lose_a_drop_without_samples(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: [lines.remove(line) for line in lines if line["group_id"] == group_id(4)])
    return "draw 4 was handed out, and neither learned from nor dropped"


def drop_twice(folder: RunFolder) -> str:
    drop(folder, 6, step=4)
    return f"group {group_id(6)} was dropped more than once: in the steps 3, 4"


def drop_what_was_learned(folder: RunFolder) -> str:
    drop(folder, 5, step=3)
    return f"group {group_id(5)} was learned from in step 2 and dropped in step 3"


def drop_without_a_reason(folder: RunFolder) -> str:
    drop(folder, 14, step=4, reason=" ")
    return f"group {group_id(14)} was dropped in step 4 without a reason"


def drop_an_unknown_group(folder: RunFolder) -> str:
    change_lines(folder.events, lambda lines: lines[-1].update(group_id="13/set/6/fr"))
    return "group '13/set/6/fr' is no draw of this run: neither a number nor a language of data.languages"


def learn_twice(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [row, row | {"step": 2, "learner_version": 1}] if row["step"] == 1 else [row])
    return f"group {group_id(0)} was learned from more than once: in the steps 1, 2"


def make_a_draw_two_groups(folder: RunFolder) -> str:
    set_in_group(folder, 10, group_id="9/set/5/de")
    return f"draw 9 is two groups: {group_id(9)} and 9/set/5/de"


def lose_all_trace_of_a_draw(folder: RunFolder) -> str:
    change_rows(folder, lambda row: [] if row["group_id"] == group_id(1) else [row])
    change_metrics(folder, 1, group_used=1.0, reward_mean=0.05)
    return "draw 1 was handed out, and neither learned from nor dropped"


def lose_an_open_draw(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["again"].pop())  # type: ignore[index]
    return "checkpoint step-000002 has draw 8 neither settled nor open: it is lost"


def ask_again_for_what_was_learned(folder: RunFolder) -> str:
    settled = {"number": 1, "language": "sw", "place": 0}
    change_state(folder, 2, lambda state: state["open"]["again"].append(settled))  # type: ignore[index]
    return f"checkpoint step-000002 has draw 1 open, and group {group_id(1)} was settled by then"


def keep_a_draw_twice(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["again"].append(state["open"]["again"][0]))  # type: ignore[index]
    return "checkpoint step-000002 has draw 7 open twice"


def hand_a_draw_out_again(folder: RunFolder) -> str:
    change_state(folder, 2, lambda state: state["open"]["stream"].update(number=8))  # type: ignore[index]
    return "checkpoint step-000002 has draw 8 that it was yet to hand out (8 is its next)"


def keep_older_weights(folder: RunFolder) -> str:
    change_state(folder, 4, lambda state: state.update(policy_version=3))
    return "checkpoint step-000004 has policy version 3, below 4, which had been pushed"


def keep_a_step_that_never_was(folder: RunFolder) -> str:
    change_state(folder, 4, lambda state: state.update(step=9))
    return "checkpoint step-000004 is of step 9, which metrics.jsonl does not have"


WRONGS = (
    *(double_a_step, lose_a_step, lose_the_last_steps_metrics, lose_a_loss),
    *(push_an_older_version, learn_with_an_older_version, learn_with_two_versions),
    *(learn_from_the_future, let_versions_fall, learn_from_too_old_a_sample),
    *(lose_a_row, count_an_unscored_sample_as_zero, count_unscored_samples_into_the_mean),
    *(learn_from_an_unscored_sample, forget_to_score, say_more_was_learned),
    *(lose_a_drop, lose_a_drop_without_samples, drop_twice, drop_what_was_learned, drop_without_a_reason),
    *(drop_an_unknown_group, learn_twice, make_a_draw_two_groups, lose_all_trace_of_a_draw),
    *(lose_an_open_draw, ask_again_for_what_was_learned, keep_a_draw_twice, hand_a_draw_out_again),
    *(keep_older_weights, keep_a_step_that_never_was),
)


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_what_is_wrong_is_named(folder: RunFolder, wrong: Callable[[RunFolder], str]) -> None:
    assert wrong(folder) in verified(folder).violations


# --- any run ----------------------------------------------------------------------------------------------------------


@st.composite
def runs(draw: st.DrawFn) -> tuple[tuple[Turn, ...], tuple[int, ...]]:
    """Steps that take any of the draws in flight, with a restart of the learner here and there, and what is left."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    next_number, version = 0, 0
    in_flight: list[int] = []
    turns: list[Turn] = []
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
        turns.append(
            Turn(
                learned=learned,
                dull=tuple(taken[cuts[0] : cuts[1]]),
                rejected=tuple(taken[cuts[1] :]),
                version=version,
                ages=chance.choice([(0, 0), (1, 0), (1, 1)]),
                open=tuple(in_flight) if chance.random() < 0.5 else None,
            )
        )
        version += bool(learned) + (chance.random() < 0.2)
    return tuple(turns), tuple(in_flight)


@settings(max_examples=12, deadline=None)
@given(runs(), st.booleans())
def test_no_right_run_has_a_violation(run: tuple[tuple[Turn, ...], tuple[int, ...]], ends: bool) -> None:
    turns, left = run
    with TemporaryDirectory() as path:
        books = BookedRun(Path(path))
        for turn in turns:
            books.turn(turn)
        folder = books.finish(unused=left) if ends else books.kill()
        assert verified(folder).violations == ()


@settings(max_examples=12, deadline=None)
@given(runs(), st.randoms(use_true_random=False))
def test_a_draw_that_is_lost_from_a_finished_run_is_found(
    run: tuple[tuple[Turn, ...], tuple[int, ...]], chance: random.Random
) -> None:
    """Whatever had become of it: all its rows and events are gone."""
    turns, left = run
    numbers = [*left, *(number for turn in turns for number in (*turn.learned, *turn.dull, *turn.rejected))]
    lost = chance.choice(sorted(numbers)[:-1])  # nobody knows that there was a draw after the last one
    with TemporaryDirectory() as path:
        books = BookedRun(Path(path))
        for turn in turns:
            books.turn(turn)
        folder = books.finish(unused=left)
        if folder.samples.exists():
            change_rows(folder, lambda row: [] if row["group_id"] == group_id(lost) else [row])
        events = [line for line in read_lines(folder.events) if line["group_id"] != group_id(lost)]
        replace_lines(folder.events, events)
        assert f"draw {lost} was handed out, and neither learned from nor dropped" in verified(folder).violations


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_right_run_ends_the_command_with_0(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder.path)]) == 0
    assert "groups: 8 learned from" in capsys.readouterr().out


def test_a_violation_is_a_line_and_ends_the_command_with_1(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = drop_what_was_learned(folder)
    assert main(["verify", str(folder.path), "--json"]) == 1
    written = capsys.readouterr()
    assert wrong in json.loads(written.out)["violations"]
    assert f"violation: {wrong}" in written.err.splitlines()


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
    with pytest.raises(BadInput, match="not a training run"):
        read_ledger(folder.path)


def test_samples_of_an_earlier_version_are_refused(folder: RunFolder) -> None:
    pq.write_table(pq.read_table(folder.samples).drop_columns(["learned"]), folder.samples)
    with pytest.raises(BadInput, match="no column learned"):
        read_ledger(folder.path)
