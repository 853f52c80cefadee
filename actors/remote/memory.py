"""Measure the memory of a process: what it holds now, and the most that it has held."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STATUS = re.compile(r"^(VmHWM|RssAnon):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessMemory:
    """Hold the memory of a process, in bytes."""

    own: int  # now: anonymous memory, which no other process shares
    peak: int  # the most resident memory so far, with files and libraries that other processes may share
    gpu: int  # the most that torch has allocated on this process's GPUs so far; 0 without a GPU


def this_process_memory(*, with_children: bool) -> ProcessMemory:
    """Measure the calling process.

    An actor's children belong to it: vLLM starts them for tensor parallelism. They count on the host only. The driver's
    may be all of Ray.
    """
    own = peak = 0
    here = Path("/proc/self")
    for process in (here, *(_descendants(here) if with_children else ())):
        try:
            status = (process / "status").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):  # a child has just ended
            continue
        found = {name: int(kib) * 1024 for name, kib in _STATUS.findall(status)}
        own += found.get("RssAnon", 0)
        peak += found.get("VmHWM", 0)
    return ProcessMemory(own=own, peak=peak, gpu=_gpu_peak())


def _descendants(process: Path) -> Iterator[Path]:
    """Yield the folders in /proc of all processes below one (proc_pid_task(5): `children`)."""
    for thread in process.glob("task/*/children"):
        try:
            children = thread.read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            yield Path("/proc") / child
            yield from _descendants(Path("/proc") / child)


def _gpu_peak() -> int:
    """Return torch's peak. Torch is neither imported nor made to open a GPU for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.max_memory_allocated(device) for device in range(torch.cuda.device_count()))
