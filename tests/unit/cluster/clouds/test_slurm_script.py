"""Test the Slurm script with stand-ins for `ray`, `srun` and the driver: what starts where, how it ends.

A real `ray symmetric-run` ends every Ray of its user on the machine, so no test may run it.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from contracts.paths import ROOT

SCRIPT = ROOT / "cluster" / "clouds" / "slurm.sh"
RAY = """#!/usr/bin/env bash
[ "$1" = symmetric-run ] || exit 0
printf '%s\\n' "$*" >> "$STARTED"
while [ "$1" != -- ]; do shift; done
shift
"$@"
"""
SRUN = """#!/usr/bin/env bash
printf 'srun %s\\n' "$*" >> "$STARTED"
"""
DRIVER = """
import os, signal, sys, time

def end(number, frame):
    time.sleep(0.5)  # a checkpoint is written
    sys.exit(int(os.environ["CODE"]))

signal.signal(signal.SIGTERM, end)
open(os.environ["RUNNING"], "w").write(" ".join([os.environ["RAY_ADDRESS"], *sys.argv[1:]]))
if "WAITS" not in os.environ:
    end(0, None)
time.sleep(60)
"""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """Make a checkout with the stand-ins, and return the environment of a job there."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("ray", RAY), ("srun", SRUN)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "run.py").write_text(DRIVER, encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_NNODES": "1",
        "RUN_NAME": "one",
        "STARTED": str(tmp_path / "started"),
        "RUNNING": str(tmp_path / "running"),
        "CODE": "0",
    }


def started(job: dict[str, str]) -> list[str]:
    return Path(job["STARTED"]).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("code", [0, 2])
def test_the_job_ends_as_its_driver_does(job: dict[str, str], code: int) -> None:
    done = subprocess.run(["bash", str(SCRIPT)], env=job | {"CODE": str(code)}, timeout=60, check=False)
    assert done.returncode == code
    address, *arguments = Path(job["RUNNING"]).read_text().split()
    assert f"--address {address} " in started(job)[0]  # without it, the driver would start a Ray of its own
    assert arguments == [
        "train",
        f"{job['SLURM_SUBMIT_DIR']}/configs/qwen3-32b-32gpu.toml",
        "run.name=one",
    ]


def test_all_other_nodes_run_the_same_command_and_wait_for_all(job: dict[str, str]) -> None:
    subprocess.run(["bash", str(SCRIPT)], env=job | {"SLURM_NNODES": "4"}, timeout=60, check=True)
    (others,) = (line for line in started(job) if line.startswith("srun"))
    (head,) = (line for line in started(job) if not line.startswith("srun"))
    assert others.startswith("srun --nodes=3 --ntasks=3 --relative=1 ray symmetric-run ")
    assert others.endswith(head)
    assert "--min-nodes 4" in head


def test_the_signal_before_the_time_limit_reaches_the_driver_and_the_job_waits_for_its_end(job: dict[str, str]) -> None:
    running = subprocess.Popen(["bash", str(SCRIPT)], env=job | {"WAITS": "1", "CODE": "7"})
    try:
        deadline = time.monotonic() + 60
        while not Path(job["RUNNING"]).exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 7
    finally:
        running.kill()


@pytest.mark.parametrize("missing", ["RUN_NAME", "SLURM_SUBMIT_DIR"])
def test_a_job_without_a_name_or_a_checkout_starts_nothing(job: dict[str, str], missing: str) -> None:
    without = {name: value for name, value in job.items() if name != missing}
    done = subprocess.run(["bash", str(SCRIPT)], env=without, timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert missing in done.stderr
    assert not Path(job["STARTED"]).exists()
