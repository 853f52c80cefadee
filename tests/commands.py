"""Runs the project's commands as a person does, in processes of their own, and knows every process that came of it.

Owns the environment of such a run and the search for what it left behind: each run carries a mark in its environment,
which every process that it starts inherits, Ray's included. Nothing else is ever looked at or stopped.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "driver" / "run.py"
MARK = "PB_RLSVR_TEST_MARK"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    left_behind: tuple[str, ...]  # command lines of its processes that still lived well after it

    @property
    def errors(self) -> list[str]:
        """The lines that a person sees of what went wrong."""
        return [line for line in self.stderr.splitlines() if line.strip()]


def run_project(*words: str, cwd: Path, environment: Mapping[str, str], timeout_s: float = 600) -> Finished:
    """`python driver/run.py WORDS`, started in `cwd`."""
    return run_marked([sys.executable, str(RUN), *words], cwd=cwd, environment=environment, timeout_s=timeout_s)


def run_marked(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float = 600
) -> Finished:
    """Run to the end and look for survivors. What runs longer than `timeout_s` is stopped and fails the test."""
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


def survivors(mark: str, *, within_s: float = 20) -> tuple[str, ...]:
    """The marked processes that are still there after some time to go: Ray's take a moment."""
    deadline = time.monotonic() + within_s
    while (alive := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return tuple(alive.values())


def stop(mark: str) -> None:
    """End what carries the mark, gently and then not."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                continue
        survivors(mark, within_s=10)


def marked(mark: str) -> dict[int, str]:
    """Process ids and command lines of all that carries the mark and has not ended."""
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is another user's
    return found
