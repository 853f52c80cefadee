"""Decide how an engine gives up its GPU's memory. Must not import vLLM."""

from pathlib import Path
from typing import Literal

SleepLevel = Literal[1, 2]
"""vLLM's levels: 1 keeps the weights in host memory, 2 keeps nothing."""

USABLE = 0.25
"""Share of a node's free host memory that copies of weights may take. The learner's states come on top: about eight
times as much, divided over its ranks."""


def sleep_level(*, weight_bytes: int, num_copies: int, free_bytes: int) -> SleepLevel:
    """Return 1 where the node has memory for a copy of the weights of every engine on it, else 2.

    Args:
        weight_bytes: of one engine.
        num_copies: engines that may be on this node.
        free_bytes: host memory that is free before the first engine sleeps.
    """
    return 1 if weight_bytes * num_copies <= free_bytes * USABLE else 2


def free_host_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the host memory that can be taken without swapping, as Linux counts it."""
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"{meminfo} does not say how much memory is available")
