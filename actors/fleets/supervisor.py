"""Keep the workers of one role alive: track each one's state, and start a new process in the place of a dead one.

Knows no Ray: a callable starts a process and another one ends it. Callers report what they see of a worker
(`mark_dead`, `mark_suspect`, `mark_stale`) and subscribe to changes of state. Every change is one event.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

from actors.fleets.heartbeats import Heartbeats
from actors.fleets.speeds import Speeds
from actors.fleets.worker import NEXT, RestartBudget, Worker, WorkerState
from actors.remote.calls import end_actor, one_line, processes, ready
from actors.remote.process import ProcessInfo, RemoteActor
from actors.remote.progress import Progress
from contracts.config.workers import FleetConfig
from contracts.errors import FleetLost, RunFailed
from contracts.waiting import waiting_for

OnEvent = Callable[[str, str, str], None]
"""Take (kind, reason, detail): a line of events.jsonl."""
OnAnswer = Callable[[str, str, float], None]
"""Take (worker, request, sent): an answer has come now, to a request that was sent then by `time.monotonic`."""


@dataclass(frozen=True, kw_only=True)
class WorkerPoolConfig:
    """Say how the workers of one role are kept."""

    role: str
    rules: FleetConfig
    start_timeout_s: float  # from starting a process to a loaded model, including the wait for free devices
    min_workers: int = 1
    starts_stale: bool = False  # a loaded worker takes no requests before it has been given weights
    on_event: OnEvent = lambda kind, reason, detail: None
    on_wait: Callable[[str], None] = lambda text: None  # called every half minute of a wait
    on_answer: OnAnswer = lambda worker, request, sent: None
    on_process: Callable[[str, ProcessInfo], None] = lambda name, process: None  # a worker's new process was found


class Supervisor:
    """Keep the workers of one role alive."""

    def __init__(
        self,
        config: WorkerPoolConfig,
        *,
        kill: Callable[[RemoteActor], None] = end_actor,
        clock: Callable[[], float] = time.monotonic,  # never the wall clock, which jumps
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self.workers: list[Worker] = []  # by index; dead and removed ones too
        self.lost: FleetLost | None = None
        self.prepare: Callable[[Worker], Awaitable[None]] | None = None
        """Awaited after a worker has loaded, before it takes requests. No other code runs between its end and the
        change of state. An exception means that the worker did not start."""
        self.loading: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
        """Entered while a worker loads its model: it may have to wait for the memory of a GPU."""
        self._speeds = Speeds(config.rules)
        self._kill = kill
        self._clock = clock
        self._sleep = sleep
        self.is_open = False  # the first workers have loaded
        self._is_fixed = False
        self._starts: dict[str, asyncio.Task[None]] = {}  # workers that are being started or replaced, by name
        self._heartbeats: asyncio.Task[None] | None = None
        self._subscribers: list[Callable[[Worker], None]] = []
        self._changed = asyncio.Event()

    @classmethod
    def of_loaded(cls, role: str, handles: Sequence[RemoteActor]) -> Self:
        """Return a supervisor of workers that the caller has started and loaded.

        It asks for no heartbeats. A worker that fails is retired, and one that can't be reached is asked again.
        """
        supervisor = cls(WorkerPoolConfig(role=role, rules=FleetConfig(max_restarts=0), start_timeout_s=0))
        supervisor._is_fixed = True
        for handle in handles:
            supervisor.add(lambda handle=handle: handle).state = WorkerState.READY
        supervisor.is_open = True
        return supervisor

    def add(self, start: Callable[[], RemoteActor]) -> Worker:
        """Add a worker under the next name, and start its process.

        Before `open`, that call loads it. Afterwards it loads at once, and a failure costs its restart budget. `start`
        is called now, and again at every restart.
        """
        index = len(self.workers)
        budget = RestartBudget(self.config.rules)
        worker = Worker(f"{self.config.role}-{index}", index, start=start, budget=budget, handle=start())
        self.workers.append(worker)
        if self.is_open:
            self._spawn(worker, self._start(worker))
        return worker

    async def open(self) -> None:
        """Load all workers that were added, at the same time, and keep them alive from then on.

        Raises:
            RunFailed: a worker did not start; `key` is its name.
        """
        await asyncio.gather(*(self._load(worker) for worker in self.workers))
        self.is_open = True
        heartbeats = Heartbeats(self, self.config.rules, clock=self._clock, sleep=self._sleep)
        self._heartbeats = asyncio.ensure_future(heartbeats.run())
        self._heartbeats.add_done_callback(self.on_task_done)

    async def close(self) -> None:
        """Stop heartbeats and restarts. The processes end with Ray."""
        tasks = [*self._starts.values(), *([self._heartbeats] if self._heartbeats else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serving(self) -> list[Worker]:
        """Return the workers that take requests: READY."""
        return [worker for worker in self.workers if worker.state is WorkerState.READY]

    def loaded(self) -> list[Worker]:
        """Return the workers with a loaded model: ready, suspect or stale."""
        return [worker for worker in self.workers if worker.is_loaded]

    def watched(self) -> list[Worker]:
        """Return the workers whose heartbeat is monitored: loaded or loading."""
        return [worker for worker in self.workers if worker.is_watched]

    def remaining(self) -> list[Worker]:
        """Return the workers that are not retired: they take requests, or may do so again."""
        return [worker for worker in self.workers if worker.state is not WorkerState.RETIRED]

    async def until_serving(self) -> None:
        """Wait until one worker is ready.

        Raises:
            FleetLost: none will ever be.
        """
        await self._until(self.serving)

    async def until_loaded(self) -> None:
        """Wait until one worker is ready, suspect or stale.

        Raises:
            FleetLost: none will ever be.
        """
        await self._until(self.loaded)

    def refuse_if_lost(self) -> None:
        """Check that a worker may take requests, now or later.

        Raises:
            FleetLost: too few workers are left, or there never was one.
        """
        if self.lost is not None:
            raise FleetLost(*self.lost.args, key=self.config.role)
        if not self.workers:
            raise FleetLost(f"this run has no {self.config.role} workers", key=self.config.role)

    def subscribe(self, on_change: Callable[[Worker], None]) -> None:
        """Have `on_change` called after every change of a worker's state, and after `lost` was set."""
        self._subscribers.append(on_change)

    # --- what callers saw ---------------------------------------------------------------------------------------------

    def mark_dead(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None:
        """End the worker's process and start another one in its place.

        `handle` says of which process the failure was seen: one of an earlier process changes nothing.
        """
        if worker.is_watched and handle in (None, worker.handle):
            self._mark_dead(worker, why)

    def mark_suspect(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None:
        """Give the worker no new requests until it answers a heartbeat, or has been silent for too long."""
        if worker.state is WorkerState.READY and handle in (None, worker.handle) and not self._is_fixed:
            self._move(worker, WorkerState.SUSPECT, why)

    def mark_answering(self, worker: Worker) -> None:
        """Make a suspect worker ready: it answered a heartbeat."""
        if worker.state is WorkerState.SUSPECT:
            self._move(worker, WorkerState.READY, "it answers again")

    def note_progress(self, worker: Worker, progress: Progress) -> None:
        """Take in what the worker has done, and replace it if it is far slower than the others that are ready.

        Slowness ends no run: a worker that is alone stays, and the last restart is kept for one that dies.
        """
        worker.progress = progress
        self._speeds.note(worker, progress)
        others = [other for other in self.serving() if other is not worker]
        if worker.is_slow or worker.state is not WorkerState.READY or not others:
            return
        if why := self._speeds.why_slow(worker, others):
            worker.is_slow = True
            if worker.budget.num_left(self._clock()) > 1:
                self.config.on_event("slow_worker", worker.name, why)
                self._mark_dead(worker, why)
            else:
                kept = f"{worker.name}: slow, and not replaced"
                self.config.on_event("fleet", kept, f"{why}; too few restarts are left (fleet.max_restarts)")

    def mark_stale(self, worker: Worker, why: str) -> None:
        """Give the worker no requests until it has the learner's current weights."""
        if worker.is_loaded and worker.state is not WorkerState.STALE:
            self._move(worker, WorkerState.STALE, why)

    def mark_current(self, worker: Worker, why: str) -> None:
        """Make the worker ready: it has the learner's current weights."""
        if worker.is_loaded and worker.state is not WorkerState.READY:
            self._move(worker, WorkerState.READY, why)

    def remove(self, worker: Worker, why: str) -> None:
        """Remove the worker for good, without a restart: it is one too many, or its devices are gone."""
        if worker.state is not WorkerState.RETIRED:
            self._remove(worker, why)

    def give_up(self, lost: FleetLost) -> None:
        """Raise this error in every wait, and in every call from now on."""
        self.lost = self.lost or lost
        self._notify(self.workers[-1])
        self.config.on_event("fleet", f"{self.config.role}: lost", str(lost))

    def on_task_done(self, task: "asyncio.Task[None]") -> None:
        """Give up if a background task raised: a bug in one of them must not look like a long wait."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            role = self.config.role
            text = f"the supervisor of {role} failed: {type(failure).__name__}: {failure}"
            self.give_up(FleetLost(text, key=role))

    # --- starting and replacing ---------------------------------------------------------------------------------------

    def _mark_dead(self, worker: Worker, why: str) -> None:
        self._cancel_start(worker)
        self._move(worker, WorkerState.DEAD, why)
        self._spawn(worker, self._replace(worker, why))

    async def _replace(self, worker: Worker, why: str) -> None:
        wait_s = worker.budget.next_wait_s(self._clock())
        if wait_s is None:
            rules = self.config.rules
            spent = f"restarted {rules.max_restarts} times within {rules.restart_window_s:g} s (fleet.max_restarts)"
            self._remove(worker, why if self._is_fixed else f"{why}; {spent}")
            return
        self._kill(worker.handle)
        await self._sleep(wait_s)
        self._move(worker, WorkerState.RESTARTING, f"after {wait_s:g} s of waiting, because: {why}")
        await self._start(worker)

    async def _start(self, worker: Worker) -> None:
        try:
            if worker.state is WorkerState.RESTARTING:
                worker.handle, worker.has_answered, worker.is_slow = worker.start(), False, False
                worker.progress, worker.version = None, None
                worker.num_restarts += 1
            await waiting_for(
                self._load(worker),
                f"{worker.name} to load",
                timeout_s=self.config.start_timeout_s,
                on_wait=self.config.on_wait,
            )
        except Exception as failure:  # noqa: BLE001 - any failure is an event, costs budget, and is named at the end
            self._mark_dead(worker, failure.args[0] if isinstance(failure, RunFailed) else f"did not start: {failure}")

    async def _load(self, worker: Worker) -> None:
        """Find the worker's process, load its model and prepare it; then it is ready or stale."""
        name, handle = worker.name, worker.handle
        worker.process = (await processes([name], [handle]))[name]
        worker.has_answered = True
        self.config.on_process(name, worker.process)
        async with self.loading():
            await ready([name], [handle])
        if self.prepare is not None:
            try:
                await self.prepare(worker)
            except Exception as failure:
                raise RunFailed(f"{name} could not be prepared: {one_line(failure)}", key=name) from failure
        if worker.is_starting and worker.handle is handle:  # else it was marked dead in this turn of the event loop
            self._move(worker, WorkerState.STALE if self.config.starts_stale else WorkerState.READY, "loaded")

    def _remove(self, worker: Worker, why: str) -> None:
        self._cancel_start(worker)
        if not self._is_fixed:
            self._kill(worker.handle)
        self._move(worker, WorkerState.RETIRED, why)
        self._check_remaining()

    def _spawn(self, worker: Worker, start: Coroutine[object, object, None]) -> None:
        task = self._starts[worker.name] = asyncio.ensure_future(start)
        task.add_done_callback(self.on_task_done)

    def _cancel_start(self, worker: Worker) -> None:
        """Cancel the start or replacement that is under way, unless it is the task that calls this."""
        task = self._starts.pop(worker.name, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _check_remaining(self) -> None:
        remaining, role, needed = self.remaining(), self.config.role, self.config.min_workers
        if self.lost is not None or len(remaining) >= needed:
            return
        retired = [worker for worker in self.workers if worker.state is WorkerState.RETIRED]
        reasons = "; ".join(f"{worker.name}: {worker.why}" for worker in retired)
        self.give_up(
            FleetLost(f"{role} workers left: {len(remaining)}, needed: {needed}; given up: {reasons}", key=role)
        )

    def _move(self, worker: Worker, state: WorkerState, why: str) -> None:
        before = worker.state
        assert state in NEXT[before], f"{worker.name}: {before} -> {state}"
        worker.state, worker.why = state, why
        self.config.on_event("worker", f"{worker.name}: {before} -> {state}", why)
        self._notify(worker)

    def _notify(self, worker: Worker) -> None:
        for on_change in self._subscribers:
            on_change(worker)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, found: Callable[[], list[Worker]]) -> None:
        while not found():
            self.refuse_if_lost()
            await self._changed.wait()
