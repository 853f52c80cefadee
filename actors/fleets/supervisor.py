"""The workers of one role: which state each is in, and a new process in the place of one that died.

Owns the states' changes, restarts and their budget, and the moment when too few are left. Knows no Ray (a process is
ended by actors/remote/calls.py, started by a callable), nothing of what workers compute, and not where they are
placed. Who asks them something tells what it saw (`failed`, `suspect`, `stale`) and listens. Every change is
reported once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Self

from actors.fleets.heartbeats import Heartbeats
from actors.fleets.states import LOADED, NEXT, RestartBudget, WorkerState
from actors.remote.calls import end_actor, one_line, processes, ready
from actors.remote.process import ProcessInfo, RemoteActor
from contracts.config.fleet import FleetConfig
from contracts.errors import FleetLost, RunFailed
from contracts.waiting import waiting_for

Report = Callable[[str, str, str], None]
"""Takes (kind, reason, detail): a line of events.jsonl."""


@dataclass(eq=False)
class Worker:
    """One place in a fleet. The process in it may be exchanged: `handle` is its identity, never used twice."""

    name: str  # "policy-0"; never used twice
    index: int
    start: Callable[[], RemoteActor]
    budget: RestartBudget
    handle: RemoteActor
    state: WorkerState = WorkerState.STARTING
    why: str = ""  # of its last change
    process: ProcessInfo | None = None  # the newest
    has_answered: bool = False  # the process of now, that it is there; it may still be loading


@dataclass(frozen=True, kw_only=True)
class WorkerPoolConfig:
    """How one role's workers are kept."""

    role: str
    rules: FleetConfig
    start_timeout_s: float  # from starting a process to a loaded model, waiting for a place included
    min_workers: int = 1
    starts_stale: bool = False  # a loaded worker serves nothing before it was given weights
    report: Report = lambda kind, reason, detail: None
    waiting: Callable[[str], None] = lambda text: None  # what is being waited for, every half minute
    found: Callable[[str, ProcessInfo], None] = lambda name, process: None  # a worker's new process


class Supervisor:
    """Keeps the workers of one role alive."""

    def __init__(
        self,
        staffing: WorkerPoolConfig,
        *,
        kill: Callable[[RemoteActor], None] = end_actor,
        clock: Callable[[], float] = time.monotonic,  # never the wall clock: that one jumps
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.staffing = staffing
        self.workers: list[Worker] = []  # by index; dead and retired ones too
        self.lost: FleetLost | None = None
        self.prepare: Callable[[Worker], Awaitable[None]] | None = None
        """Awaited after a worker has loaded, before it serves; no other code runs between its end and the new state.
        Raising means that the worker did not start."""
        self._kill = kill
        self._clock = clock
        self._sleep = sleep
        self.is_open = False  # all that were hired first have loaded
        self._is_frozen = False
        self._lives: dict[str, asyncio.Task[None]] = {}  # those that are being started again, by name
        self._heartbeats = Heartbeats(self, staffing.rules, clock=clock, sleep=sleep)
        self._listeners: list[Callable[[Worker], None]] = []
        self._changed = asyncio.Event()

    @classmethod
    def around(cls, role: str, handles: Sequence[RemoteActor]) -> Self:
        """Of workers that somebody else has started and loaded: no heartbeats, one that fails is given up, and one
        that can't be reached is asked again."""
        supervisor = cls(WorkerPoolConfig(role=role, rules=FleetConfig(max_restarts=0), start_timeout_s=0))
        supervisor._is_frozen = True
        for handle in handles:
            supervisor.hire(lambda handle=handle: handle).state = WorkerState.READY
        supervisor.is_open = True
        return supervisor

    def hire(self, start: Callable[[], RemoteActor]) -> Worker:
        """One more worker, with the next name. Before `open` that loads it; afterwards it loads by itself, and a
        failure costs its budget. `start` is called now, and again at every restart."""
        index = len(self.workers)
        budget = RestartBudget(self.staffing.rules)
        worker = Worker(f"{self.staffing.role}-{index}", index, start=start, budget=budget, handle=start())
        self.workers.append(worker)
        if self.is_open:
            self._live(worker, self._start(worker))
        return worker

    async def open(self) -> None:
        """Load all that were hired, at the same time; from then on keep them alive.

        Raises:
            RunFailed: a worker did not start; it is named.
        """
        await asyncio.gather(*(self._load(worker) for worker in self.workers))
        self.is_open = True
        self._heartbeats.start()

    async def close(self) -> None:
        """No more heartbeats and restarts. The processes end with Ray."""
        tasks = [*self._lives.values(), *self._heartbeats.stop()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serving(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state is WorkerState.READY]

    def loaded(self) -> list[Worker]:
        """Ready, suspect or stale."""
        return [worker for worker in self.workers if worker.state in LOADED]

    def watched(self) -> list[Worker]:
        """All whose silence counts: loaded, or at it."""
        return [worker for worker in self.workers if worker.state in LOADED or _loads(worker)]

    def possible(self) -> list[Worker]:
        """All that serve or may serve again."""
        return [worker for worker in self.workers if worker.state is not WorkerState.RETIRED]

    async def until_serving(self) -> None:
        """Until one is ready. Raises FleetLost where none will be."""
        await self._until(self.serving)

    async def until_loaded(self) -> None:
        """Until one is ready, suspect or stale. Raises FleetLost where none will be."""
        await self._until(self.loaded)

    def refuse_if_lost(self) -> None:
        """Raises FleetLost where nobody will ever serve again, or there never was anybody."""
        if self.lost is not None:
            raise FleetLost(*self.lost.args)
        if not self.workers:
            raise FleetLost(f"this run has no {self.staffing.role} workers")

    def listen(self, heard: Callable[[Worker], None]) -> None:
        """Have `heard` called after every change of a worker's state, and after `lost` was set."""
        self._listeners.append(heard)

    def failed(self, worker: Worker, why: str, *, handle: RemoteActor = None) -> None:
        """Its process is gone, or must go: another takes its place. A late word of an earlier process changes nothing;
        `handle` says of which process this was seen."""
        if (worker.state in LOADED or _loads(worker)) and handle in (None, worker.handle):
            self._bury(worker, why)

    def suspect(self, worker: Worker, why: str, *, handle: RemoteActor = None) -> None:
        """It can't be reached for now: it is asked nothing new until its heartbeat is heard, or found missing."""
        if worker.state is WorkerState.READY and handle in (None, worker.handle) and not self._is_frozen:
            self._move(worker, WorkerState.SUSPECT, why)

    def answered(self, worker: Worker) -> None:
        """A heartbeat was heard."""
        if worker.state is WorkerState.SUSPECT:
            self._move(worker, WorkerState.READY, "it answers again")

    def stale(self, worker: Worker, why: str) -> None:
        """It lacks the weights of now."""
        if worker.state in LOADED and worker.state is not WorkerState.STALE:
            self._move(worker, WorkerState.STALE, why)

    def current(self, worker: Worker, why: str) -> None:
        """It has the weights of now."""
        if worker.state in LOADED and worker.state is not WorkerState.READY:
            self._move(worker, WorkerState.READY, why)

    def retire(self, worker: Worker, why: str) -> None:
        """Let it go for good, without a restart: it is one too many, or its place is lost."""
        if worker.state is not WorkerState.RETIRED:
            self._retire(worker, why)

    def _bury(self, worker: Worker, why: str) -> None:
        self._end_life(worker)
        self._move(worker, WorkerState.DEAD, why)
        self._live(worker, self._replace(worker, why))

    async def _replace(self, worker: Worker, why: str) -> None:
        wait_s = worker.budget.next_wait_s(self._clock())
        if wait_s is None:
            rules = self.staffing.rules
            spent = f"{rules.max_restarts} restarts within {rules.restart_window_s:g} s are spent"
            self._retire(worker, why if self._is_frozen else f"{why}; {spent}")
            return
        self._kill(worker.handle)
        await self._sleep(wait_s)
        self._move(worker, WorkerState.RESTARTING, f"{wait_s:g} s after: {why}")
        await self._start(worker)

    async def _start(self, worker: Worker) -> None:
        staffing = self.staffing
        try:
            if worker.state is WorkerState.RESTARTING:
                worker.handle, worker.has_answered = worker.start(), False
            await waiting_for(
                self._load(worker),
                f"{worker.name} to load",
                timeout_s=staffing.start_timeout_s,
                on_wait=staffing.waiting,
            )
        except Exception as failure:  # noqa: BLE001 - whatever it was is reported, costs budget, and names the end
            self._bury(worker, failure.args[0] if isinstance(failure, RunFailed) else f"did not start: {failure}")

    async def _load(self, worker: Worker) -> None:
        """Find its process, load its model, prepare it; then it serves, or is stale."""
        name, handle = worker.name, worker.handle
        worker.process = (await processes([name], [handle]))[name]
        worker.has_answered = True
        self.staffing.found(name, worker.process)
        await ready([name], [handle])
        if self.prepare is not None:
            try:
                await self.prepare(worker)
            except Exception as failure:
                raise RunFailed(f"{name} could not be prepared: {one_line(failure)}") from failure
        if _is_starting(worker) and worker.handle is handle:  # else it was given up in this very turn
            self._move(worker, WorkerState.STALE if self.staffing.starts_stale else WorkerState.READY, "loaded")

    def _retire(self, worker: Worker, why: str) -> None:
        self._end_life(worker)
        if not self._is_frozen:
            self._kill(worker.handle)
        self._move(worker, WorkerState.RETIRED, why)
        self._check_left()

    def _end_life(self, worker: Worker) -> None:
        """It is not started again by what is at it now, which may be who calls this."""
        life = self._lives.pop(worker.name, None)
        if life is not None and life is not asyncio.current_task():
            life.cancel()

    def _check_left(self) -> None:
        left, role = self.possible(), self.staffing.role
        if self.lost is not None or len(left) >= self.staffing.min_workers:
            return
        gone = "; ".join(
            f"{worker.name}: {worker.why}" for worker in self.workers if worker.state is WorkerState.RETIRED
        )
        needed = self.staffing.min_workers
        self.give_up(FleetLost(f"{role} workers left: {len(left)}, needed: {needed}; given up: {gone}"))

    def give_up(self, lost: FleetLost) -> None:
        """All that wait, and whoever asks from now on, get this error."""
        self.lost = self.lost or lost
        self._tell(self.workers[-1])
        self.staffing.report("fleet", f"{self.staffing.role}: lost", str(lost))

    def _move(self, worker: Worker, state: WorkerState, why: str) -> None:
        before = worker.state
        assert state in NEXT[before], f"{worker.name}: {before} -> {state}"
        worker.state, worker.why = state, why
        self.staffing.report("worker", f"{worker.name}: {before} -> {state}", why)
        self._tell(worker)

    def _tell(self, worker: Worker) -> None:
        for heard in self._listeners:
            heard(worker)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, found: Callable[[], list[Worker]]) -> None:
        while not found():
            self.refuse_if_lost()
            await self._changed.wait()

    def _live(self, worker: Worker, life: Coroutine[object, object, None]) -> None:
        task = self._lives[worker.name] = asyncio.ensure_future(life)
        task.add_done_callback(self.hear_of)

    def hear_of(self, task: "asyncio.Task[None]") -> None:
        """Nobody awaits the tasks of a supervisor: a fault of ours in one of them must not look like a long wait."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            role = self.staffing.role
            self.give_up(FleetLost(f"the supervisor of {role} failed: {type(failure).__name__}: {failure}"))


def _loads(worker: Worker) -> bool:
    """Its process is there, its model is not yet."""
    return worker.has_answered and _is_starting(worker)


def _is_starting(worker: Worker) -> bool:
    return worker.state in (WorkerState.STARTING, WorkerState.RESTARTING)
