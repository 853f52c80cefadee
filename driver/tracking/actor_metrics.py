"""Compute the metrics of single actors from two readings of each, and those of the disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from actors.fleets.readings import ActorReading
from actors.remote.progress import Progress

_WORK = {"scorer": "texts_per_s"}
"""What a role's work is called; tokens_per_s for the others."""


class ActorMeter:
    """Measure actors from one call to the next: rates need two readings of one process."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[int, Progress]] = {}  # by actor: restarts and progress at the last measure

    def measure(self, readings: Sequence[ActorReading]) -> dict[str, float]:
        """Return the metrics `actor/...`, without rates where an actor has said nothing new since the last call."""
        versions = [reading.version for reading in readings if reading.version is not None]
        newest = max(versions, default=0)
        metrics: dict[str, float] = {}
        for reading in readings:
            measured = _state(reading, newest=newest) | self._rates(reading)
            metrics |= {f"actor/{reading.name}/{name}": value for name, value in measured.items()}
        return metrics

    def _rates(self, reading: ActorReading) -> dict[str, float]:
        now = reading.progress
        if now is None:
            return {}
        restarts, before = self._before.get(reading.name, (reading.num_restarts, now))
        if before is now or restarts != reading.num_restarts:
            self._before[reading.name] = reading.num_restarts, now
            return {}
        seconds = now.at_s - before.at_s
        if seconds <= 0:
            return {}
        self._before[reading.name] = reading.num_restarts, now
        # A step of an engine is counted when it ends: a long one may make a share exceed 1.
        busy = min(1.0, max(0.0, (now.busy_s - before.busy_s) / seconds))
        return {
            _WORK.get(reading.role, "tokens_per_s"): (now.work - before.work) / seconds,
            "busy_share": busy,
            "waiting_share": 1.0 - busy,
        }


def _state(reading: ActorReading, *, newest: int) -> dict[str, float]:
    found = {"serving": float(reading.is_serving), "restarts": float(reading.num_restarts)}
    if reading.queue is not None:
        found["queue"] = float(reading.queue)
    if reading.version is not None:
        found |= {"version": float(reading.version), "versions_behind": float(newest - reading.version)}
    return found


def disk_metrics(folder: Path) -> dict[str, float]:
    """Return the metrics `disk/...` of the disk on which the folder lies.

    Raises:
        OSError: the folder can't be reached.
    """
    usage = shutil.disk_usage(folder)
    return {"disk/free_gib": usage.free / 2**30, "disk/free_share": usage.free / usage.total}
