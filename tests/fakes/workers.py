"""Provide fake engine workers as Ray's handles offer them, and a role of them under a real supervisor.

A test says what each one does (answers, hangs, fails) and moves the time.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import ray

from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.fleets.worker import Worker, WorkerState
from actors.remote.process import ProcessInfo, this_process
from actors.remote.progress import Progress
from contracts.config.workers import FleetConfig
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from tests.builders import a_rollout
from tests.fakes.clock import FakeTime, settle
from tests.fakes.remote import Method, Process

Answer = tuple[str, object]
_pids = itertools.count(1)

RULES = FleetConfig(
    heartbeat_s=1,
    suspect_after_s=3,
    dead_after_s=6,
    max_restarts=2,
    restart_window_s=100,
    backoff_s=4,
    max_backoff_s=60,
    slow_factor=10,
    slow_after_s=20,
)


@dataclass(eq=False)
class FakeWorker:
    """Load at once and answer at once, the last request first, unless the test says otherwise."""

    start_failure: Exception | None = None
    start_gate: asyncio.Event | None = None  # it loads once this is set
    beat_failure: Exception | None = None
    beat: Progress | None = None  # what it does from one heartbeat to the next; None: it does not say
    is_silent: bool = False  # answers no heartbeat, and no question for its process after the first one
    hangs: bool = False  # answers no request, until it dies
    num_answers: int = 1000  # in each message; then `failure`, or the stream ends
    failure: Exception | None = None
    refusals: dict[str, Exception] = field(default_factory=dict)  # by request, instead of rollouts
    value: float = 0.5  # of every answer probability
    messages: list[list[str]] = field(default_factory=list)
    seeds: list[tuple[int, ...]] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    num_beats: int = 0
    num_looks: int = 0  # how often it was asked for its process
    pid: int = field(default_factory=lambda: next(_pids))

    def __post_init__(self) -> None:
        self._beat_gate = asyncio.Event()
        self._process_of = Process()
        self._done = Progress(work=0.0, turns=0.0, busy_s=0.0)
        self.release = asyncio.Event()  # lets a worker that hangs answer after all
        self.die = self._process_of.die

    process = property(lambda self: Method(self._process))
    ready = property(lambda self: Method(self._ready))
    heartbeat = property(lambda self: Method(self._heartbeat))
    sample = property(lambda self: Method(self._sample))
    answer_probabilities = property(lambda self: Method(self._judge))

    def speak(self) -> None:
        """Answer the open heartbeats, and all that follow."""
        self.is_silent = False
        self._beat_gate.set()

    async def _process(self) -> ProcessInfo:
        self.num_looks += 1
        if self.is_silent and self.num_looks > 1:
            await self._beat_gate.wait()
        return self._info()

    def _info(self) -> ProcessInfo:
        return ProcessInfo(pid=self.pid, node="here", stdout="out", stderr="err")

    async def _ready(self) -> ProcessInfo:
        if self.start_gate is not None:
            await self.start_gate.wait()
        if self.start_failure is not None:
            raise self.start_failure
        return self._info()

    async def _heartbeat(self) -> Progress | None:
        self.num_beats += 1
        if self.beat_failure is not None:
            raise self.beat_failure
        if self.is_silent:
            await self._beat_gate.wait()
        if self.beat is None:
            return None
        self._done = Progress(
            work=self._done.work + self.beat.work,
            turns=self._done.turns + self.beat.turns,
            busy_s=self._done.busy_s + self.beat.busy_s,
        )
        return self._done

    async def _sample(self, requests: list[SamplingRequest]) -> AsyncIterator[Awaitable[Answer]]:
        self.messages.append([request.request_id for request in requests])
        self.seeds += [request.seeds for request in requests]
        if self.hangs:
            await self._process_of.until(self.release)
        for request in list(reversed(requests))[: self.num_answers]:
            yield self._rollouts(request)
        if self.failure is not None:
            raise self.failure

    async def _judge(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        self.measured.append(request.request_id)
        if self.hangs:
            await self._process_of.until(self.release)
        if self.failure is not None:
            raise self.failure
        return (self.value,) * len(request.prompts)

    async def _rollouts(self, request: SamplingRequest) -> Answer:
        name = request.request_id
        if (refusal := self.refusals.get(name)) is not None:
            return name, refusal
        text = name.split("#")[0]  # the same request, however often it is sent
        return name, (a_rollout(text),) * request.num_samples


@ray.remote
class GatedWorker:
    """Answer each request with the process's number and the seeds, once the file `gate` exists: a real Ray actor."""

    def __init__(self, gate: str) -> None:
        self._gate = Path(gate)

    async def process(self) -> ProcessInfo:
        return this_process()

    async def ready(self) -> ProcessInfo:
        return this_process()

    async def heartbeat(self) -> None:
        return

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, tuple[Rollout, ...]]]:
        while not self._gate.exists():
            await asyncio.sleep(0.05)
        for asked in requests:
            yield asked.request_id, tuple(a_rollout(f"{os.getpid()} {seed}") for seed in asked.seeds)


class Mortal(Protocol):
    """Imitate an actor that can be killed."""

    def die(self) -> None: ...


Fake = TypeVar("Fake", bound=Mortal)


class FakeRole(Generic[Fake]):
    """Hold a supervisor over fakes, the time it runs in, and its events."""

    def __init__(self, config: WorkerPoolConfig) -> None:
        """Take the role's settings; its callbacks are replaced."""
        self.time = FakeTime()
        self.events: list[tuple[str, str, str]] = []
        self.waits: list[str] = []
        self.found: list[tuple[str, int]] = []
        self.killed: list[Fake] = []
        self.supervisor = Supervisor(
            WorkerPoolConfig(
                role=config.role,
                rules=config.rules,
                start_timeout_s=config.start_timeout_s,
                min_workers=config.min_workers,
                starts_stale=config.starts_stale,
                on_event=lambda kind, reason, detail: self.events.append((kind, reason, detail)),
                on_wait=self.waits.append,
                on_process=lambda name, process: self.found.append((name, process.pid)),
            ),
            kill=lambda worker: self.kill(worker),
            clock=self.time.clock,
            sleep=self.time.sleep,
        )

    def kill(self, worker: Fake) -> None:
        self.killed.append(worker)
        worker.die()

    @property
    def workers(self) -> list[Worker]:
        return self.supervisor.workers

    @property
    def states(self) -> list[WorkerState]:
        return [worker.state for worker in self.workers]

    @property
    def changes(self) -> list[str]:
        """Return the changes of state after loading."""
        return [reason for kind, reason, _ in self.events if kind == "worker" and ": starting" not in reason]


class PolicyRole(FakeRole[FakeWorker]):
    """Hold policy workers: each restart takes the next one of `later`, then workers without a fault."""

    def __init__(
        self,
        *workers: FakeWorker,
        later: list[FakeWorker] | None = None,
        min_workers: int = 1,
        starts_stale: bool = False,
        start_timeout_s: float = 60,
    ) -> None:
        super().__init__(
            WorkerPoolConfig(
                role="policy",
                rules=RULES,
                start_timeout_s=start_timeout_s,
                min_workers=min_workers,
                starts_stale=starts_stale,
            )
        )
        self.later = list(later or [])
        for worker in workers:
            self.add(worker)

    def add(self, first: FakeWorker) -> Worker:
        starts = iter([first])
        return self.supervisor.add(lambda: next(starts, None) or self._next())

    def _next(self) -> FakeWorker:
        return self.later.pop(0) if self.later else FakeWorker()


async def opened(role: PolicyRole) -> PolicyRole:
    await role.supervisor.open()
    await settle()
    return role


def die(role: PolicyRole, index: int, why: str = "it was killed") -> None:
    role.supervisor.mark_dead(role.workers[index], why)
