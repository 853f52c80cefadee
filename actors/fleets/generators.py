"""Several engines alike behind one port: requests spread over those that serve, and given to others when one fails.

Owns the way from a Protocol call in the driver to an actor and back: what travels together, and who is asked next when
a worker dies, falls silent or goes stale. Knows nothing of what the actors compute, and no Ray. Who lives is the
supervisor's matter, who takes what that of actors/fleets/routing.py. Scorers are in actors/fleets/scorers.py.

Invariants: requests made in one turn of the event loop travel to a worker as one message, in their order, each to the
worker with the fewest unfinished samples, the first of equals: what an engine decodes together, and so its rounding,
depends on the order of the requests, not on message timing. A request is answered once; asked again it is the same
request, with the same seeds.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from actors.fleets.routing import Routing
from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor, Worker
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import ProcessLost, RequestFailed, Unreachable, WorkerRaised, answer, answers
from actors.remote.calls import ready as ready  # benchmarks start their workers by themselves
from actors.remote.process import RemoteActor
from contracts.errors import FleetLost, RunFailed
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from contracts.waiting import patiently

MAX_LOSSES = 5
"""Workers that may fail under one request before it is taken for the cause."""

Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class _Pending(Generic[Result]):
    """A request that somebody waits for."""

    request: SamplingRequest | AnswerProbabilityRequest
    number: int  # in the order of asking
    result: "asyncio.Future[Result]"
    num_sent: int = 0
    num_losses: int = 0  # workers that died under it

    @property
    def num_samples(self) -> int:
        request = self.request
        return request.num_samples if isinstance(request, SamplingRequest) else len(request.prompts)


@dataclass(eq=False, slots=True)
class _Message:
    """What a worker was asked at once, by the process that it had then."""

    worker: Worker
    handle: RemoteActor
    waiting: dict[str, _Pending]  # by the name that the worker knows it by; unanswered as far as this message goes


class GeneratorFleet:
    """vLLM workers behind the `Generator` port; those of the policy behind `AnswerLikelihood` too."""

    def __init__(self, supervisor: Supervisor, *, timeout_s: float = 1800.0) -> None:
        """`timeout_s`: from asking to the answer, waiting for a worker included."""
        self.supervisor = supervisor
        self._timeout_s = timeout_s
        self._outbox: list[_Pending] = []
        self._is_sending = False  # in this turn of the event loop
        self._routing: Routing[_Pending] = Routing()
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Task[None] | None = None
        for worker in supervisor.serving():
            self._routing.open(worker.index)
        supervisor.listen(self._hear)

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """One rollout a seed, from whichever worker answers first.

        Raises:
            RunFailed: no answer within the deadline, or the request can't be answered; FleetLost: nobody is left.
        """
        result: asyncio.Future[tuple[Rollout, ...]] = asyncio.get_running_loop().create_future()
        return await self._ask(_Pending(request, next(self._numbers), result))

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """One value per prompt, by the weights that the asked worker serves. Raises as `sample`."""
        result: asyncio.Future[tuple[float, ...]] = asyncio.get_running_loop().create_future()
        return await self._ask(_Pending(request, next(self._numbers), result))

    async def _ask(self, pending: _Pending[Result]) -> Result:
        self.supervisor.refuse_if_lost()
        self._outbox.append(pending)
        self._send_soon()
        try:
            return await asyncio.wait_for(pending.result, self._timeout_s)
        except TimeoutError as failure:
            role, name = self.supervisor.staffing.role, pending.request.request_id
            asked = self._routing.worker_of(pending)
            where = self._states() if asked is None else f"{self.supervisor.workers[asked].name} was asked last"
            raise RunFailed(f"{role} gave no answer to {name} in {self._timeout_s:g} s; {where}") from failure

    def _states(self) -> str:
        told = [f"{worker.name} is {worker.state}" for worker in self.supervisor.workers]
        return ", ".join(told[:8]) + (f" and {len(told) - 8} more" if len(told) > 8 else "")

    # --- out ----------------------------------------------------------------------------------------------------------

    def _send_soon(self) -> None:
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_sending = False
        outbox, self._outbox = sorted(self._outbox, key=lambda pending: pending.number), []
        shares: dict[int, dict[str, _Pending]] = {}
        for pending in outbox:
            if pending.result.done():
                continue  # nobody waits any more
            index = self._routing.least_loaded()
            if index is None:
                self._outbox.append(pending)
                continue
            name = self._attempt(index, pending)
            self._routing.assign(index, name, pending, size=pending.num_samples)
            shares.setdefault(index, {})[name] = pending
        for index in sorted(shares):
            self._ask_worker(self.supervisor.workers[index], shares[index])
        if self._outbox and (self._waiter is None or self._waiter.done()):
            self._waiter = self._keep(self._wait_for_worker())

    def _attempt(self, index: int, pending: _Pending) -> str:
        """The name by which this worker gets the request. It may still be at an earlier attempt of which nobody waits:
        to an engine each attempt is another request."""
        while True:
            pending.num_sent += 1
            again = f"#again-{pending.num_sent - 1}" if pending.num_sent > 1 else ""
            name = f"{pending.request.request_id}{again}"
            if not self._routing.holds(index, name):
                return name

    def _ask_worker(self, worker: Worker, share: dict[str, _Pending]) -> None:
        sampling = {name: pending for name, pending in share.items() if isinstance(pending.request, SamplingRequest)}
        if sampling:
            self._keep(self._receive_samples(_Message(worker, worker.handle, sampling)))
        for name, pending in share.items():
            if name not in sampling:
                self._keep(self._receive_probabilities(_Message(worker, worker.handle, {name: pending})))

    async def _wait_for_worker(self) -> None:
        """Says every half minute that nobody serves. What follows when somebody does, `_hear` sees to."""
        what = f"a {self.supervisor.staffing.role} worker that serves ({self._states()})"
        try:
            await patiently(self.supervisor.until_serving(), what, on_wait=self.supervisor.staffing.waiting)
        except FleetLost:
            return  # `_hear` has told it to all that wait

    # --- back ---------------------------------------------------------------------------------------------------------

    async def _receive_samples(self, message: _Message) -> None:
        """Hand each group to whoever awaits it as soon as it arrives; what is left unanswered goes to others."""
        requests = [replace(pending.request, request_id=name) for name, pending in message.waiting.items()]
        try:
            stream = message.handle.sample.options(num_returns="streaming").remote(requests)
            async for name, outcome in answers(stream):
                self._take(message, name, outcome)
        except (Unreachable, ProcessLost, WorkerRaised) as failure:
            self._lose(message, failure)
        else:
            if message.waiting:
                self._lose(message, ProcessLost(f"it ended its stream with {len(message.waiting)} groups missing"))

    async def _receive_probabilities(self, message: _Message) -> None:
        ((name, pending),) = message.waiting.items()
        request = replace(pending.request, request_id=name)
        try:
            outcome: object = await answer(message.handle.answer_probabilities.remote(request))
        except WorkerRaised as failure:
            outcome = failure.cause if isinstance(failure.cause, StaleEngine | DeadEngine) else RequestFailed(failure)
        except (Unreachable, ProcessLost) as failure:
            self._lose(message, failure)
            return
        self._take(message, name, outcome)

    def _take(self, message: _Message, name: str, outcome: object) -> None:
        """One answer, or why there is none."""
        worker = message.worker
        if isinstance(outcome, StaleEngine | DeadEngine):
            if isinstance(outcome, DeadEngine):
                self.supervisor.failed(worker, str(outcome), handle=message.handle)
            elif worker.handle is message.handle:
                self.supervisor.stale(worker, str(outcome))
            self._ask_again(message, name)
            return
        pending = message.waiting.pop(name)
        self._routing.release(worker.index, name)
        if pending.result.done():
            return  # another worker was faster, or nobody waits any more
        if isinstance(outcome, BaseException):
            pending.result.set_exception(RunFailed(f"{worker.name} failed: {outcome}"))
        else:
            pending.result.set_result(outcome)

    def _lose(self, message: _Message, failure: Unreachable | ProcessLost | WorkerRaised) -> None:
        """The rest of a message will not be answered."""
        if isinstance(failure, Unreachable):
            self.supervisor.suspect(message.worker, f"it can't be reached: {failure}", handle=message.handle)
        else:
            self.supervisor.failed(message.worker, str(failure), handle=message.handle)
        for name in list(message.waiting):
            self._ask_again(message, name)

    def _ask_again(self, message: _Message, name: str) -> None:
        """Unless the worker's change of state has led to that already."""
        pending = message.waiting.pop(name)
        if self._routing.release(message.worker.index, name):
            self._put_back([pending])

    # --- who serves ---------------------------------------------------------------------------------------------------

    def _hear(self, worker: Worker) -> None:
        """A worker's state has changed, or the fleet is lost."""
        if worker.state is WorkerState.READY:
            self._routing.open(worker.index)
            self._send_soon()
        else:
            self._routing.shut(worker.index)
        if worker.state not in (WorkerState.READY, WorkerState.SUSPECT):
            self._take_away(worker)
        if (lost := self.supervisor.lost) is not None:
            for pending in (*self._outbox, *self._routing.all()):
                _fail(pending, FleetLost(*lost.args))

    def _take_away(self, worker: Worker) -> None:
        """What it was at goes to others."""
        under_way = self._routing.take_away(worker.index)
        for pending in under_way if worker.state is WorkerState.DEAD else ():
            pending.num_losses += 1
            if pending.num_losses >= MAX_LOSSES:
                name = pending.request.request_id
                last = f"{worker.name}: {worker.why}"
                _fail(pending, RunFailed(f"{name} was under way on {MAX_LOSSES} workers that failed; last {last}"))
        self._put_back(under_way)

    def _put_back(self, again: Sequence[_Pending]) -> None:
        if wanted := [pending for pending in again if not pending.result.done()]:
            self._outbox.extend(wanted)
            self._send_soon()

    def _keep(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        task = cast("asyncio.Task[None]", asyncio.ensure_future(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self.supervisor.hear_of)
        return task


def _fail(pending: _Pending, failure: RunFailed) -> None:
    if not pending.result.done():
        pending.result.set_exception(failure)
