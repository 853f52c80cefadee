"""Whether workers still live: each is asked every few seconds, and its silence is counted.

Owns what silence means. Knows no Ray; what follows from a state is the supervisor's matter. Seconds are counted from
one look to the next, and a look that comes late itself counts for no more than two: time in which the driver did not
run is nobody's silence, and the wall clock is never read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from actors.fleets.states import LOADED, WorkerState
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer
from actors.remote.process import RemoteActor
from contracts.config.fleet import FleetConfig


class Monitored(Protocol):
    """A worker whose heartbeat is asked for."""

    @property
    def name(self) -> str: ...

    @property
    def handle(self) -> RemoteActor: ...

    @property
    def state(self) -> WorkerState: ...


Worker = TypeVar("Worker", bound=Monitored)


class Monitor(Protocol[Worker]):
    """Who names the workers to ask, and is told what was found."""

    def watched(self) -> Sequence[Worker]: ...

    def failed(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None: ...

    def suspect(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None: ...

    def answered(self, worker: Worker) -> None: ...

    def hear_of(self, task: "asyncio.Task[None]") -> None: ...


@dataclass(eq=False, slots=True)
class _Pulse:
    """Of one process."""

    handle: RemoteActor
    is_asked: bool = False  # and has not answered
    is_lost: bool = False  # it could not be reached when it was asked last
    silence_s: float = 0.0


class Heartbeats(Generic[Worker]):
    """Of all workers of one supervisor that have loaded, or are at it: those are asked whether their process answers,
    since a heartbeat proper is the model's."""

    def __init__(
        self,
        supervisor: Monitor[Worker],
        rules: FleetConfig,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._supervisor = supervisor
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._pulses: dict[str, _Pulse] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._keep(self._run())

    def stop(self) -> "list[asyncio.Task[None]]":
        """What is still to be cancelled."""
        return list(self._tasks)

    async def _run(self) -> None:
        before = self._clock()
        while True:
            await self._sleep(self._rules.heartbeat_s)
            now = self._clock()
            elapsed_s, before = min(now - before, 2 * self._rules.heartbeat_s), now
            for worker in self._supervisor.watched():
                self._look(worker, elapsed_s)

    def _look(self, worker: Worker, elapsed_s: float) -> None:
        pulse = self._pulses.get(worker.name)
        if pulse is None or pulse.handle is not worker.handle:
            pulse = self._pulses[worker.name] = _Pulse(worker.handle)
        if pulse.is_asked or pulse.is_lost:
            pulse.silence_s += elapsed_s
            why = f"no heartbeat for {pulse.silence_s:g} s"
            if pulse.silence_s >= self._rules.dead_after_s:
                self._supervisor.failed(worker, why)
                return
            if pulse.silence_s >= self._rules.suspect_after_s:
                self._supervisor.suspect(worker, why)
        if not pulse.is_asked:
            pulse.is_asked = True
            self._keep(self._ask(worker, pulse))

    async def _ask(self, worker: Worker, pulse: _Pulse) -> None:
        has_loaded = worker.state in LOADED
        try:
            await answer(pulse.handle.heartbeat.remote() if has_loaded else pulse.handle.process.remote())
        except Unreachable as failure:
            pulse.is_asked, pulse.is_lost = False, True
            self._supervisor.suspect(worker, f"it can't be reached: {failure}", handle=pulse.handle)
        except (ProcessLost, WorkerRaised) as failure:
            if has_loaded:  # else whoever waits for the model hears of it too, and knows more
                self._supervisor.failed(worker, str(failure), handle=pulse.handle)
        else:
            pulse.is_asked, pulse.is_lost, pulse.silence_s = False, False, 0.0
            if pulse.handle is worker.handle:
                self._supervisor.answered(worker)

    def _keep(self, work: "Awaitable[None]") -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._supervisor.hear_of)
