"""How well an asynchronous run hides its faster stages: seconds a step over those of the slowest stage.

The driver is the real one, from the stream of problems to samples.parquet; the engines are simulated
(benchmarks/simulated_stages.py), so the numbers say what order and waiting cost, and nothing of any model.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.isolate import say
from benchmarks.measure import Figure, Sizes
from benchmarks.simulated_run import Engines, RunSize, simulate
from benchmarks.simulated_stages import Latency, Slots, SlottedGenerator, SlottedScorer, TimedLearner, Weights
from contracts.config.learning import AlgorithmConfig

GENERATE, LEARN, SCORE, PIVOT = 1.0, 0.8, 0.3, 0.2
"""Of a step's worth of groups; times the scale."""
JITTER = 0.3
SCALE_S = 0.2
GROUPS_PER_STEP = 8
NUM_WARM_UP = 8
"""Steps at the start that don't count: the pipeline fills."""
NUM_COUNTED = {0: 12, 1: 30, 2: 30, 4: 30}
"""Steps that count, by algorithm.max_staleness. After them the run goes on until nothing more has to be started."""
AIM = 1.05

_WHY_NOT_1 = (
    f". {AIM:g} is out of reach by Little's law: of 2 x G groups in flight each stays for generation, scoring and "
    f"learning, {GENERATE:g} + {SCORE:g} + {LEARN:g}, so G are learned from every {(GENERATE + SCORE + LEARN) / 2:.3g} "
    "at best, if none ever waited; and a batch waits for the last of its groups"
)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Of one run."""

    step_s: float  # mean over the steps that count
    generate_s: float  # mean of what was drawn for a group

    @property
    def over_slowest(self) -> float:
        return self.step_s / self.generate_s


def run(sizes: Sizes) -> list[Figure]:
    return [_figure(max_staleness, sizes.rounds) for max_staleness in NUM_COUNTED]


def _figure(max_staleness: int, num_rounds: int) -> Figure:
    paces = [pace(max_staleness, num_counted=NUM_COUNTED[max_staleness], seed=seed) for seed in range(num_rounds)]
    say(f"max_staleness {max_staleness}: {', '.join(f'{one.over_slowest:.3f}' for one in paces)} of the slowest stage")
    return Figure(
        name=f"streaming, max_staleness {max_staleness}",
        what="mean seconds of a step over those of the slowest stage, generation, as they were drawn"
        + (_WHY_NOT_1 if max_staleness == 1 else ""),
        values=tuple(one.over_slowest for one in paces),
        aim=AIM if max_staleness > 1 else None,
        is_at_most=True,
        work=f"{NUM_COUNTED[max_staleness]} steps of {GROUPS_PER_STEP} groups, {NUM_WARM_UP} before them to fill the "
        f"pipeline and {max_staleness + 1} after them to empty it, at {SCALE_S:g} s the unit: generation {GENERATE:g}, "
        f"learning {LEARN:g}, scoring {SCORE:g}, pivot {PIVOT:g} with no reference known, each +-{JITTER:.0%}",
    )


def pace(max_staleness: int, *, num_counted: int, seed: int) -> Pace:
    """One run from an empty pipeline to an empty one."""
    return asyncio.run(paced(max_staleness, num_counted=num_counted, seed=seed))


async def paced(
    max_staleness: int, *, num_counted: int, seed: int, scale_s: float = SCALE_S, jitter: float = JITTER
) -> Pace:
    """The same, on the event loop that it is awaited in, and so on that one's clock."""
    random = Random(seed)

    def latency(mean: float) -> Latency:
        return Latency(mean_s=mean * scale_s, jitter=jitter, random=random)

    weights, generation = Weights(), Slots(GROUPS_PER_STEP, latency(GENERATE))
    learner = TimedLearner(latency(LEARN), weights)
    engines = Engines(
        policy=SlottedGenerator(slots=generation, weights=weights),
        pivot=SlottedGenerator(slots=Slots(GROUPS_PER_STEP, latency(PIVOT)), weights=Weights()),
        scorer=SlottedScorer(slots=Slots(GROUPS_PER_STEP, latency(SCORE))),
        learner=learner,
    )
    num_steps = NUM_WARM_UP + num_counted + max_staleness + 1
    algorithm = AlgorithmConfig(
        steps=num_steps, groups_per_step=GROUPS_PER_STEP, group_size=4, max_staleness=max_staleness
    )
    with tempfile.TemporaryDirectory() as folder:
        # One language, so that every group has an item of its own and asks the pivot.
        await simulate(engines, size=RunSize(algorithm=algorithm, languages=("de",)), folder=Path(folder))
    ends = learner.step_ends[NUM_WARM_UP - 1 : NUM_WARM_UP + num_counted]
    return Pace(step_s=(ends[-1] - ends[0]) / num_counted, generate_s=generation.mean_drawn_s)
