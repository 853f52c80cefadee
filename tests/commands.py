"""Run the project's commands as a person does, in processes of their own, and find the processes that they leave.

Each run has a mark in its environment, which every process that it starts inherits, Ray's included. Only processes with
the mark are read or stopped.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "driver" / "run.py"
MARK = "PB_RLSVR_TEST_MARK"
GATES = ("language", "answer_language", "format", "truncation", "empty", "repetition", "copying", "length")
GATES_OFF = "\n".join(["[reward.gates]", *(f"{gate} = false" for gate in GATES)])
"""A section of a config: no response of a random model passes the gates."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Hold the outcome of a command."""

    code: int
    stdout: str
    stderr: str
    left_behind: tuple[str, ...]  # command lines of its processes that still ran well after its end

    @property
    def errors(self) -> list[str]:
        """Return the lines of standard error."""
        return [line for line in self.stderr.splitlines() if line.strip()]

    @property
    def summary(self) -> dict:
        """Return the JSON object of a command that was run with --json. The command must have succeeded, cleanly."""
        assert self.code == 0, self.stderr
        assert self.left_behind == ()
        return json.loads(self.stdout.splitlines()[-1])


def run_project(*words: str, cwd: Path, environment: Mapping[str, str], timeout_s: float = 600) -> Finished:
    """Run `python driver/run.py WORDS` in `cwd`."""
    return run_marked([sys.executable, str(RUN), *words], cwd=cwd, environment=environment, timeout_s=timeout_s)


def run_with_config(command: str, config: str, *words: str, folder: Path, environment: Mapping[str, str]) -> Finished:
    """Write a config into `folder` and run a command with it there."""
    path = folder / f"{command}.toml"
    path.write_text(config, encoding="utf-8")
    return run_project(command, str(path), *words, cwd=folder, environment=environment)


def run_marked(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float = 600
) -> Finished:
    """Run a command to its end and find its survivors. A command that takes longer than `timeout_s` fails the test."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**environment, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        stop(mark)
        stdout, stderr = process.communicate()
        raise AssertionError(
            f"{' '.join(command)} was still running after {timeout_s:g} s\n{stdout}\n{stderr}"
        ) from None
    return Finished(code=process.returncode, stdout=stdout, stderr=stderr, left_behind=survivors(mark))


@contextmanager
def killed_when(
    reached: Callable[[], bool], words: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> Iterator[int]:
    """Start a command, yield its process id once `reached` says so, then kill it and all its processes."""
    mark, log = uuid.uuid4().hex, folder / "killed.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(RUN), *words],
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 500
        while not reached():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.01)
        yield process.pid
    finally:
        process.kill()
        process.wait()
        if survivors(mark):
            stop(mark)


def survivors(mark: str, *, within_s: float = 60) -> tuple[str, ...]:
    """Return the command lines of marked processes that have not ended after `within_s`: Ray's need a moment."""
    deadline = time.monotonic() + within_s
    while (alive := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return tuple(alive.values())


def stop(mark: str) -> None:
    """Stop the marked processes: first by SIGTERM, then by SIGKILL."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                continue
        survivors(mark, within_s=10)


def marked(mark: str) -> dict[int, str]:
    """Return the command lines of the marked processes that have not ended, by process id."""
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # the process ended meanwhile, or is another user's
    return found
