"""Measure how long the fingerprint of a model takes, at a first start and at a second one, in fresh processes."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.machine import in_fresh_process, say
from benchmarks.measure import Sizes
from benchmarks.outcomes import Figure
from contracts.fingerprints import model_fingerprint
from contracts.paths import HOME_VARIABLE

NUM_SHARDS = 4
SHARD_GIB = 1
MODEL_GIB = 16
"""Size that the times are scaled to: 8 billion parameters in bfloat16."""
ALLOWED_S = (20.0, 0.5)
"""Seconds for a model of that size: at the first start, and at the second."""


def run(sizes: Sizes) -> list[Figure]:
    """Write a model once, and take its fingerprint in fresh processes, each pair with a record of its own."""
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        _write_model(model)
        time.sleep(3)  # the sum of a file that was written just now is not kept
        tries = [_first_and_second(model, Path(name) / f"home-{number}") for number in range(sizes.rounds)]
    for first_s, second_s in tries:
        say(f"{NUM_SHARDS * SHARD_GIB} GiB: {first_s:.2f} s at the first start, {second_s:.3f} s at the second")
    scale = MODEL_GIB / (NUM_SHARDS * SHARD_GIB)
    return [
        Figure(
            name=f"fingerprint, {start} start",
            what=f"{allowed:g} s over the seconds for {MODEL_GIB} GiB, scaled from {NUM_SHARDS * SHARD_GIB} GiB",
            values=tuple(allowed / (pair[at] * scale) for pair in tries),
            aim=1.0,
            work=f"{NUM_SHARDS} shards of {SHARD_GIB} GiB, files in the system's memory",
        )
        for at, (start, allowed) in enumerate(zip(("first", "second"), ALLOWED_S, strict=True))
    ]


def _write_model(model: Path) -> None:
    model.mkdir()
    (model / "config.json").write_text("{}", encoding="utf-8")
    block = os.urandom(64 << 20)
    for number in range(NUM_SHARDS):
        with (model / f"model-{number}.safetensors").open("wb") as shard:
            for _ in range((SHARD_GIB << 30) // len(block)):
                shard.write(block)


def _first_and_second(model: Path, home: Path) -> tuple[float, float]:
    home.mkdir()
    first_s, first = in_fresh_process(_fingerprint, model, home)
    second_s, second = in_fresh_process(_fingerprint, model, home)
    if first != second:
        raise ValueError(f"two fingerprints of one model: {first} and {second}")
    return first_s, second_s


def _fingerprint(model: Path, home: Path) -> tuple[float, str]:
    os.environ[HOME_VARIABLE] = str(home)
    started = time.perf_counter()
    found = model_fingerprint(str(model))
    return time.perf_counter() - started, found
