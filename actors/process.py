"""What a process tells about itself, so that the driver can name its log files. Knows nothing else."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessInfo:
    """Where one actor runs and writes."""

    pid: int
    node: str
    stdout: str  # the file behind it, as Ray has opened it
    stderr: str


def this_process() -> ProcessInfo:
    return ProcessInfo(
        pid=os.getpid(),
        node=os.uname().nodename,
        stdout=os.path.realpath("/proc/self/fd/1"),
        stderr=os.path.realpath("/proc/self/fd/2"),
    )
