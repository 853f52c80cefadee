"""Provide fake scorer actors as a pool sees them: they answer, fail, die or hang as a test says."""

import asyncio
from dataclasses import dataclass, field

from actors.fleets.scorers import ScorerPool
from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.remote.process import ProcessInfo
from contracts.config.workers import FleetConfig
from contracts.rollouts import Score, ScoreRequest
from rewards.reasoning.similarity import ReasoningPair
from tests.builders import a_score
from tests.fakes.clock import LoopClock
from tests.fakes.remote import Method, Process, unavailable
from tests.fakes.workers import FakeRole


@dataclass(eq=False)
class FakeScorer:
    """Give one reward to all responses; fail as often as the test says, one failure a call."""

    reward: float = 0.5
    gate: asyncio.Event | None = None
    failures: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    clock: LoopClock | None = None
    takes_s: float = 0.0  # by the clock, whatever comes of the call
    too_late: Exception | None = None  # raised once the gate is open
    counters: dict[str, float] = field(default_factory=dict)
    num_asked: int = 0
    allowed_s: list[float] = field(default_factory=list)  # how long each group may wait, as the pool says
    num_comparing: int = 0
    most_comparing: int = 0
    calibrations: list[object] = field(default_factory=list)
    takes_calibration: asyncio.Event | None = None  # it waits for this before it has taken one
    is_hanging: bool = False  # answers neither heartbeats nor calls
    is_out_of_reach: bool = False  # for heartbeats

    def __post_init__(self) -> None:
        self._process_of = Process()
        self.die = self._process_of.die

    process = property(lambda self: Method(self._process))
    ready = property(lambda self: Method(self._process))
    heartbeat = property(lambda self: Method(self._heartbeat))
    score = property(lambda self: Method(self._score))
    similarities = property(lambda self: Method(self._similarities))
    translate = property(lambda self: Method(self._translate))
    similarity_fingerprint = property(lambda self: Method(self._fingerprint))
    use_calibration = property(lambda self: Method(self._use_calibration))
    stats = property(lambda self: Method(self._stats))

    async def _score(self, request: ScoreRequest, *, within_s: float) -> tuple[Score, ...]:
        self.allowed_s.append(within_s)
        await self._called()
        return tuple(a_score(self.reward) for _ in request.responses)

    async def _similarities(self, pairs: tuple[ReasoningPair, ...]) -> list[float]:
        self.num_comparing += 1
        self.most_comparing = max(self.most_comparing, self.num_comparing)
        try:
            await asyncio.sleep(0)
            await self._called()
        finally:
            self.num_comparing -= 1
        return [self.reward] * len(pairs)

    async def _translate(self, texts: tuple[str, ...], source: str, target: str) -> list[str]:
        await self._called()
        return [f"{source} to {target}: {text}" for text in texts]

    async def _fingerprint(self) -> str:
        await self._called()
        return "similarity"

    async def _use_calibration(self, calibration: object) -> None:
        await self._called()
        if self.takes_calibration is not None:
            await self.takes_calibration.wait()
        self.calibrations.append(calibration)

    async def _process(self) -> ProcessInfo:
        return ProcessInfo(pid=1, node="here", stdout="", stderr="")

    async def _heartbeat(self) -> None:
        if self.is_hanging:
            await self._process_of.until(asyncio.Event())
        if self.is_out_of_reach:
            raise unavailable()

    async def _stats(self) -> dict[str, float]:
        if self.always is not None:
            raise self.always
        return self.counters

    async def _called(self) -> None:
        self.num_asked += 1
        if self.clock is not None:
            self.clock.now += self.takes_s
        if self.always is not None:
            raise self.always
        if self.failures:
            raise self.failures.pop(0)
        if self.is_hanging:
            await self._process_of.until(asyncio.Event())
        if self.gate is not None:
            await self.gate.wait()
        if self.too_late is not None:
            raise self.too_late


def a_pool(*scorers: FakeScorer, attempts: int = 3, timeout_s: float = 60, backoff_s: float = 0) -> ScorerPool:
    """Return a pool of loaded scorers that are not replaced when they die."""
    supervisor = Supervisor.of_loaded("scorer", scorers)
    return ScorerPool(supervisor, timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s)


class ScorerRole(FakeRole[FakeScorer]):
    """Hold a pool of scorers that are watched and replaced.

    `processes[i]` are the processes that the i-th scorer has, one after the other.
    """

    def __init__(
        self, *processes: list[FakeScorer], max_restarts: int = 5, timeout_s: float = 60, attempts: int = 3
    ) -> None:
        rules = FleetConfig(heartbeat_s=1, suspect_after_s=2, dead_after_s=4, max_restarts=max_restarts, backoff_s=1)
        super().__init__(WorkerPoolConfig(role="scorer", rules=rules, start_timeout_s=1000))
        self.pool = ScorerPool(self.supervisor, timeout_s=timeout_s, attempts=attempts, backoff_s=0)
        for turns in processes:
            self.supervisor.add(lambda turns=turns: turns.pop(0))
