"""Cut the power at random moments of a run, start it again, and let `verify` prove that nothing is lost or doubled."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from contracts.errors import BadInput
from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import RunFolder
from driver.tracking.verify.check_run import check_run
from driver.tracking.verify.records import read_records
from tests.fakes.forgetful_disk import ForgetfulDisk, Moment
from tests.runs.small_run import NAME, small_config, start, write_problems

STEPS = 7
NUM_MOMENTS = 50
PowerCut = Callable[[Moment, Path, Random], None]


def lose_all(moment: Moment, place: Path, random: Random) -> None:
    moment.after_power_cut(place)


def lose_some(moment: Moment, place: Path, random: Random) -> None:
    moment.after_partial_loss(place, random)


def moments_of_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, never_syncs: frozenset[str] = frozenset()
) -> list[Moment]:
    """Run to the end and go on for more steps; return all moments before a sync, and the last."""
    write_problems(folder.parent / "problems.jsonl")
    disk = ForgetfulDisk(folder, never_syncs=never_syncs)
    with disk.watching(monkeypatch):
        run_in(folder, steps=STEPS - 3)
        run_in(folder)
    return disk.moments


def run_in(place: Path, *, steps: int = STEPS) -> None:
    problems = place.parent / "problems.jsonl"
    start(small_config(place / "runs", problems=problems, steps=steps))


def assert_proven(place: Path) -> None:
    path = place / "runs" / NAME
    records = read_records(path)
    assert [violation.text for violation in check_run(records)] == []
    assert records.status == "finished"
    assert [step.step for step in read_metrics(RunFolder(path).metrics)] == list(range(1, STEPS + 1))


@pytest.mark.parametrize("power_cut", [lose_all, lose_some])
@pytest.mark.slow
def test_a_run_goes_on_after_a_power_cut_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power_cut: PowerCut
) -> None:
    (tmp_path / "disk").mkdir()
    random = Random(7)
    moments = moments_of_a_run(tmp_path / "disk", monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda place: None)  # what goes on after the power cut need not wait for the disk
    for number, moment in enumerate(random.sample(moments[:-1], NUM_MOMENTS // 2)):
        place = tmp_path / f"cut-{number}"
        power_cut(moment, place, random)
        run_in(place)
        assert_proven(place)


@pytest.mark.parametrize("file", ["metrics.jsonl", "events.jsonl"])
@pytest.mark.slow
def test_on_a_disk_that_loses_what_was_synced_a_run_goes_on_from_what_is_recorded_or_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (tmp_path / "disk").mkdir()
    random = Random(8)
    moments = moments_of_a_run(tmp_path / "disk", monkeypatch, never_syncs=frozenset([file]))
    monkeypatch.setattr(os, "fsync", lambda place: None)
    num_refused = 0
    for number, moment in enumerate(random.sample(moments[len(moments) // 4 : -1], 10)):
        place = tmp_path / f"cut-{number}"
        moment.after_partial_loss(place, random)
        before = contents(place)
        try:
            run_in(place)
        except BadInput as refusal:
            assert refusal.key == file
            assert contents(place) == before
            num_refused += 1
        else:
            assert_proven(place)
    assert 0 < num_refused < 10


def contents(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
