"""Put the scorers behind the driver's port, and give every scorer the calibration before it scores."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from actors.fleets.pool import Failure, Message, Request, RetryRules, Unanswered, WorkerPool
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import Worker
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer, ignore_late_failure
from actors.remote.process import RemoteActor
from actors.scoring.metrics import STATES, over_step, scorer_metrics
from contracts.errors import RunFailed
from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair

STATS_TIMEOUT_S = 10.0
"""Longest wait for the counters, in seconds: they are not worth holding up a step."""

Answer = TypeVar("Answer")
Call = Callable[[RemoteActor, float], Awaitable[object]]
"""Ask a worker something, given the seconds from now until the caller stops waiting."""


class ScorerPool(WorkerPool[Call]):
    """Score with several scorers; a worker's load is its unanswered calls.

    A group that fails, or whose scorer died, can't be reached or was given up for its silence, is tried again by
    another scorer if there is one. In the end its samples are unscored; they never count as a reward of 0. A restarted
    scorer scores nothing before it has the calibration.
    """

    def __init__(self, supervisor: Supervisor, *, timeout_s: float, attempts: int = 3, backoff_s: float = 0.5) -> None:
        """
        Args:
            supervisor: of the scorers.
            timeout_s: of a group or another question, all attempts and waits included.
            attempts: of one group, on as many scorers as there are.
            backoff_s: before the second attempt; doubled before each further one.
        """
        retries = RetryRules(attempts=attempts, counts_deaths_only=False, backoff_s=backoff_s, takes_turns=True)
        super().__init__(supervisor, timeout_s=timeout_s, retries=retries)
        self._calibration: Calibration | None = None
        self._counters: dict[RemoteActor, dict[str, float]] = {}  # of every process that ever was, as last answered
        self._last_taken: dict[str, float] = {}
        self._num_calls = itertools.count()
        self._num_given_up = 0
        self._num_comparing = 0
        self._more_can_compare = asyncio.Event()
        supervisor.prepare = self._prepare

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """Return one result per response.

        Raises:
            FleetLost: no scorer is left: a run without scores would only seem to go on.
        """
        result: asyncio.Future[tuple[Score | Unscored, ...]] = asyncio.get_running_loop().create_future()
        try:
            return await self._call(
                "score", lambda handle, within_s: handle.score.remote(request, within_s=within_s), result
            )
        except Unanswered as failure:
            self._num_given_up += 1
            reason = f"{self.supervisor.config.role} {failure.failure.kind}"
            return (Unscored(reason=reason, detail=failure.failure.detail),) * len(request.responses)

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """Return the raw similarities of the pairs, in order; NaN for a pair that can't be compared.

        One scorer takes all pairs: split many into several calls. As many calls are under way as scorers are ready; the
        others wait, and each one's deadline begins when it is sent.

        Raises:
            Unanswered: no scorer answered.
        """
        result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        async with self._turn_to_compare():
            return await self._call("similarities", lambda handle, _: handle.similarities.remote(tuple(pairs)), result)

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation for each text, in order, by the scorers' translator.

        Raises:
            Unanswered: no scorer answered.
        """
        result: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        async with self._turn_to_compare():
            call: Call = lambda handle, _: handle.translate.remote(tuple(texts), source, target)  # noqa: E731
            return await self._call("translate", call, result)

    async def similarity_fingerprint(self) -> str:
        """Return the fingerprint of the similarity that all scorers use.

        Raises:
            Unanswered: no scorer answered.
        """
        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await self._call("fingerprint", lambda handle, _: handle.similarity_fingerprint.remote(), result)

    async def use_calibration(self, calibration: Calibration) -> None:
        """Give the calibration to every scorer; those that are starting get it before they score.

        Two scales would give different rewards for the same text: a scorer that can't be reached is restarted.

        Raises:
            RunFailed: a scorer refused the calibration; `key` is its name.
        """
        self._calibration = calibration
        asked = [(worker, worker.handle) for worker in self.supervisor.loaded()]
        calls = [self._answer(worker, lambda handle: handle.use_calibration.remote(calibration)) for worker, _ in asked]
        for (worker, handle), failure in zip(asked, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            match failure:
                case WorkerRaised():
                    text = f"{worker.name} did not take the calibration: {failure}"
                    raise RunFailed(text, key=worker.name) from failure
                case Unreachable() | ProcessLost() | TimeoutError():
                    self.supervisor.mark_dead(worker, f"did not take the calibration: {failure}", handle=handle)
                case BaseException():
                    raise failure

    async def stats(self) -> dict[str, float]:
        """Return the counters of all scorers since the start, and the pool's own.

        "retries" are attempts after the first one, "given_up" groups without scores. "queue_depth" is the number of
        groups that wait now, "queue_depth_max" the most since the last call. A scorer that died or does not answer
        counts with its last answer.
        """
        await asyncio.gather(*(self._refresh(worker) for worker in self.supervisor.serving()))
        loaded = {worker.handle for worker in self.supervisor.loaded()}
        totals = {"retries": float(self.num_retries), "given_up": float(self._num_given_up)}
        for handle, counters in self._counters.items():
            for name, value in counters.items():
                counts = name not in STATES or handle in loaded
                totals[name] = totals.get(name, 0.0) + (value if counts else 0.0)
        return totals

    async def take_stats(self) -> dict[str, float]:
        """Return what the scorers did since the last call, by metric name."""
        before, self._last_taken = self._last_taken, await self.stats()
        return scorer_metrics(over_step(before, self._last_taken))

    async def _refresh(self, worker: Worker) -> None:
        handle = worker.handle
        try:
            timeout_s = min(STATS_TIMEOUT_S, self._timeout_s)
            stats = await self._answer(worker, lambda handle: handle.stats.remote(), timeout_s=timeout_s)
        except (Unreachable, ProcessLost, WorkerRaised, TimeoutError):
            return
        self._counters[handle] = stats

    async def _prepare(self, worker: Worker) -> None:
        """Give a scorer the calibration before it scores. Another calibration may come while it takes this one."""
        given: Calibration | None = None
        while given is not self._calibration and (given := self._calibration) is not None:
            await worker.handle.use_calibration.remote(given)

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _call(self, what: str, call: Call, result: "asyncio.Future[Answer]") -> Answer:
        return await self._ask(Request(f"{what} {next(self._num_calls)}", call, 1, result))

    def _send_share(self, worker: Worker, share: dict[str, Request[Call, object]]) -> None:
        for name, request in share.items():
            self._keep(self._receive(Message(worker, worker.handle, {name: request})))

    async def _receive(self, message: Message[Call]) -> None:
        ((name, request),) = message.waiting.items()
        worker, within_s = message.worker, request.deadline - asyncio.get_running_loop().time()
        try:
            result = await answer(request.content(message.handle, within_s))
        except WorkerRaised as failure:
            kind = f"failed: {type(failure.cause).__name__}"
            self._retry(message, name, Failure(kind, f"{worker.name} failed: {failure}", worker.name))
        except (Unreachable, ProcessLost) as failure:
            self._lose(message, failure)
        else:
            self._take(message, name, result)

    async def _answer(
        self, worker: Worker, ask: Callable[[RemoteActor], Awaitable[Answer]], *, timeout_s: float | None = None
    ) -> Answer:
        """Return what this very worker answers, and report its failure to the supervisor.

        Raises:
            Unreachable, ProcessLost, WorkerRaised: there is no answer.
            TimeoutError: there is none within `timeout_s`, by default that of a group.
        """
        handle, timeout_s = worker.handle, timeout_s or self._timeout_s
        task = asyncio.ensure_future(answer(ask(handle)))
        task.add_done_callback(ignore_late_failure)
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimeoutError(f"no answer in {timeout_s:g} s")
        try:
            return task.result()
        except Unreachable as failure:
            self.supervisor.mark_suspect(worker, f"it can't be reached: {failure}", handle=handle)
            raise
        except ProcessLost as failure:
            self.supervisor.mark_dead(worker, str(failure), handle=handle)
            raise

    # --- comparing ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _turn_to_compare(self) -> AsyncIterator[None]:
        while self._num_comparing >= max(1, len(self.supervisor.serving())):
            self._more_can_compare.clear()
            await self._more_can_compare.wait()
        self._num_comparing += 1
        try:
            yield
        finally:
            self._num_comparing -= 1
            self._more_can_compare.set()

    def _on_change(self, worker: Worker) -> None:
        super()._on_change(worker)
        self._more_can_compare.set()
