"""Several engines alike behind one port: requests spread over them, in messages that don't depend on timing.

Owns the way from a Protocol call in the driver to a Ray actor and back, and how workers of any kind are started. Knows
nothing of what the actors compute. Scorers are in actors/scorer_fleet.py.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from ray.exceptions import RayError

from actors.process import ProcessInfo, RemoteActor
from driver.errors import RunFailed
from driver.schema import AnswerProbabilityRequest, Rollout, SamplingRequest


@dataclass
class _Pending:
    request: SamplingRequest
    result: "asyncio.Future[tuple[Rollout, ...]]"


@dataclass
class GeneratorFleet:
    """vLLM workers behind the `Generator` port; those of the policy behind `AnswerLikelihood` too.

    Requests made in one turn of the event loop travel to a worker as one message, spread in order over the workers:
    what an engine decodes together, and so its rounding, depends on the order of the requests, not on message timing.
    """

    name: str
    workers: Sequence[RemoteActor]
    timeout_s: float = 1800.0  # from asking to answer, waiting for its turn included
    _outbox: list[_Pending] = field(default_factory=list)
    _streams: set["asyncio.Task[None]"] = field(default_factory=set)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

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

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """One value per prompt. Workers take turns: all of them serve the same weights.

        Raises:
            RunFailed: the worker failed, or gave no answer in time.
        """
        index = next(self._turn) % len(self.workers)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.workers[index].answer_probabilities.remote(request)
        except RayError as failure:
            raise RunFailed(f"{self.name}-{index} failed: {one_line(failure)}") from failure
        except TimeoutError as failure:
            raise RunFailed(
                f"{self.name}-{index} gave no answer to {request.request_id} in {self.timeout_s:g} s"
            ) from failure

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
