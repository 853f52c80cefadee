"""Check what the memory benchmark reads of processes, on processes that are really there."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.memory import MARK, Memory, Peaks, read_memory
from benchmarks.outcomes import tables
from cluster.environment import ROLE_VARIABLE
from tests.builders import a_config

HELD = 64 << 20  # bytes
SCRIPT = f"import sys; held = bytearray(b'x') * {HELD}; print('ready', flush=True); sys.stdin.read()"


def test_three_numbers_are_read_in_gib(tmp_path: Path) -> None:
    file = tmp_path / "smaps_rollup"
    file.write_text(
        "5581-7ffd ---p 00000000 00:00 0    [rollup]\n"
        "Rss:             3145728 kB\n"
        "Pss:             2097152 kB\n"
        "Pss_Anon:        1048576 kB\n"
        "Anonymous:       1048576 kB\n",
        encoding="utf-8",
    )
    assert read_memory(file) == Memory(anonymous=1.0, resident=3.0, proportional=2.0)


def test_the_marked_processes_are_told_apart_by_their_role() -> None:
    peaks = Peaks("mine")
    marks = {"mine": {ROLE_VARIABLE: "scorer"}, "other": {ROLE_VARIABLE: "scorer"}}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, MARK: mark, **role},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for mark, role in marks.items()
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    peaks.look()
    for process in processes:
        process.communicate()
    found = peaks.outcome(a_config(), steps=3)
    scorer, ray = found.processes
    assert (scorer.name, ray.anonymous_gib) == ("scorer", 0.0)
    assert scorer.anonymous_gib * 2**30 >= HELD
    assert found.together_gib >= scorer.anonymous_gib
    assert "scorer" in tables([found])


def test_the_peak_stays_when_a_process_has_ended() -> None:
    memory = Memory(anonymous=1.0, resident=5.0, proportional=2.0)
    later = Memory(anonymous=2.0, resident=3.0, proportional=1.0)
    assert memory.largest(later) == Memory(anonymous=2.0, resident=5.0, proportional=2.0)
