"""Kill a run and start it again by the same command, and compare it with a run that never stopped."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.listening import ListeningPort, listening_ports
from driver.tracking.line_logs import read_events, read_metrics
from driver.tracking.run_folder import RunFolder
from tests.commands import MARK, ROOT, Finished, run_project, stop, survivors
from tests.integration.conftest import STEPS, TinyModels, TinyRun, prepare_tiny
from tests.models.exported import assert_same_policy

NAME = "killed"


@dataclass(frozen=True, kw_only=True)
class Continued:
    """Hold the steps after the kill, and the folder after the second start."""

    steps_before: list[int]
    ports: list[ListeningPort]  # of all its processes, before the kill
    command: Finished
    folder: RunFolder


@pytest.fixture(scope="module")
def continued(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Continued:
    """Kill a run with all its actors when its first step has a checkpoint, and start it again."""
    folder = tmp_path_factory.mktemp("killed")
    config = str(prepare_tiny(tiny_models, folder=folder).path)
    words = ("train", config, f"run.name={NAME}", "checkpoint.every_steps=1")
    run = RunFolder(folder / "runs" / NAME)
    ports = kill_after(run.checkpoints / "latest", words, environment=environment, folder=folder)
    steps_before = [step.step for step in read_metrics(run.metrics)]
    command = run_project(*words, cwd=folder, environment=environment)
    assert command.code == 0, command.stderr
    return Continued(steps_before=steps_before, ports=ports, command=command, folder=run)


def kill_after(file: Path, words: tuple[str, ...], *, environment: dict[str, str], folder: Path) -> list[ListeningPort]:
    """Start a command, and kill it and all its processes once the file exists. Return where they listened."""
    mark = uuid.uuid4().hex
    with (folder / "killed.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "driver" / "run.py", *words],
            cwd=folder,
            env=environment | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 500
    while not file.exists():
        printed = (folder / "killed.log").read_text(encoding="utf-8")
        assert process.poll() is None, printed
        assert time.monotonic() < deadline, printed
        time.sleep(0.01)
    ports = listening_ports(process.pid)
    process.kill()
    process.wait()
    if survivors(mark):
        stop(mark)
    return ports


def test_the_kill_came_in_the_middle(continued: Continued) -> None:
    assert 1 <= len(continued.steps_before) < STEPS
    assert "step-000001" in continued.command.stdout


def test_no_port_of_the_run_can_be_reached_from_another_machine(continued: Continued) -> None:
    commands = {one.command for one in continued.ports}
    assert {"raylet", "gcs_server"} <= commands and len(continued.ports) > 10  # Ray, the actors and gloo were seen
    assert [one for one in continued.ports if not one.is_local] == []


def test_every_step_is_recorded_once_with_the_same_measures(continued: Continued, first_run: TinyRun) -> None:
    names = ("policy/loss", "policy/grad_norm", "policy/entropy", "reward/mean", "policy/logprob_diff_max")
    steps, never_stopped = (
        [(step.step, *(step.metrics[name] for name in names)) for step in read_metrics(path)]
        for path in (continued.folder.metrics, first_run.folder / "metrics.jsonl")
    )
    assert steps == never_stopped


def test_every_sample_is_recorded_once_and_is_the_same(continued: Continued, first_run: TinyRun) -> None:
    found, never_stopped = (
        pq.read_table(path / "samples.parquet").to_pylist() for path in (continued.folder.path, first_run.folder)
    )
    assert found == never_stopped


def test_the_policy_in_the_end_is_the_same_to_the_bit(continued: Continued, first_run: TinyRun) -> None:
    assert_same_policy(continued.folder.checkpoints / "final", first_run.folder / "checkpoints" / "final")


def test_a_checkpoint_holds_the_policy_as_a_folder_that_loads(continued: Continued) -> None:
    checkpoints = continued.folder.checkpoints
    assert_same_policy(checkpoints / f"step-{STEPS:06d}" / "policy", checkpoints / "final")


def test_the_record_has_an_event_of_the_second_start(continued: Continued) -> None:
    (event,) = [event for event in read_events(continued.folder.events) if event.kind == "resumed"]
    assert event.reason == "after step 1"
    assert os.listdir(continued.folder.checkpoints / "final")


def test_a_flipped_bit_in_a_shard_is_refused_by_name_if_the_config_says_so(
    continued: Continued, environment: dict[str, str]
) -> None:
    """A copy of the run is asked for one more step; nothing in its folder changes."""
    home, name = continued.folder.path.parent.parent, "damaged"
    copy = RunFolder(shutil.copytree(continued.folder.path, home / "runs" / name, symlinks=True))
    newest = copy.checkpoints / (copy.checkpoints / "latest").read_text(encoding="utf-8").strip()
    shard = max((newest / "learner").rglob("*.pt"), key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in copy.path.rglob("*")}
    config = next(home.glob("*.toml"))
    words = ("train", str(config), f"run.name={name}", f"algorithm.steps={STEPS + 1}", "checkpoint.on_damage=stop")
    command = run_project(*words, "checkpoint.every_steps=1", cwd=home, environment=environment)
    assert command.code == 2, command.stderr
    (line,) = [line for line in command.stderr.splitlines() if line.startswith("error: ")]
    assert newest.name in line and shard.name in line
    assert "Traceback" not in command.stderr
    assert {path: path.stat().st_mtime_ns for path in copy.path.rglob("*")} == before
