"""Put the vLLM workers of a role behind the driver's ports for samples and answer probabilities."""

import asyncio
from dataclasses import replace

from actors.fleets.pool import Failure, Message, Request, RetryRules, WorkerPool
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import Worker
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.remote.calls import ProcessLost, RequestFailed, Unreachable, WorkerRaised, answer, answers
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

MAX_DEATHS = 5
"""Workers that may die under one request before the request is taken for the cause."""

Content = SamplingRequest | AnswerProbabilityRequest


class EnginePool(WorkerPool[Content]):
    """Sample with several engines; a worker's load is its unfinished samples.

    A request that an engine refuses is an error of its caller. It is not tried on another engine, which would refuse it
    as well.
    """

    def __init__(self, supervisor: Supervisor, *, timeout_s: float = 1800.0) -> None:
        super().__init__(
            supervisor, timeout_s=timeout_s, retries=RetryRules(attempts=MAX_DEATHS, counts_deaths_only=True)
        )

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return one rollout per seed, from the worker that answers first.

        Raises:
            Unanswered: no answer came in time, or the request can't be answered.
            FleetLost: too few workers are left.
        """
        result: asyncio.Future[tuple[Rollout, ...]] = asyncio.get_running_loop().create_future()
        return await self._ask(Request(request.request_id, request, request.num_samples, result))

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """Return [N] one value per prompt, by the weights that the asked worker serves. Raises as `sample`."""
        result: asyncio.Future[tuple[float, ...]] = asyncio.get_running_loop().create_future()
        return await self._ask(Request(request.request_id, request, len(request.prompts), result))

    def _send_share(self, worker: Worker, share: dict[str, Request[Content, object]]) -> None:
        """Send all samplings as one message, so that they enter the same step of the engine."""
        sampling = {name: request for name, request in share.items() if isinstance(request.content, SamplingRequest)}
        if sampling:
            self._keep(self._receive_samples(Message(worker, worker.handle, sampling)))
        for name, request in share.items():
            if name not in sampling:
                self._keep(self._receive_probabilities(Message(worker, worker.handle, {name: request})))

    async def _receive_samples(self, message: Message[Content]) -> None:
        """Give each request's samples to its caller as soon as they arrive; try what is left unanswered again."""
        requests = [replace(request.content, request_id=name) for name, request in message.waiting.items()]
        try:
            stream = message.handle.sample.options(num_returns="streaming").remote(requests)
            async for name, outcome in answers(stream):
                self._receive(message, name, outcome)
        except (Unreachable, ProcessLost, WorkerRaised) as failure:
            self._lose(message, failure)
        else:
            if message.waiting:
                self._lose(message, ProcessLost(f"its stream ended with {len(message.waiting)} requests missing"))

    async def _receive_probabilities(self, message: Message[Content]) -> None:
        ((name, asked),) = message.waiting.items()
        request = replace(asked.content, request_id=name)
        try:
            outcome: object = await answer(message.handle.answer_probabilities.remote(request))
        except WorkerRaised as failure:
            outcome = failure.cause if isinstance(failure.cause, StaleEngine | DeadEngine) else RequestFailed(failure)
        except (Unreachable, ProcessLost) as failure:
            self._lose(message, failure)
            return
        self._receive(message, name, outcome)

    def _receive(self, message: Message[Content], name: str, outcome: object) -> None:
        """Take one answer, or the reason why there is none."""
        worker = message.worker
        match outcome:
            case DeadEngine():
                self.supervisor.mark_dead(worker, str(outcome), handle=message.handle)
                self._retry(message, name, Failure("died", f"{worker.name}: {outcome}", worker.name))
            case StaleEngine():
                if worker.handle is message.handle:
                    self.supervisor.mark_stale(worker, str(outcome))
                self._retry(message, name, Failure("stale", f"{worker.name}: {outcome}", worker.name))
            case BaseException():
                self._take(message, name, Failure("failed", f"{worker.name} failed: {outcome}", worker.name))
            case _:
                self._take(message, name, outcome)
