"""The driver alone, in this process and on one core: its real parts around simulated workers, and what they cost.

Owns the run that is measured and the marks that it leaves. Everything of a driver is real: the fleets with their
supervisors and heartbeats, the learner's group, buffer, recipe, packing, metrics and samples.parquet. Workers are
simulated (benchmarks/simulated_workers.py), and no checkpoint is made.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.fleets.engines import EnginePool
from actors.fleets.learner import LearnerRanks
from actors.fleets.policy import PolicyPool
from actors.fleets.scorers import ScorerPool
from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.learner import RankArguments
from actors.remote.process import RemoteActor
from benchmarks.simulated_run import SEED, Engines, RunSize, simulate
from benchmarks.simulated_workers import Responses, SimulatedGenerator, SimulatedRank, SimulatedScorer
from contracts.config.fleet import FleetConfig
from contracts.config.learning import AlgorithmConfig, LearnerConfig
from contracts.config.run import CriticConfig

NUM_PIVOTS = 16
NUM_SCORERS = 64
NUM_RANKS = 64
GROUP_SIZE = 8
GROUPS_PER_STEP = 256
SAMPLES_PER_STEP = GROUPS_PER_STEP * GROUP_SIZE
MAX_STALENESS = 3
"""With 256 groups a step there are 1,024 in flight: one for each of a thousand workers."""
LANGUAGES = ("bn", "de", "es", "fr", "ja", "ru", "sw", "te", "th", "zh")
ROW_TOKENS = 8192
NUM_WARM_UP = 4
"""Steps at the start that no time is taken of."""
_TIMEOUT_S = 600.0
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a run stood when the first rank got a step's rows."""

    wall_s: float
    processor_s: float
    resident_mib: float
    num_blocks: int  # that Python has allocated: what fragmentation leaves behind is not in it


@dataclass(kw_only=True)
class Marks:
    """One a step."""

    marks: list[Mark] = field(default_factory=list)

    def add(self) -> None:
        self.marks.append(
            Mark(
                wall_s=time.perf_counter(),
                processor_s=time.process_time(),
                resident_mib=_resident_mib(),
                num_blocks=sys.getallocatedblocks(),
            )
        )

    @property
    def wall_s(self) -> float:
        """Of a sample, from the end of the warm-up to the last step after which groups were started."""
        first, last = self._counted
        return (last.wall_s - first.wall_s) / self._num_counted

    @property
    def processor_s(self) -> float:
        """The same of the processor."""
        first, last = self._counted
        return (last.processor_s - first.processor_s) / self._num_counted

    def after(self, num_samples: int) -> Mark:
        """At the first step that so many samples came before."""
        return self.marks[-(-num_samples // SAMPLES_PER_STEP)]

    @property
    def _counted(self) -> tuple[Mark, Mark]:
        return self.marks[NUM_WARM_UP], self.marks[-1 - MAX_STALENESS]

    @property
    def _num_counted(self) -> int:
        return (len(self.marks) - 1 - MAX_STALENESS - NUM_WARM_UP) * SAMPLES_PER_STEP


def simulated(num_workers: int, *, tokens: int, steps: int) -> Marks:
    """A run of so many policy workers, whose responses have a mean of `tokens`. From now on this
    process has one core."""
    core = max(os.sched_getaffinity(0))
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})
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
    fleet = PolicyPool(policy)
    learner = LearnerRanks(
        [SimulatedRank(responses, marks.add if rank == 0 else _nothing) for rank in range(NUM_RANKS)],
        timeout_s=_TIMEOUT_S,
        rules=FleetConfig(),
        policy=fleet,
    )
    engines = Engines(
        policy=fleet, pivot=EnginePool(pivot), scorer=ScorerPool(scorers, timeout_s=_TIMEOUT_S), learner=learner
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


def _supervisor(role: str, handles: Sequence[RemoteActor], *, starts_stale: bool = False) -> Supervisor:
    """With heartbeats, as in a run."""
    supervisor = Supervisor(
        WorkerPoolConfig(role=role, rules=FleetConfig(), start_timeout_s=_TIMEOUT_S, starts_stale=starts_stale)
    )
    for handle in handles:
        supervisor.add(lambda handle=handle: handle)
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
        bucket_bytes=_MIB,
        push_timeout_s=_TIMEOUT_S,
        tensor_parallel_size=1,
    )


def _nothing() -> None:
    pass


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB
