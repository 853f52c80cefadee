"""Several actors alike behind one port: least-loaded routing, and messages that don't depend on timing.

Owns the way from a Protocol call in the driver to a Ray actor and back. Knows nothing of what the actors compute.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from ray.exceptions import RayActorError, RayError

from actors.process import ProcessInfo, RemoteActor
from driver.errors import RunFailed
from driver.schema import Rollout, SamplingRequest, Score, ScoreRequest, Unscored


@dataclass
class _Pending:
    request: SamplingRequest
    result: "asyncio.Future[tuple[Rollout, ...]]"


@dataclass
class GeneratorFleet:
    """vLLM workers behind the `Generator` port.

    Requests made in one turn of the event loop travel to a worker as one message, spread in order over the workers:
    what an engine decodes together, and so its rounding, depends on the order of the requests, not on message timing.
    """

    name: str
    workers: Sequence[RemoteActor]
    timeout_s: float = 1800.0  # from asking to answer, waiting for its turn included
    _outbox: list[_Pending] = field(default_factory=list)
    _streams: set["asyncio.Task[None]"] = field(default_factory=set)

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        loop = asyncio.get_running_loop()
        pending = _Pending(request, loop.create_future())
        if not self._outbox:
            loop.call_soon(self._send)
        self._outbox.append(pending)
        try:
            return await asyncio.wait_for(pending.result, self.timeout_s)
        except TimeoutError as failure:
            raise RunFailed(f"{self.name} gave no answer to {request.request_id} in {self.timeout_s:g} s") from failure

    def _send(self) -> None:
        outbox, self._outbox = self._outbox, []
        for index, worker in enumerate(self.workers):
            if share := outbox[index :: len(self.workers)]:
                stream = asyncio.ensure_future(self._receive(worker, f"{self.name}-{index}", share))
                self._streams.add(stream)
                stream.add_done_callback(self._streams.discard)

    async def _receive(self, worker: RemoteActor, name: str, share: list[_Pending]) -> None:
        """Hand each group to whoever awaits it as soon as it arrives; an error reaches all that still wait."""
        waiting = {pending.request.request_id: pending.result for pending in share}
        try:
            stream = worker.sample.options(num_returns="streaming").remote([pending.request for pending in share])
            async for item in stream:
                request_id, rollouts = await item
                if not (result := waiting.pop(request_id)).done():
                    result.set_result(rollouts)
            error = RunFailed(f"{name} ended its stream with {len(waiting)} groups missing")
        except RayError as failure:
            error = RunFailed(f"{name} failed: {one_line(failure)}")
        for result in waiting.values():
            if not result.done():
                result.set_exception(error)


@dataclass
class ScorerFleet:
    """Scorer actors behind the `Scorer` port: the least loaded one takes the next group.

    A scorer that fails or is too slow leaves the group's samples unscored; it never turns into a reward. One that has
    died is asked no more.
    """

    workers: Sequence[RemoteActor]
    timeout_s: float
    _loads: dict[int, int] = field(default_factory=dict)
    _dead: set[int] = field(default_factory=set)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """One result per response.

        Raises:
            RunFailed: no scorer is alive: without scores a run only looks as if it went on.
        """
        index = self._least_loaded()
        self._loads[index] = self._loads.get(index, 0) + 1
        try:
            return await asyncio.wait_for(self._ask(index, request), self.timeout_s)
        except RayActorError as failure:
            self._dead.add(index)
            reason = f"scorer-{index} died: {one_line(failure)}"
        except RayError as failure:
            reason = f"scorer-{index} failed: {one_line(failure)}"
        except TimeoutError:
            reason = f"scorer-{index} gave no answer in {self.timeout_s:g} s"
        finally:
            self._loads[index] -= 1
        if len(self._dead) == len(self.workers):
            raise RunFailed(f"no scorer is left alive; {reason}")
        return tuple(Unscored(reason=reason) for _ in request.responses)

    def _least_loaded(self) -> int:
        turn, count = next(self._turn), len(self.workers)
        order = ((turn + offset) % count for offset in range(count))
        return min(order, key=lambda index: (index in self._dead, self._loads.get(index, 0)))

    async def _ask(self, index: int, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        return await self.workers[index].score.remote(request)


def one_line(failure: BaseException) -> str:
    """The last line that says something: Ray wraps the actor's whole traceback around it; the logs keep that."""
    lines = [line.strip() for line in str(failure).splitlines()]
    telling = [line for line in lines if line and not line.startswith("For further information")]
    return telling[-1] if telling else type(failure).__name__


async def processes(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Where the workers run, by name; they answer before they load anything.

    Raises:
        RunFailed: a worker's process did not start.
    """
    return await _answers(names, [worker.process.remote() for worker in workers])


async def ready(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Wait until every worker has loaded its model; the first that can't is named.

    Raises:
        RunFailed: a worker died or raised while it was loading.
    """
    return await _answers(names, [worker.ready.remote() for worker in workers])


async def _answers(names: Sequence[str], calls: Sequence[Awaitable[ProcessInfo]]) -> dict[str, ProcessInfo]:
    async def one(name: str, call: Awaitable[ProcessInfo]) -> ProcessInfo:
        try:
            return await call
        except RayError as failure:
            raise RunFailed(f"{name} did not start: {one_line(failure)}") from failure

    answers = await asyncio.gather(*(one(name, call) for name, call in zip(names, calls, strict=True)))
    return dict(zip(names, answers, strict=True))
