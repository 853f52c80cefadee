"""Measure how much memory each process of a run holds: start `driver/run.py train` as a person does, and watch it.

Linux says of every process how much of its memory is anonymous (its own: weights, states, caches) and how much is
shared with files (libraries, models that are mapped, Ray's object store).
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import Sizes
from benchmarks.outcomes import MemoryUse, ProcessMemory
from cluster.environment import ROLE_VARIABLE
from cluster.estimate.actors import estimate
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import dump_config
from contracts.config.run import Config
from contracts.paths import ROOT

MARK = "PB_RLSVR_MEASURED"
"""Variable that only the processes of the measured run have."""
EVERY_S = 0.5
_PARTS = {"Anonymous": "anonymous", "Rss": "resident", "Pss": "proportional"}
_GIB_PER_KB = 1 / 2**20


def run(sizes: Sizes) -> list[MemoryUse]:
    """Run some steps, with a checkpoint after each, and return the peaks of every process."""
    config = sizes.config
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        file = Path(folder) / "memory.toml"
        file.write_text(dump_config(config), encoding="utf-8")
        overrides = {
            "run.folder": folder,
            "run.name": "run",
            "algorithm.steps": str(sizes.rounds),
            "pivot.cache": "off",  # the pivot is a part of what is measured
            "checkpoint.every_steps": "1",
            "evaluation.before": "false",
            "evaluation.after": "false",
        }
        mark = uuid.uuid4().hex
        command = [sys.executable, str(ROOT / "driver" / "run.py"), "train", str(file)]
        process = subprocess.Popen(
            [*command, *(f"{key}={value}" for key, value in overrides.items())],
            cwd=ROOT,
            env={**os.environ, MARK: mark},
        )
        peaks = Peaks(mark)
        while process.poll() is None:
            peaks.look()
            time.sleep(EVERY_S)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return [peaks.outcome(config, steps=sizes.rounds)]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Hold the memory of one process, in GiB."""

    anonymous: float
    resident: float  # anonymous and shared
    proportional: float  # anonymous, and its part of what it shares with other processes

    def largest(self, other: "Memory") -> "Memory":
        """Return the larger of each two numbers."""
        return Memory(
            anonymous=max(self.anonymous, other.anonymous),
            resident=max(self.resident, other.resident),
            proportional=max(self.proportional, other.proportional),
        )


class Peaks:
    """Keep the most memory that each process with the mark has held, and all of them at one moment."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}"
        self._roles: dict[int, str] = {}  # "": not of the run
        self._peaks: dict[int, Memory] = {}
        self._together = 0.0

    def look(self) -> None:
        """Read what every process holds now."""
        now = dict(self._processes())
        for pid, memory in now.items():
            self._peaks[pid] = memory.largest(self._peaks.get(pid, memory))
        self._together = max(self._together, sum(memory.proportional for memory in now.values()))

    def outcome(self, config: Config, *, steps: int) -> MemoryUse:
        """Return the peaks, actors first, beside what `plan` says of them; the small processes of Ray as one."""
        planned = {
            str(role): need.host.total_gib
            for role, need in estimate(with_device_defaults(config, "cpu"), "cpu").items()
            if need.host is not None
        }
        actors: list[ProcessMemory] = []
        for pid, memory in sorted(self._peaks.items(), key=lambda item: (self._roles[item[0]], item[0])):
            role = self._roles[pid]
            if role == "ray":
                continue
            actors.append(
                ProcessMemory(
                    name=role,
                    planned_gib=planned.get(role),
                    anonymous_gib=memory.anonymous,
                    shared_gib=memory.resident - memory.anonymous,
                )
            )
        small = [memory for pid, memory in self._peaks.items() if self._roles[pid] == "ray"]
        ray = ProcessMemory(
            name=f"Ray ({len(small)} processes)",
            planned_gib=None,
            anonymous_gib=sum(memory.anonymous for memory in small),
            shared_gib=max((memory.resident - memory.anonymous for memory in small), default=0.0),
        )
        return MemoryUse(
            name="memory",
            work=f"{steps} steps of {config.algorithm.groups_per_step} problems x "
            f"{config.algorithm.samples_per_problem} responses, a checkpoint after each",
            processes=(*actors, ray),
            together_gib=self._together,
        )

    def _processes(self) -> Iterator[tuple[int, Memory]]:
        for place in Path("/proc").glob("[0-9]*"):
            pid = int(place.name)
            try:
                if self._roles.get(pid, "") in ("", "ray"):  # what it was started for is known only after its start
                    self._roles[pid] = self._role(place) or self._roles.get(pid, "")
                if self._roles[pid]:
                    yield pid, read_memory(place / "smaps_rollup")
            except OSError:  # the process has ended, or belongs to another user
                self._roles.setdefault(pid, "")

    def _role(self, place: Path) -> str:
        """Return the role of an actor, "driver", "ray" for a process of Ray's own, or nothing."""
        variables = (place / "environ").read_text(encoding="utf-8", errors="replace").split("\0")
        if self._mark not in variables:
            return ""
        named = next((value for value in variables if value.startswith(f"{ROLE_VARIABLE}=")), "")
        if named:
            return named.partition("=")[2]
        words = (place / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        return "driver" if any(word.endswith("driver/run.py") for word in words) else "ray"


def read_memory(file: Path) -> Memory:
    """Read a process's smaps_rollup, whose lines are like "Anonymous:  123 kB".

    Raises:
        OSError: the process has ended, or belongs to another user.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    found: Mapping[str, float] = {
        _PARTS[name]: int(value.split()[0]) * _GIB_PER_KB
        for name, _, value in (line.partition(":") for line in lines)
        if name in _PARTS
    }
    return replace(Memory(anonymous=0.0, resident=0.0, proportional=0.0), **found)
