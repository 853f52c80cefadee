"""Define what callers know of an actor: its handle, and where its process runs and writes its logs."""

import os
from dataclasses import dataclass
from typing import Any, TypeAlias

RemoteActor: TypeAlias = Any
"""A Ray actor's handle. Ray creates its methods at run time, so no type checker sees them."""
RemoteClass: TypeAlias = Any
"""A class decorated with `ray.remote`. No type checker sees its methods either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessInfo:
    """Say where one actor runs and writes."""

    pid: int
    node: str
    stdout: str  # path of the file that Ray has opened for it
    stderr: str


def this_process() -> ProcessInfo:
    """Describe the calling process."""
    return ProcessInfo(
        pid=os.getpid(),
        node=os.uname().nodename,
        stdout=os.path.realpath("/proc/self/fd/1"),
        stderr=os.path.realpath("/proc/self/fd/2"),
    )
