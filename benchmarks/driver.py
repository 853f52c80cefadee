"""What the driver itself costs a sample, with a thousand policy workers, 64 scorers and 64 ranks behind it.

Every run is a process of its own on one core (benchmarks/driver_alone.py). How long anything takes on a GPU is not in
these numbers, and Ray's own work is there only as far as it is pickling.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.driver_alone import (
    GROUP_SIZE,
    GROUPS_PER_STEP,
    LANGUAGES,
    MAX_STALENESS,
    NUM_RANKS,
    NUM_SCORERS,
    NUM_WARM_UP,
    SAMPLES_PER_STEP,
    Marks,
    simulated,
)
from benchmarks.isolate import say
from benchmarks.measure import Figure, Sizes

MANY, FEW = 1000, 10
"""Policy workers."""
LONG, SHORT = 256, 32
"""Mean tokens of a response."""
SHORT_RUN = 14
EARLY, LATE = 20_000, 100_000
"""Samples between which memory must stay as it is."""
LONG_RUN = -(-LATE // SAMPLES_PER_STEP) + 1 + MAX_STALENESS

AIM_PER_S = 2000.0
AIM_MEMORY = 1.05
AIM_OBJECTS = 1.01
AIM_GROWTH = 1.1

_WORK = (
    f"{GROUPS_PER_STEP} groups of {GROUP_SIZE} samples a step in {len(LANGUAGES)} languages, max_staleness "
    f"{MAX_STALENESS}, {NUM_SCORERS} scorers, {NUM_RANKS} ranks, all in one process on one core"
)
_COUNTED = f"{SHORT_RUN - 1 - MAX_STALENESS - NUM_WARM_UP} steps after {NUM_WARM_UP} that don't count"


def run(sizes: Sizes) -> list[Figure]:
    long: list[Marks] = []
    many: list[Marks] = []
    few: list[Marks] = []
    for _ in range(sizes.rounds):
        long.append(_in_fresh_process(MANY, tokens=LONG, steps=SHORT_RUN))
        many.append(_in_fresh_process(MANY, tokens=SHORT, steps=SHORT_RUN))
        few.append(_in_fresh_process(FEW, tokens=SHORT, steps=SHORT_RUN))
    longest = _in_fresh_process(MANY, tokens=LONG, steps=LONG_RUN)
    return [*_rates(long, LONG), *_rates(many, SHORT), _growth(many, few), *_memory(longest)]


def _rates(runs: Sequence[Marks], tokens: int) -> list[Figure]:
    work = f"{_COUNTED}, {MANY} policy workers, responses of {tokens} tokens on average; {_WORK}"
    return [
        Figure(
            name=f"driver, {tokens} tokens",
            what="samples a second, from their draws to the files of their step",
            values=tuple(1 / one.wall_s for one in runs),
            aim=AIM_PER_S,
            work=work,
        ),
        Figure(
            name=f"driver, {tokens} tokens, processor",
            what="the same a second of processor time, whoever else used the core",
            values=tuple(1 / one.processor_s for one in runs),
            aim=None,
            work=work,
        ),
    ]


def _growth(many: Sequence[Marks], few: Sequence[Marks]) -> Figure:
    return Figure(
        name="driver, growth",
        what=f"processor time a sample with {MANY} policy workers over that with {FEW}",
        values=tuple(large.processor_s / small.processor_s for large, small in zip(many, few, strict=True)),
        aim=AIM_GROWTH,
        is_at_most=True,
        work=f"{_COUNTED}, responses of {SHORT} tokens on average: the shorter, the more a message weighs; {_WORK}",
    )


def _memory(marks: Marks) -> list[Figure]:
    early, late = marks.after(EARLY), marks.after(LATE)
    say(f"resident after {EARLY:,} samples {early.resident_mib:.0f} MiB, after {LATE:,} {late.resident_mib:.0f} MiB")
    work = f"one run with {MANY} policy workers, responses of {LONG} tokens on average; {_WORK}"
    return [
        Figure(
            name="driver, memory",
            what=f"resident memory after {LATE:,} samples over that after {EARLY:,}, {early.resident_mib:.0f} MiB",
            values=(late.resident_mib / early.resident_mib,),
            aim=AIM_MEMORY,
            is_at_most=True,
            work=work,
        ),
        Figure(
            name="driver, objects",
            what=f"Python's blocks of memory after {LATE:,} samples over those after {EARLY:,}: without what the "
            "allocators keep for later",
            values=(late.num_blocks / early.num_blocks,),
            aim=AIM_OBJECTS,
            is_at_most=True,
            work=work,
        ),
    ]


def _in_fresh_process(num_workers: int, *, tokens: int, steps: int) -> Marks:
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
        marks = process.submit(simulated, num_workers, tokens=tokens, steps=steps).result()
    say(
        f"{num_workers} workers, {tokens} tokens: {1 / marks.wall_s:,.0f} samples/s, "
        f"{1 / marks.processor_s:,.0f} by processor time"
    )
    return marks
