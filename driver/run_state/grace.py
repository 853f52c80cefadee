"""Tell at the start of a run that checkpoint.grace_s is too short to write a checkpoint after SIGTERM."""

import time
from collections.abc import Callable
from pathlib import Path

from cluster.estimate.disk import disk_need
from contracts.config.run import Config
from contracts.sealed_folder import SummedFile

_SLOWEST = 20e6
"""Bytes a second of a slow disk: what fits into the grace at this rate is not worth a measurement."""
_PROBE = 64 << 20
"""Bytes that are written to measure a disk."""
GIB = float(1 << 30)


def grace_note(config: Config, folder: Path, *, write_rate: Callable[[Path], float] | None = None) -> str:
    """Return a line for the user where the grace can't hold a checkpoint; empty where it can, or nothing is known.

    `write_rate` measures a folder, in bytes a second (default: `measured_rate`). The seconds are those of the rank that
    writes most; ranks write at the same time.

    Raises:
        OSError: the folder can't be written to.
    """
    need, grace_s = disk_need(config), config.checkpoint.grace_s
    if need is None or (most := need.export + need.state / config.learner.num_ranks) <= _SLOWEST * grace_s:
        return ""
    rate = (write_rate or measured_rate)(folder)
    seconds = most / rate
    if seconds <= grace_s:
        return ""
    return (
        f"checkpoint.grace_s = {grace_s:g} s can't hold a checkpoint after SIGTERM: of {need.checkpoint / GIB:.1f} GiB "
        f"rank 0 writes {most / GIB:.1f} GiB, in {seconds:.0f} s at {rate / GIB:.2f} GiB/s (measured in {folder}), and "
        "a step that is learning is finished before; set checkpoint.grace_s to more than both, or "
        "checkpoint.every_steps so that few steps are done again"
    )


def measured_rate(folder: Path) -> float:
    """Return the bytes a second at which one process writes to a folder as a checkpoint does: summed and synced.

    Raises:
        OSError: the folder can't be written to.
    """
    probe = folder / "write-rate.probe"
    content = bytes(_PROBE)
    started = time.monotonic()
    try:
        with SummedFile(probe) as file:
            file.write(content)
        return _PROBE / (time.monotonic() - started)
    finally:
        probe.unlink(missing_ok=True)
