"""What the driver itself costs a sample: real fleets, feed, recipe, packing, metrics and samples.parquet, on one core.

A thousand policy workers, 64 scorers and 64 ranks are simulated (benchmarks/simulated_workers.py). Owns the numbers of
it; how long anything on a GPU takes is not in them.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from actors.fleet import GeneratorFleet
from actors.learner import RankArguments
from actors.learner_group import LearnerGroup
from actors.policy_fleet import PolicyFleet
from actors.scorer_fleet import ScorerFleet
from actors.supervisor import Staffing, Supervisor
from benchmarks.isolate import say
from benchmarks.measure import Figure, Sizes
from benchmarks.simulated_run import SEED, Engines, RunSize, simulate
from benchmarks.simulated_workers import (
    Responses,
    SimulatedGenerator,
    SimulatedRank,
    SimulatedScorer,
)
from driver.config import CriticConfig
from driver.learning_config import AlgorithmConfig, LearnerConfig
from driver.streaming_config import FleetConfig

MANY, FEW = 1000, 10
"""Policy workers."""
NUM_PIVOTS = 16
NUM_SCORERS = 64
NUM_RANKS = 64
GROUP_SIZE = 8
GROUPS_PER_STEP = 256
MAX_STALENESS = 3
"""With 256 groups a step there are 1,024 in flight: one for each of a thousand workers."""
LANGUAGES = ("bn", "de", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
ROW_TOKENS = 8192
LONG, SHORT = 256, 32
"""Mean tokens of a response."""
LONG_RUN, SHORT_RUN = 54, 14
"""Steps. What has to be started falls off after the last but MAX_STALENESS."""
NUM_WARM_UP = 4
MIB = 1 << 20

AIM_PER_S = 2000.0
AIM_MEMORY_MIB = 10.0
AIM_GROWTH = 1.1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a run stood when it handed a step to the learner."""

    wall_s: float
    processor_s: float
    resident_mib: float


@dataclass(kw_only=True)
class Marks:
    """One a step."""

    marks: list[Mark] = field(default_factory=list)

    def add(self) -> None:
        self.marks.append(
            Mark(wall_s=time.perf_counter(), processor_s=time.process_time(), resident_mib=_resident_mib())
        )

    def per_sample_s(self) -> tuple[float, float]:
        """Seconds by the clock and of the processor, from the end of the warm-up to the last step that starts groups."""
        first, last = self.marks[NUM_WARM_UP], self.marks[-1 - MAX_STALENESS]
        num = (len(self.marks) - 1 - MAX_STALENESS - NUM_WARM_UP) * GROUPS_PER_STEP * GROUP_SIZE
        return (last.wall_s - first.wall_s) / num, (last.processor_s - first.processor_s) / num

    def resident_after(self, num_samples: int) -> float:
        """MiB, at the first step that so many samples came before."""
        return self.marks[-(-num_samples // (GROUPS_PER_STEP * GROUP_SIZE))].resident_mib


def run(sizes: Sizes) -> list[Figure]:
    return []


def simulated(num_workers: int, *, tokens: int, steps: int) -> Marks:
    """A run in this process, which from now on has one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    marks = Marks()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_simulate(num_workers, tokens=tokens, steps=steps, marks=marks, folder=Path(folder)))
    return marks


async def _simulate(num_workers: int, *, tokens: int, steps: int, marks: Marks, folder: Path) -> None:
    algorithm = AlgorithmConfig(
        steps=steps, groups_per_step=GROUPS_PER_STEP, group_size=GROUP_SIZE, max_staleness=MAX_STALENESS
    )
    responses = Responses(num_samples=GROUP_SIZE, mean_tokens=tokens)
    english = Responses(num_samples=1, mean_tokens=tokens)
    policy = _supervisor("policy", [SimulatedGenerator(responses) for _ in range(num_workers)], starts_stale=True)
    pivot = _supervisor("pivot", [SimulatedGenerator(english) for _ in range(NUM_PIVOTS)])
    scorers = _supervisor("scorer", [SimulatedScorer() for _ in range(NUM_SCORERS)])
    fleet = PolicyFleet(policy)
    learner = LearnerGroup(
        [SimulatedRank(responses, marks.add if rank == 0 else _nothing) for rank in range(NUM_RANKS)],
        timeout_s=600,
        rules=FleetConfig(),
        policy=fleet,
    )
    engines = Engines(
        policy=fleet, pivot=GeneratorFleet(pivot), scorer=ScorerFleet(scorers, timeout_s=600), learner=learner
    )
    size = RunSize(
        algorithm=algorithm,
        languages=LANGUAGES,
        num_ranks=NUM_RANKS,
        response_tokens=2 * tokens,
        row_tokens=ROW_TOKENS,
    )
    await asyncio.gather(*(supervisor.open() for supervisor in (policy, pivot, scorers)))
    try:
        await learner.setup(_arguments(algorithm))
        await simulate(engines, size=size, folder=folder)
    finally:
        await asyncio.gather(*(supervisor.close() for supervisor in (policy, pivot, scorers)))


def _supervisor(role: str, handles: list, *, starts_stale: bool = False) -> Supervisor:
    """With heartbeats, as in a run."""
    supervisor = Supervisor(Staffing(role=role, rules=FleetConfig(), start_timeout_s=600, starts_stale=starts_stale))
    for handle in handles:
        supervisor.hire(lambda handle=handle: handle)
    return supervisor


def _arguments(algorithm: AlgorithmConfig) -> RankArguments:
    """Which simulated ranks don't read."""
    return RankArguments(
        learner=LearnerConfig(num_ranks=NUM_RANKS),
        algorithm=algorithm,
        critic=CriticConfig(),
        total_optimizer_steps=algorithm.steps,
        model="simulated",
        chat_template="",
        temperature=1.0,
        device="cpu",
        seed=SEED,
        trust_remote_code=False,
        weight_backend="object_store",
        bucket_bytes=MIB,
        push_timeout_s=600,
        tensor_parallel_size=1,
    )


def _nothing() -> None:
    pass


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
