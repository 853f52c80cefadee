"""Spread the requests of one role over its workers, and give those of a failed worker to another one.

The supervisor says which workers take requests; subclasses say how a request is sent and what an answer means.

Invariants: requests made in one turn of the event loop are sent in their order, each to the worker with the least load,
and all those of one worker together. So what an engine decodes together, and with it the rounding, depends on the order
of the requests and not on the timing of messages. A request is answered once. A request that is sent again is the same
request, with the same seeds.
"""

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from actors.fleets.readings import ActorReading
from actors.fleets.routing import Routing
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import Worker, WorkerState
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised
from actors.remote.process import RemoteActor
from contracts.errors import FleetLost, RunFailed
from contracts.waiting import patiently

Content = TypeVar("Content")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """Say why one attempt gave no answer."""

    kind: str  # short and countable: "died", "slow", "unavailable", "timed out", "failed: ValueError"
    detail: str
    key: str  # the worker, or the role if no worker took the request


class Unanswered(RunFailed):
    """Report a request that no worker answered: its attempts are spent, or its time is over."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message, key=failure.key)
        self.failure = failure


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryRules:
    """Say how often a request is tried."""

    attempts: int  # failed attempts after which a request is given up
    counts_deaths_only: bool  # only attempts count whose worker died: such a request may be the cause
    backoff_s: float = 0.0  # wait before the second attempt, doubled before each further one; none after a death
    takes_turns: bool = False  # equally loaded workers take turns; else the first one is chosen


@dataclass(eq=False, slots=True)
class Request(Generic[Content, Result]):
    """Hold one request that a caller waits for."""

    name: str  # no two requests of a pool are under way under one name
    content: Content
    size: int  # what it adds to a worker's load
    result: "asyncio.Future[Result]"
    number: int = 0  # in the order of asking
    deadline: float = 0.0  # seconds of the event loop's clock
    worker: Worker | None = None  # that got it last, unless it failed
    holders: set[int] = field(default_factory=set)  # indices of the workers that have it now
    second: int | None = None  # the one of them that got it although another had it
    num_sent: int = 0
    num_failures: int = 0  # that count
    failure: Failure | None = None  # of the last attempt
    avoided: int | None = None  # index of the worker that failed last

    def leave(self, index: int) -> None:
        """Note that the worker does not have it any more. The one that is left is the first one from now on."""
        self.holders.discard(index)
        self.second = None

    def fail(self, failure: RunFailed) -> None:
        if not self.result.done():
            self.result.set_exception(failure)


@dataclass(eq=False, slots=True)
class Message(Generic[Content]):
    """Hold the requests that were sent at once to the process that a worker had then."""

    worker: Worker
    handle: RemoteActor
    waiting: dict[str, Request[Content, object]]  # unanswered, by the name that the worker knows them by
    sent: float = field(default_factory=time.monotonic)


class WorkerPool(ABC, Generic[Content]):
    """Give each request to the least loaded worker that is ready, and to another one when that worker fails."""

    def __init__(self, supervisor: Supervisor, *, timeout_s: float, retries: RetryRules) -> None:
        """Prepare the pool; `timeout_s` is from the request to its answer, all attempts and waits included."""
        self.supervisor = supervisor
        self.num_retries = 0
        self._timeout_s = timeout_s
        self._retries = retries
        self._pending: set[Request[Content, object]] = set()  # all that callers wait for
        self._outbox: list[Request[Content, object]] = []
        self._is_sending = False  # in this turn of the event loop
        self._routing: Routing[Request[Content, object]] = Routing(takes_turns=retries.takes_turns)
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Task[None] | None = None
        self._second_tries: asyncio.TimerHandle | None = None
        for worker in supervisor.serving():
            self._routing.open(worker.index)
        supervisor.subscribe(self._on_change)

    def readings(self) -> list[ActorReading]:
        """Return how all workers stand, as far as is known here: nobody is asked."""
        return [
            ActorReading(
                name=worker.name,
                role=self.supervisor.config.role,
                is_serving=worker.state is WorkerState.READY,
                num_restarts=worker.num_restarts,
                progress=worker.progress,
                queue=self._routing.load(worker.index),
                version=worker.version,
            )
            for worker in self.supervisor.remaining()
        ]

    @abstractmethod
    def _send_share(self, worker: Worker, share: dict[str, Request[Content, object]]) -> None:
        """Send requests to a worker at once; `_take`, `_retry` or `_lose` what comes back."""

    async def _ask(self, request: Request[Content, Result]) -> Result:
        """Return the answer of the first worker that gives one.

        Raises:
            Unanswered: the attempts are spent, or the time is over.
            FleetLost: too few workers are left.
        """
        self.supervisor.refuse_if_lost()
        request.number = next(self._numbers)
        request.deadline = asyncio.get_running_loop().time() + self._timeout_s
        pending = cast("Request[Content, object]", request)
        self._pending.add(pending)
        self._put([pending])
        self._look_later()
        try:
            return await asyncio.wait_for(request.result, self._timeout_s)
        except TimeoutError as failure:
            raise self._unanswered(pending, self._late(pending)) from failure
        finally:
            self._pending.discard(pending)

    def _late(self, request: Request[Content, object]) -> Failure:
        if request.worker is not None:
            name = request.worker.name
            return Failure("timed out", f"{name} gave no answer in {self._timeout_s:g} s", name)
        role = self.supervisor.config.role
        return request.failure or Failure("timed out", f"no {role} was ready in {self._timeout_s:g} s", role)

    def _unanswered(self, request: Request[Content, object], failure: Failure) -> Unanswered:
        role, attempts = self.supervisor.config.role, request.num_sent
        text = f"no {role} worker answered {request.name} (attempts: {attempts}): {failure.detail}; {self._states()}"
        return Unanswered(text, failure)

    def _states(self) -> str:
        states = [f"{worker.name} is {worker.state}" for worker in self.supervisor.workers]
        return ", ".join(states[:8]) + (f" and {len(states) - 8} more" if len(states) > 8 else "")

    # --- sending ------------------------------------------------------------------------------------------------------

    def _put(self, requests: Iterable[Request[Content, object]]) -> None:
        """Send these requests, unless their callers have left, after this turn of the event loop."""
        self._outbox.extend(requests)
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_sending = False
        outbox, self._outbox = sorted(self._outbox, key=lambda request: request.number), []
        shares: dict[int, dict[str, Request[Content, object]]] = {}
        for request in outbox:
            if request.result.done():
                continue  # the caller has left
            index = self._routing.least_loaded(avoided=request.avoided)
            if index is None:
                self._outbox.append(request)
                continue
            self.num_retries += request.failure is not None
            shares.setdefault(index, {})[self._assign(index, request)] = request
        for index in sorted(shares):
            self._send_share(self.supervisor.workers[index], shares[index])
        if self._outbox and (self._waiter is None or self._waiter.done()):
            self._waiter = self._keep(self._wait_for_worker())

    def _assign(self, index: int, request: Request[Content, object]) -> str:
        """Count the request to a worker's load, and return the name by which the worker gets it."""
        name = self._name_attempt(index, request)
        request.worker = self.supervisor.workers[index]
        request.holders.add(index)
        self._routing.assign(index, name, request, size=request.size)
        return name

    def _name_attempt(self, index: int, request: Request[Content, object]) -> str:
        """Return the name by which this worker gets the request.

        The worker may still hold an earlier attempt whose caller has left: to an engine each attempt is a new request.
        """
        while True:
            request.num_sent += 1
            again = f"#again-{request.num_sent - 1}" if request.num_sent > 1 else ""
            name = f"{request.name}{again}"
            if not self._routing.holds(index, name):
                return name

    async def _wait_for_worker(self) -> None:
        """Say every half minute that no worker is ready. `_on_change` sends the requests when one is."""
        what = f"a {self.supervisor.config.role} worker that is ready ({self._states()})"
        try:
            await patiently(self.supervisor.until_serving(), what, on_wait=self.supervisor.config.on_wait)
        except FleetLost:
            return  # `_on_change` has raised it in every caller

    # --- second tries -------------------------------------------------------------------------------------------------

    def _look_later(self) -> None:
        """Look for late requests after the next heartbeat, as long as a caller waits."""
        rules = self.supervisor.config.rules
        if self._second_tries is None and self._pending and rules.second_try_after < 1:
            self._second_tries = asyncio.get_running_loop().call_later(rules.heartbeat_s, self._try_late_ones)

    def _try_late_ones(self) -> None:
        """Give each request that has waited too long at one worker to a second one that is well ahead of the first."""
        self._second_tries = None
        limit_s = self._timeout_s * self.supervisor.config.rules.second_try_after
        late = [one for one in self._pending if self._waited_s(one) >= limit_s and len(one.holders) == 1]
        for request in sorted(late, key=lambda one: one.number):
            index = self._routing.least_loaded_of(self._ahead_of(request))
            if index is not None and not request.result.done():
                self._try_second(request, index)
        self._look_later()

    def _ahead_of(self, request: Request[Content, object]) -> list[int]:
        """Return the workers all of whose requests have waited at most half as long; second tries don't count.

        Where all workers are about equally far, a second try would only double their work.
        """
        longest_s: dict[int, float] = {}
        for one in self._pending:
            for holder in one.holders - {one.second}:
                longest_s[holder] = max(longest_s.get(holder, 0.0), self._waited_s(one))
        half_s = self._waited_s(request) / 2
        return [
            worker.index
            for worker in self.supervisor.serving()
            if worker.index not in request.holders and longest_s.get(worker.index, 0.0) <= half_s
        ]

    def _waited_s(self, request: Request[Content, object]) -> float:
        return asyncio.get_running_loop().time() - (request.deadline - self._timeout_s)

    def _try_second(self, request: Request[Content, object], index: int) -> None:
        (holder,) = request.holders
        first, second = self.supervisor.workers[holder], self.supervisor.workers[index]
        waited = f"{first.name} has not answered {request.name} for {self._waited_s(request):.0f} s"
        detail = f"{waited}; {second.name} gets it too"
        self.supervisor.config.on_event("second_try", self.supervisor.config.role, detail)
        request.second = index
        self._send_share(second, {self._assign(index, request): request})

    # --- answers ------------------------------------------------------------------------------------------------------

    def _take(self, message: Message[Content], name: str, answer: object) -> None:
        """Give an answer to the caller: a result, or an error that ends the request."""
        request = message.waiting.pop(name)
        self.supervisor.config.on_answer(message.worker.name, name, message.sent)
        if self._routing.release(message.worker.index, name):
            request.leave(message.worker.index)
        if isinstance(answer, Failure):
            request.fail(self._unanswered(request, answer))
        elif not request.result.done():  # else another worker was faster, or the caller has left
            request.result.set_result(answer)

    def _lose(self, message: Message[Content], failure: Unreachable | ProcessLost | WorkerRaised) -> None:
        """Report a worker's failure to the supervisor, and try what is left of the message again."""
        worker = message.worker
        if isinstance(failure, Unreachable):
            kind, why = "unavailable", f"it can't be reached: {failure}"
            self.supervisor.mark_suspect(worker, why, handle=message.handle)
        else:
            kind, why = "died", str(failure)
            self.supervisor.mark_dead(worker, why, handle=message.handle)
        for name in list(message.waiting):
            self._retry(message, name, Failure(kind, f"{worker.name}: {why}", worker.name))

    def _retry(self, message: Message[Content], name: str, failure: Failure) -> None:
        """Try a request again, unless the worker's change of state has led to that already."""
        request = message.waiting.pop(name)
        if self._routing.release(message.worker.index, name):
            self._try_again(request, message.worker, failure)

    def _try_again(self, request: Request[Content, object], worker: Worker, failure: Failure) -> None:
        request.leave(worker.index)
        if request.result.done():
            return
        rules = self._retries
        request.worker, request.failure, request.avoided = None, failure, worker.index
        if failure.kind != "slow":  # which is no fault of the request
            request.num_failures += failure.kind == "died" or not rules.counts_deaths_only
        is_gone = failure.kind in ("died", "slow")
        pause_s = 0.0 if is_gone else rules.backoff_s * 2.0 ** (request.num_failures - 1)
        is_late = asyncio.get_running_loop().time() + pause_s >= request.deadline
        if request.num_failures >= rules.attempts or (pause_s and is_late):
            request.fail(self._unanswered(request, failure))
        elif request.holders:  # another worker has it
            request.worker = self.supervisor.workers[next(iter(request.holders))]
        elif pause_s:
            self._keep(self._put_later(request, pause_s))
        else:
            self._put([request])

    async def _put_later(self, request: Request[Content, object], pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        self._put([request])

    # --- changes of state ---------------------------------------------------------------------------------------------

    def _on_change(self, worker: Worker) -> None:
        """Follow a worker's change of state, or the loss of all of them."""
        if worker.state is WorkerState.READY:
            self._routing.open(worker.index)
            if self._outbox:
                self._put([])
        else:
            self._routing.shut(worker.index)
        if worker.state not in (WorkerState.READY, WorkerState.SUSPECT):
            kind = str(worker.state)
            if worker.state is WorkerState.DEAD:
                kind = "slow" if worker.is_slow else "died"
            for request in self._routing.take_away(worker.index):
                self._try_again(request, worker, Failure(kind, f"{worker.name}: {worker.why}", worker.name))
        if (lost := self.supervisor.lost) is not None:
            for request in self._pending:
                request.fail(FleetLost(*lost.args, key=lost.key))

    def _keep(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        task = cast("asyncio.Task[None]", asyncio.ensure_future(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self.supervisor.on_task_done)
        return task
