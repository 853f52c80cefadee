"""Measure what a step pays for a record that survives a power cut: the sync before each checkpoint."""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import say
from benchmarks.measure import Sizes
from benchmarks.outcomes import Figure
from contracts.paths import ROOT
from driver.tracking.run_folder import RunFolder, sync_record

STEP_S = 21.44
"""Seconds of a step of configs/smollm2.toml, as `step` measured it on two cores."""
NUM_STEPS = 40
LINE_BYTES = 5000
"""What a step adds to metrics.jsonl and to events.jsonl."""
AIM = 1.02


def run(sizes: Sizes) -> list[Figure]:
    """Add to a record and sync it, as a run with a checkpoint after every step does."""
    seconds = [_synced_s() for _ in range(sizes.rounds)]
    say(f"{1000 * median(seconds):.1f} ms a sync")
    return [
        Figure(
            name="record",
            what="a step with the sync of its record over the same step without it, a checkpoint after every step",
            values=tuple((STEP_S + spent) / STEP_S for spent in seconds),
            aim=AIM,
            is_at_most=True,
            work=f"{NUM_STEPS} steps that add {LINE_BYTES} bytes to each log, over {STEP_S} s a step of SmolLM2",
        )
    ]


def _synced_s() -> float:
    """Return the mean seconds of a sync, on the disk of the project."""
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = RunFolder(Path(name))
        spent = 0.0
        for _ in range(NUM_STEPS):
            for log in (folder.metrics, folder.events):
                with log.open("ab") as file:
                    file.write(os.urandom(LINE_BYTES))
            started = time.perf_counter()
            sync_record(folder)
            spent += time.perf_counter() - started
    return spent / NUM_STEPS
