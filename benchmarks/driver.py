"""Measure what the driver costs for each sample: a run on simulated engines, in a process of its own on one core.

The fleets behind the driver's ports, Ray, tokenizers and checkpoints are left out.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from benchmarks.machine import in_fresh_process, say
from benchmarks.measure import Sizes
from benchmarks.outcomes import Figure
from benchmarks.simulation import Mark, SimulatedGenerator, SimulatedLearner, SimulatedRun, SimulatedScorer, Stage
from contracts.config.learning import GrpoConfig

LANGUAGES = ("bn", "de", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
GROUP_SIZE = 8
GROUPS_PER_STEP = 256
SAMPLES_PER_STEP = GROUPS_PER_STEP * GROUP_SIZE
MAX_STALENESS = 3
"""With 256 groups a step, 1,024 groups are in flight."""
NUM_RANKS = 64
ROW_TOKENS = 8192
RESPONSE_TOKENS = 256
MOMENT_S = 0.05
"""From a request to its answer, of every engine."""
NUM_WARM_UP = 4
"""Steps at the start that do not count."""
NUM_COUNTED = 6
EARLY, LATE = 20_000, 100_000
"""Samples between which nothing of a sample may stay in memory."""

AIM_PER_S = 2000.0
AIM_OBJECTS = 1 / GROUP_SIZE

_WORK = (
    f"{GROUPS_PER_STEP} groups of {GROUP_SIZE} samples a step in {len(LANGUAGES)} languages, {RESPONSE_TOKENS} tokens "
    f"a response, max_staleness {MAX_STALENESS}, rows for {NUM_RANKS} ranks, all in one process on one core"
)


def run(sizes: Sizes) -> list[Figure]:
    """Measure the rates of some short runs, and the memory of a long one."""
    rates = [_rates(in_fresh_process(simulated, NUM_WARM_UP + NUM_COUNTED)) for _ in range(sizes.rounds)]
    long = in_fresh_process(simulated, -(-LATE // SAMPLES_PER_STEP))
    early, late = (long[-(-num_samples // SAMPLES_PER_STEP) - 1].num_blocks for num_samples in (EARLY, LATE))
    counted = f"{NUM_COUNTED} steps after {NUM_WARM_UP} that do not count; {_WORK}"
    return [
        Figure(
            name="driver",
            what="samples a second, from their draws to the files of their step",
            values=tuple(by_clock for by_clock, _ in rates),
            aim=AIM_PER_S,
            work=counted,
        ),
        Figure(
            name="driver, processor",
            what="samples a second of processor time, which does not depend on what else uses the core",
            values=tuple(by_processor for _, by_processor in rates),
            aim=None,
            work=counted,
        ),
        Figure(
            name="driver, objects",
            what=f"Python's blocks of memory that stay for each sample, from {EARLY:,} to {LATE:,} samples "
            f"({AIM_OBJECTS:g} is one block for each group)",
            values=((late - early) / (LATE - EARLY),),
            aim=AIM_OBJECTS,
            is_at_most=True,
            work=f"one run; {_WORK}",
        ),
    ]


def _rates(marks: list[Mark]) -> tuple[float, float]:
    """Return the samples a second of the counted steps, by the clock and by processor time."""
    first, last = marks[NUM_WARM_UP - 1], marks[NUM_WARM_UP + NUM_COUNTED - 1]
    num_samples = NUM_COUNTED * SAMPLES_PER_STEP
    rates = num_samples / (last.at_s - first.at_s), num_samples / (last.processor_s - first.processor_s)
    say(f"{rates[0]:,.0f} samples/s, {rates[1]:,.0f} by processor time")
    return rates


def simulated(num_steps: int) -> list[Mark]:
    """Train for so many steps, and until the groups in flight are finished. Bind this process to one core."""
    core = max(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
    learner = SimulatedLearner(stage=Stage(1, MOMENT_S))
    engine = Stage((1 + MAX_STALENESS) * GROUPS_PER_STEP, MOMENT_S)
    simulated_run = SimulatedRun(
        policy=SimulatedGenerator(stage=engine, learner=learner, num_tokens=RESPONSE_TOKENS),
        pivot=SimulatedGenerator(stage=engine, num_tokens=RESPONSE_TOKENS),
        scorer=SimulatedScorer(stage=engine),
        learner=learner,
        algorithm=GrpoConfig(
            steps=num_steps + 1 + MAX_STALENESS,
            groups_per_step=GROUPS_PER_STEP,
            group_size=GROUP_SIZE,
            max_staleness=MAX_STALENESS,
        ),
        languages=LANGUAGES,
        num_ranks=NUM_RANKS,
        row_tokens=ROW_TOKENS,
    )
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(simulated_run.train(Path(folder)))
    return learner.marks
