"""Test a command that is stopped before its first step: exit code, what to do next, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import MARK, RUN, stop, survivors
from tests.integration.conftest import TinyModels, write_config

DEADLINE_S = 180


@contextmanager
def running(
    config: Path, environment: Mapping[str, str], *, command: str = "train"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a command, and yield its process and the mark of all processes that it starts; afterwards none is left."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, str(RUN), command, str(config)],
        cwd=config.parent,
        env={**environment, MARK: mark, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, mark
    finally:
        stop(mark)
        process.wait()


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Read what the process prints until a line begins so."""
    assert process.stdout is not None
    assert any(line.startswith(beginning) for line in process.stdout)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_ray_starts_ends_in_one_line_and_leaves_no_process(
    sent: signal.Signals, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    with running(write_config(tmp_path, tiny_models), environment) as (process, mark):
        wait_for(process, "starting Ray")
        os.kill(process.pid, sent)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1, errors
        assert errors.splitlines()[-1].startswith("stopped by")
        assert "Traceback" not in errors
        assert not (tmp_path / "runs").exists()
        assert survivors(mark) == ()


def test_a_signal_to_another_command_ends_it_in_one_line_and_leaves_no_process(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    with running(write_config(tmp_path, tiny_models), environment, command="audit") as (process, mark):
        wait_for(process, "loading scorer")
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1, errors
        assert errors.splitlines()[-1].startswith("stopped by")
        assert "SIGTERM received" not in errors and "Traceback" not in errors
        assert survivors(mark) == ()


def test_after_a_second_ctrl_c_it_is_said_how_to_go_on(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    with running(write_config(tmp_path, tiny_models), environment) as (process, _):
        wait_for(process, "loading learner")
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout is not None
        printed = [process.stdout.readline()]
        os.kill(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1, errors
        assert any("continue" in line for line in [*printed, *rest.splitlines()])
