"""What an actor is to others: a handle, and a process that tells where it writes. Knows nothing else."""

import os
from dataclasses import dataclass
from typing import Any, TypeAlias

RemoteActor: TypeAlias = Any
"""A Ray actor's handle: Ray makes its methods when the program runs, so no type checker sees them."""
RemoteClass: TypeAlias = Any
"""A class decorated with `ray.remote`, likewise."""


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
