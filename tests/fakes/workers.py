"""Engines' workers as Ray's handles offer them, for the tests of supervisors and fleets: no process, no clock.

A test says what each does (answers, hangs, fails) and moves the time by hand.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor, Worker, WorkerPoolConfig
from actors.remote.process import ProcessInfo
from contracts.config.fleet import FleetConfig
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

Answer = tuple[str, object]
_pids = itertools.count(1)


class Method:
    """A remote method: `.remote(...)`, after `.options(...)` or not."""

    def __init__(self, call: Callable[..., object]) -> None:
        self.remote = call

    def options(self, **_: object) -> "Method":
        return self


@dataclass(eq=False)
class FakeWorker:
    """Loads at once and answers at once, the last request first, unless it is told otherwise."""

    start_failure: Exception | None = None
    start_gate: asyncio.Event | None = None  # it loads once this is set
    beat_failure: Exception | None = None
    is_silent: bool = False  # no heartbeat is answered, nor any later question whether its process is there
    hangs: bool = False  # no request is answered, until it dies
    num_answers: int = 1000  # in each message; then `failure`, or the stream ends
    failure: Exception | None = None
    refusals: dict[str, Exception] = field(default_factory=dict)  # by request, instead of rollouts
    value: float = 0.5  # of every answer probability
    messages: list[list[str]] = field(default_factory=list)
    seeds: list[tuple[int, ...]] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    num_beats: int = 0
    num_looks: int = 0  # how often it was asked for its process
    is_killed: bool = False
    pid: int = field(default_factory=lambda: next(_pids))

    def __post_init__(self) -> None:
        self._beat_gate = asyncio.Event()
        self._end = asyncio.Event()
        self._end_failure: Exception = ActorDiedError()
        self.release = asyncio.Event()  # lets a worker that hangs answer after all

    process = property(lambda self: Method(self._process))
    ready = property(lambda self: Method(self._ready))
    heartbeat = property(lambda self: Method(self._heartbeat))
    sample = property(lambda self: Method(self._sample))
    answer_probabilities = property(lambda self: Method(self._judge))

    def die(self, failure: Exception | None = None) -> None:
        """What it has been asked fails now, with a dead actor's error or another."""
        self._end_failure = failure or ActorDiedError()
        self._end.set()

    def speak(self) -> None:
        """Answer the heartbeats that are being waited for, and all that follow."""
        self.is_silent = False
        self._beat_gate.set()

    async def _process(self) -> ProcessInfo:
        self.num_looks += 1
        if self.is_silent and self.num_looks > 1:  # it was there when it was asked for the first time
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

    async def _heartbeat(self) -> None:
        self.num_beats += 1
        if self.beat_failure is not None:
            raise self.beat_failure
        if self.is_silent:
            await self._beat_gate.wait()

    async def _sample(self, requests: list[SamplingRequest]) -> AsyncIterator[Awaitable[Answer]]:
        self.messages.append([request.request_id for request in requests])
        self.seeds += [request.seeds for request in requests]
        await self._may_answer()
        for request in list(reversed(requests))[: self.num_answers]:
            yield self._rollouts(request)
        if self.failure is not None:
            raise self.failure

    async def _judge(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        self.judged.append(request.request_id)
        await self._may_answer()
        if self.failure is not None:
            raise self.failure
        return (self.value,) * len(request.prompts)

    async def _may_answer(self) -> None:
        if not self.hangs:
            return
        ends = [asyncio.ensure_future(event.wait()) for event in (self._end, self.release)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._end.is_set():
            raise self._end_failure

    async def _rollouts(self, request: SamplingRequest) -> Answer:
        name = request.request_id
        if (refusal := self.refusals.get(name)) is not None:
            return name, refusal
        text = name.split("#")[0]  # the same request, however often it is asked
        rollout = Rollout(token_ids=(1,), logprobs=(0.0,), text=text, finish_reason="stop", token_versions=(0,))
        return name, (rollout,) * request.num_samples


class FakeTime:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def advance(self, seconds: float, *, step_s: float = 1.0) -> None:
        """In steps, each to the end of what it sets going."""
        await settle()
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step_s)
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self.now]
            for _, woken in due:
                if not woken.done():
                    woken.set_result(None)
            await settle()


async def settle() -> None:
    """Until everything that can go on without a clock has."""
    for _ in range(60):
        await asyncio.sleep(0)


RULES = FleetConfig(
    heartbeat_s=1,
    suspect_after_s=3,
    dead_after_s=6,
    max_restarts=2,
    restart_window_s=100,
    backoff_s=4,
    max_backoff_s=60,
)


class Shop:
    """A supervisor over fake workers: each start takes the next of the given ones, then workers without a fault."""

    def __init__(
        self,
        *workers: FakeWorker,
        later: list[FakeWorker] | None = None,
        rules: FleetConfig = RULES,
        min_workers: int = 1,
        starts_stale: bool = False,
        start_timeout_s: float = 60,
    ) -> None:
        self.time = FakeTime()
        self.events: list[tuple[str, str, str]] = []
        self.waits: list[str] = []
        self.found: list[tuple[str, int]] = []
        self.later = list(later or [])
        self.supervisor = Supervisor(
            WorkerPoolConfig(
                role="policy",
                rules=rules,
                start_timeout_s=start_timeout_s,
                min_workers=min_workers,
                starts_stale=starts_stale,
                report=lambda kind, reason, detail: self.events.append((kind, reason, detail)),
                waiting=self.waits.append,
                found=lambda name, process: self.found.append((name, process.pid)),
            ),
            kill=lambda worker: self.kill(worker),
            clock=self.time.clock,
            sleep=self.time.sleep,
        )
        for worker in workers:
            self.hire(worker)

    def hire(self, first: FakeWorker) -> Worker:
        starts = iter([first])
        return self.supervisor.hire(lambda: next(starts, None) or self._next())

    def _next(self) -> FakeWorker:
        return self.later.pop(0) if self.later else FakeWorker()

    def kill(self, worker: FakeWorker) -> None:
        worker.is_killed = True
        worker.die()

    @property
    def workers(self) -> list[Worker]:
        return self.supervisor.workers

    @property
    def states(self) -> list[WorkerState]:
        return [worker.state for worker in self.workers]

    @property
    def changes(self) -> list[str]:
        """What was reported of workers since they had loaded."""
        return [reason for kind, reason, _ in self.events if kind == "worker" and ": starting" not in reason]


def unavailable() -> ActorUnavailableError:
    return ActorUnavailableError("The actor is temporarily unavailable", b"0" * 16)


def task_error(cause: Exception) -> RayTaskError:
    traceback = f"Traceback (most recent call last):\n  File ...\n{type(cause).__name__}: {cause}"
    return RayTaskError("sample", traceback, cause)


def request(name: str, *, num_samples: int = 1) -> SamplingRequest:
    return SamplingRequest(
        request_id=name, prompt_token_ids=(1,), seeds=tuple(range(7, 7 + num_samples)), max_tokens=4, temperature=1.0
    )


async def opened(shop: Shop) -> Shop:
    await shop.supervisor.open()
    await settle()
    return shop


def die(shop: Shop, index: int, why: str = "it was killed") -> None:
    shop.supervisor.failed(shop.workers[index], why)
