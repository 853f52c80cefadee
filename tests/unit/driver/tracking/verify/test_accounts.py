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

from contracts.errors import BadInput
from driver.cli import main
from driver.tracking.json_lines import read_lines, replace_lines
from driver.tracking.run_folder import RunFolder, sole_writer
from driver.tracking.verify.ledger import read_ledger
from tests.runs.booked import BookedRun, Turn
from tests.runs.spoiled import (
    TURNS,
    UNUSED,
    WRONGS,
    Line,
    change_lines,
    change_rows,
    drop_what_was_learned,
    finished,
    group_id,
    killed,
    verified,
)


@pytest.fixture(scope="module")
def right_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished(tmp_path_factory.mktemp("right"))


@pytest.fixture
def folder(right_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the right run, to be spoiled."""
    return RunFolder(shutil.copytree(right_run.path, tmp_path / "booked"))


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


def sft_run(place: Path) -> RunFolder:
    run = BookedRun(place, max_staleness=0, algorithm="sft")
    run.turn(Turn(learned=(0, 2), rejected=(1,), version=0, open=()))
    run.turn(Turn(learned=(3,), version=1))
    return run.finish()


def test_what_was_imitated_counts_as_learned_from_though_no_engine_drew_it(tmp_path: Path) -> None:
    statement = verified(sft_run(tmp_path))
    assert (statement.violations, statement.not_recorded) == ((), ())
    assert (statement.learned, statement.samples, statement.dropped) == (3, 0, {"reference_truncated": 1})


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (
            lambda lines: lines.append(lines[0] | {"step": 2}),
            "group 0/0/de was learned from more than once: in the steps 1, 2",
        ),
        (lambda lines: lines.pop(0), "draw 0 was handed out, and neither learned from nor dropped"),
        (lambda lines: lines.pop(0), "checkpoint step-000001 has draw 0 neither settled nor open: it is lost"),
    ],
)
def test_a_problem_that_is_imitated_twice_or_not_at_all_is_named(
    tmp_path: Path, change: Callable[[list[Line]], object], wrong: str
) -> None:
    folder = sft_run(tmp_path)
    change_lines(folder.events, change)
    assert wrong.replace("0/0/de", group_id(0)) in verified(folder).violations


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
