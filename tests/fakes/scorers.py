"""Scorer actors as a fleet sees them, hand-written: they answer, fail, die or say nothing as a test tells them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError

from actors.fleets.scorers import ScorerFleet
from actors.fleets.supervisor import Report, Supervisor, WorkerPoolConfig
from actors.remote.process import ProcessInfo, RemoteActor
from contracts.config.fleet import FleetConfig
from contracts.rollouts import Score, ScoreRequest
from rewards.reasoning.similarity import ReasoningPair
from tests.fakes.ports import a_score


class Method:
    """A remote method as a handle offers it."""

    def __init__(self, call: Callable[..., object]) -> None:
        self.remote = call


class Clock:
    """The running event loop's clock, which stands still until a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)


@dataclass(eq=False)
class FakeScorer:
    """Gives one reward to all; fails as often as it is told to, one failure a call."""

    reward: float = 0.5
    gate: asyncio.Event | None = None
    failures: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    clock: Clock | None = None
    takes_s: float = 0.0  # by the clock, whatever comes of the call
    too_late: Exception | None = None  # raised once the gate is open
    counters: dict[str, float] = field(default_factory=dict)
    num_asked: int = 0
    allowed_s: list[float] = field(default_factory=list)  # how long each group may wait, as it was told
    num_comparing: int = 0
    most_comparing: int = 0
    calibrations: list[object] = field(default_factory=list)
    takes_calibration: asyncio.Event | None = None  # it waits for this before it has taken one
    is_hanging: bool = False  # neither heartbeat nor answer
    is_out_of_reach: bool = False  # for heartbeats

    @property
    def process(self) -> Method:
        return Method(self._process)

    @property
    def ready(self) -> Method:
        return Method(self._process)

    @property
    def heartbeat(self) -> Method:
        return Method(self._heartbeat)

    @property
    def score(self) -> Method:
        return Method(self._score)

    @property
    def similarities(self) -> Method:
        return Method(self._similarities)

    @property
    def judge_fingerprint(self) -> Method:
        return Method(self._fingerprint)

    @property
    def use_calibration(self) -> Method:
        return Method(self._use_calibration)

    @property
    def stats(self) -> Method:
        return Method(self._stats)

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

    async def _fingerprint(self) -> str:
        await self._called()
        return "judge"

    async def _use_calibration(self, calibration: object) -> None:
        await self._called()
        if self.takes_calibration is not None:
            await self.takes_calibration.wait()
        self.calibrations.append(calibration)

    async def _process(self) -> ProcessInfo:
        return ProcessInfo(pid=1, node="here", stdout="", stderr="")

    async def _heartbeat(self) -> None:
        if self.is_hanging:
            await asyncio.Event().wait()
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
            await asyncio.Event().wait()
        if self.gate is not None:
            await self.gate.wait()
        if self.too_late is not None:
            raise self.too_late


def a_request(num: int = 2) -> ScoreRequest:
    return ScoreRequest(
        language="de",
        question="?",
        question_en="?",
        reference="The answer is 1.",
        responses=("x",) * num,
        truncated=(False,) * num,
    )


def a_fleet(*scorers: FakeScorer, attempts: int = 3, timeout_s: float = 60, backoff_s: float = 0) -> ScorerFleet:
    """Of scorers that are loaded, and not replaced when they die."""
    supervisor = Supervisor.around("scorer", scorers)
    return ScorerFleet(supervisor, timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s)


class Watch:
    """A fleet whose scorers are watched and replaced; its time passes only as a test says.

    `processes[i]` are those that the i-th scorer becomes, one after the other.
    """

    def __init__(
        self, *processes: list[FakeScorer], max_restarts: int = 5, timeout_s: float = 60, attempts: int = 3
    ) -> None:
        self.events: list[str] = []
        self.killed: list[RemoteActor] = []
        self._now = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []
        self.supervisor = Supervisor(
            WorkerPoolConfig(
                role="scorer",
                rules=FleetConfig(
                    heartbeat_s=1, suspect_after_s=2, dead_after_s=4, max_restarts=max_restarts, backoff_s=1
                ),
                start_timeout_s=1000,
                report=self._report(),
            ),
            kill=self.killed.append,
            clock=lambda: self._now,
            sleep=self._sleep,
        )
        self.fleet = ScorerFleet(self.supervisor, timeout_s=timeout_s, attempts=attempts, backoff_s=0)
        for turns in processes:
            self.supervisor.hire(lambda turns=turns: turns.pop(0))

    async def passes(self, seconds: int) -> None:
        """Second by second, everybody doing what there is to do in each."""
        for _ in range(seconds):
            await settle()
            self._now += 1
            due = [sleeper for at, sleeper in self._sleeping if at <= self._now and not sleeper.done()]
            self._sleeping = [(at, sleeper) for at, sleeper in self._sleeping if at > self._now]
            for sleeper in due:
                sleeper.set_result(None)
        await settle()

    def _report(self) -> Report:
        return lambda _, reason, detail: self.events.append(f"{reason}: {detail}")

    async def _sleep(self, seconds: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self._sleeping.append((self._now + seconds, sleeper))
        await sleeper


async def settle() -> None:
    """Until nobody has anything to do but to wait."""
    for _ in range(100):
        await asyncio.sleep(0)


def broken(cause: Exception) -> RayTaskError:
    return RayTaskError("score", f"Traceback ...\n{type(cause).__name__}: {cause}", cause)


def unavailable() -> ActorUnavailableError:
    return ActorUnavailableError("the network is slow", b"\0" * 16)
