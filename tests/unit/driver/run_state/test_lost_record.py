"""Check that a run whose record, checkpoints or samples are partly lost goes on from what is whole, or is refused."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.commands.ending import end_run
from driver.run_state.resume import open_run
from driver.run_state.stopping import StopRequest, surviving_sigterm
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.line_logs import read_events, read_metrics
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from driver.tracking.verify.check_run import check_run
from driver.tracking.verify.records import read_records
from tests.builders import a_console
from tests.refusals import refused
from tests.runs.damaged_record import killed
from tests.runs.small_run import NAME, small_config, start, write_problems


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return a run of 7 steps with checkpoints of steps 6 and 7 that was killed before it wrote a summary."""
    start(small_config(tmp_path, problems=write_problems(tmp_path / "problems.jsonl")))
    folder = RunFolder(tmp_path / NAME)
    folder.summary.unlink()
    return folder


def again(folder: RunFolder) -> None:
    start(small_config(folder.path.parent, problems=folder.path.parent / "problems.jsonl"))


def assert_refused(folder: RunFolder, key: str, *named: str) -> None:
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with refused(key, *named):
        open_run(small_config(folder.path.parent, problems=folder.path.parent / "problems.jsonl"), NAME)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def cut_lines(path: Path, num: int) -> None:
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-num]), encoding="utf-8")


def test_the_newest_checkpoint_that_the_record_covers_is_used_and_the_newer_one_is_named_and_kept(
    folder: RunFolder,
) -> None:
    cut_lines(folder.metrics, 1)
    again(folder)
    assert (folder.checkpoints / "step-000007.without-record").is_dir()
    (resumed,) = [event for event in read_events(folder.events) if event.kind == "resumed"]
    assert resumed.reason == "after step 6"
    assert "step-000007" in resumed.detail
    assert check_run(read_records(folder.path)) == ()


def test_a_record_that_is_shorter_than_every_checkpoint_is_refused_by_name(folder: RunFolder) -> None:
    cut_lines(folder.metrics, 6)
    assert_refused(folder, "metrics.jsonl", "step-000007")


def remove_checkpoints(folder: RunFolder) -> None:
    for path in folder.checkpoints.glob("step-*"):
        shutil.rmtree(path)


def remove_all_in_their_folder(folder: RunFolder) -> None:
    shutil.rmtree(folder.checkpoints)
    folder.checkpoints.mkdir()


def unmount(folder: RunFolder) -> None:
    shutil.rmtree(folder.checkpoints)
    folder.checkpoints.symlink_to("/nowhere/disk")


def remove_their_folder(folder: RunFolder) -> None:
    shutil.rmtree(folder.checkpoints)


@pytest.mark.parametrize("lose", [remove_checkpoints, remove_all_in_their_folder, unmount, remove_their_folder])
def test_a_run_whose_checkpoints_are_missing_is_refused_and_its_record_stays(
    folder: RunFolder, lose: Callable[[RunFolder], None]
) -> None:
    lose(folder)
    assert_refused(folder, "checkpoints", str(folder.checkpoints))


def test_a_run_that_never_had_a_checkpoint_starts_anew_and_keeps_a_copy_of_its_record(folder: RunFolder) -> None:
    cut_lines(folder.metrics, 6)
    folder.events.write_text("", encoding="utf-8")
    remove_all_in_their_folder(folder)
    again(folder)
    kept = RunFolder(folder.path / "before-1")
    assert [step.step for step in read_metrics(kept.metrics)] == [1]
    assert kept.samples.exists()
    assert check_run(read_records(folder.path)) == ()


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_config_that_is_empty_or_cut_off_is_refused(folder: RunFolder, keep: float) -> None:
    content = folder.config.read_text(encoding="utf-8")
    cut = content.rfind("\n[", 0, max(2, int(keep * len(content)))) + 1
    folder.config.write_text(content[:cut], encoding="utf-8")
    assert_refused(folder, "config.toml", str(folder.config))


@pytest.mark.parametrize("damage", [b"", b"PAR1 and then nothing", None])
def test_a_damaged_part_of_the_samples_is_set_aside_and_told_and_the_run_ends(
    tmp_path: Path, damage: bytes | None
) -> None:
    folder = killed(tmp_path)
    part = folder.path / "samples" / "step-00000002.parquet"
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2] if damage is None else damage)
    damaged = part.read_bytes()
    ending = end_run(folder, recorder(folder), {}, status="finished", seconds=1.0)
    assert ending.problems == []
    assert ending.summary["status"] == "finished"
    assert part.with_name(f"{part.name}.damaged").read_bytes() == damaged
    (event,) = [event for event in read_events(folder.events) if event.kind == "samples_damaged"]
    assert part.name in event.reason
    assert part.name in folder.report.read_text(encoding="utf-8")


def test_every_piece_of_the_end_is_written_though_another_fails(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    folder.summary.mkdir()
    ending = end_run(folder, recorder(folder), {}, status="finished", seconds=1.0)
    assert [problem.split()[0] for problem in ending.problems] == ["summary.json"]
    assert folder.samples.exists()
    assert folder.report.exists()


def recorder(folder: RunFolder) -> RunRecorder:
    return RunRecorder(folder, a_console(), watch=ConsistencyWatch(floor=0, steps=1))


def test_sigterm_does_not_cut_the_end_of_a_run_off() -> None:
    stop, written = StopRequest(), []
    with surviving_sigterm(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        written.append("report.html")
    assert stop.is_asked
    assert written == ["report.html"]
