"""Check that the stages of a checkpoint are told apart from the folder alone, and that a process is stopped in one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from driver.tracking.run_folder import RunFolder
from tests.chaos.gate import OpenGate
from tests.chaos.plan import STAGES, Stage
from tests.chaos.signals import send
from tests.chaos.stages import StageWatch, stop_in

KEEP_LAST = 2


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return a run with two checkpoints, the newer one is the latest, and one that a kill has left."""
    folder = RunFolder(tmp_path)
    for name in ("step-000003", "step-000006", "step-000009.partial"):
        (folder.checkpoints / name / "learner").mkdir(parents=True)
    (folder.checkpoints / "latest").write_text("step-000006\n", encoding="utf-8")
    return folder


def stages(watch: StageWatch) -> list[Stage]:
    return [stage for stage in STAGES if watch.is_in(stage)]


def test_a_checkpoint_goes_through_its_stages_one_after_the_other(folder: RunFolder) -> None:
    watch, checkpoints = StageWatch(folder, keep_last=KEEP_LAST), folder.checkpoints
    assert not watch.is_close()
    assert stages(watch) == []  # what a kill left is none

    partial, final = checkpoints / "step-000012.partial", checkpoints / "step-000012"
    (partial / "learner").mkdir(parents=True)
    assert watch.is_close()
    assert stages(watch) == []
    (partial / "learner" / "shard.pt").touch()
    assert stages(watch) == ["kill_shards"]
    (partial / "manifest.json.writing").touch()
    assert stages(watch) == ["kill_shards", "kill_manifest"]
    partial.rename(final)
    assert stages(watch) == ["kill_rename"]
    assert not watch.is_over()
    (checkpoints / "latest").write_text("step-000012\n", encoding="utf-8")
    assert stages(watch) == ["kill_pointer"]
    assert not watch.is_over()
    removed = (checkpoints / "step-000003").rename(checkpoints / "step-000003.partial")
    assert stages(watch) == ["kill_pruning"]
    assert not watch.is_over()
    (removed / "learner").rmdir()
    removed.rmdir()
    assert stages(watch) == []
    assert watch.is_over()


def test_export_and_merge_are_seen_by_what_is_new(folder: RunFolder) -> None:
    (folder.checkpoints / "final").mkdir()
    (folder.checkpoints / "final" / "config.json").touch()
    (folder.path / "samples.parquet").touch()
    watch = StageWatch(folder, keep_last=KEEP_LAST)
    assert stages(watch) == []
    (folder.checkpoints / "final.partial").mkdir()
    (folder.checkpoints / "final.partial" / "config.json").touch()
    assert stages(watch) == ["kill_export"]
    (folder.path / "samples.parquet.writing").touch()
    assert stages(watch) == ["kill_export", "kill_merge"]


def test_a_process_is_left_stopped_in_the_stage(tmp_path: Path) -> None:
    # Every file is there for a few milliseconds only.
    script = (
        "import os, sys, time\n"
        "for number in range(1000):\n"
        "    path = os.path.join(sys.argv[1], str(number))\n"
        "    open(path, 'w').close(); time.sleep(0.005); os.remove(path)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
        assert stop_in(process.pid, (tmp_path / "20").exists, until=lambda: process.poll() is not None)
        assert [path.name for path in tmp_path.iterdir()] == ["20"]
        send(process.pid, signal.SIGKILL)


def test_a_process_that_ends_before_the_stage_is_given_up(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        assert not stop_in(process.pid, (tmp_path / "never").exists, until=lambda: process.poll() is not None)


def test_a_process_is_held_where_it_opens_something_until_it_is_let_through(tmp_path: Path) -> None:
    try:
        gate = OpenGate([tmp_path])
    except PermissionError:
        pytest.skip("fanotify needs root")
    script = "import os, sys\nfor name in 'abc':\n    open(os.path.join(sys.argv[1], name), 'w').close()\n"
    with gate, subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
        for number in range(3):
            request = gate.next(60.0)
            assert request is not None
            (tmp_path / "own").touch()  # this process is not held
            assert len([path for path in tmp_path.iterdir() if path.name != "own"]) == number + 1
            gate.let_through(request)
        assert process.wait(timeout=60) == 0
        assert gate.next(0.01) is None
