"""Find out how much memory this machine lets the program have."""

import os
from pathlib import Path

GIB = float(1 << 30)
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container finds its limit: control groups of version 2, and of version 1."""


def host_memory_gib(limits: tuple[Path, ...] = _LIMITS) -> float:
    """Return the memory of this machine, or of the container that the program runs in if that is less, in GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([memory, *(limit for file in limits if (limit := _limit(file)) is not None)]) / GIB


def _limit(file: Path) -> int | None:
    """Return the bytes in a file of a control group; None if there is no such file, or no limit ("max")."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
