"""Several scorers behind one port: who takes which group, and what happens when one fails, dies or says nothing.

Owns attempts, back-off and the deadline of a group. Who lives and who is restarted is the supervisor's business
(actors/fleets/supervisor.py). Knows nothing of how a reward is made. Where nothing fails, who is asked depends on
the order of the calls alone.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from actors.fleets.scorer_work import ScorerWork
from actors.fleets.supervisor import Supervisor, Worker
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised
from actors.remote.calls import answer as answer_of
from actors.remote.process import RemoteActor
from actors.scoring.metrics import over_step, scorer_metrics
from contracts.errors import RunFailed
from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair

STATS_TIMEOUT_S = 10.0
"""Longest that counters are waited for: they are not worth holding up a step."""

Answer = TypeVar("Answer")
Ask = Callable[[RemoteActor, float], Awaitable[Answer]]
"""Asks a worker something that is waited for so many seconds from now."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one attempt gave no answer."""

    reason: str  # short and countable
    detail: str
    has_died: bool = False
    has_raised: bool = False  # it answered, with an exception


class ScorerFleet:
    """Scorer actors behind the `Scorer` port: the least loaded one that is READY takes the next group.

    A group that fails, or whose scorer died or was given up for its silence, is tried again by another, where there is
    one; in the end its samples are unscored, never worth nothing. A scorer that was restarted serves nothing before it
    has the calibration.
    """

    def __init__(self, supervisor: Supervisor, *, timeout_s: float, attempts: int = 3, backoff_s: float = 0.5) -> None:
        """
        Args:
            timeout_s: of a group or another question, all attempts and waits included.
            backoff_s: before the second attempt; doubled before each further one.
        """
        self.supervisor = supervisor
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._calibration: Calibration | None = None
        self._work = ScorerWork()
        self._turn = itertools.count()
        self._taken: dict[str, float] = {}
        self._retries = 0
        self._given_up = 0
        self._num_comparing = 0
        self._more_can_compare = asyncio.Event()
        supervisor.prepare = self._prepare
        supervisor.listen(self._hear)

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """One result per response.

        Raises:
            FleetLost: no scorer is left: without scores a run only looks as if it went on.
        """
        answer = await self._persistently(lambda worker, within_s: worker.score.remote(request, within_s=within_s))
        if not isinstance(answer, _Failure):
            return answer
        self._given_up += 1
        return (Unscored(reason=answer.reason, detail=answer.detail),) * len(request.responses)

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """The judge's raw values, in order; NaN where it can't say. One scorer takes them all: ask for many in several
        calls. As many calls are under way as scorers serve; the others wait, each before its own deadline begins.

        Raises:
            RunFailed: no scorer gave an answer.
        """
        async with self._turn_to_compare():
            return await self._must("similarities", lambda worker, _: worker.similarities.remote(tuple(pairs)))

    async def judge_fingerprint(self) -> str:
        """Of the judge that all scorers have.

        Raises:
            RunFailed: no scorer gave an answer.
        """
        return await self._must("the judge's fingerprint", lambda worker, _: worker.judge_fingerprint.remote())

    async def use_calibration(self, calibration: Calibration) -> None:
        """From now on, on every scorer; those that are being started get it before they serve.

        Two scales would pay differently for the same text: a scorer that can't be reached is started again.

        Raises:
            RunFailed: a scorer refused it.
        """
        self._calibration = calibration
        asked = [(worker, worker.handle) for worker in self.supervisor.loaded()]
        calls = [handle.use_calibration.remote(calibration) for _, handle in asked]
        for (worker, handle), call in zip(asked, calls, strict=True):
            answer = await self._answer(worker, answer_of(call), self._timeout_s)
            if not isinstance(answer, _Failure):
                continue
            if answer.has_raised:
                raise RunFailed(f"{worker.name} did not take the calibration: {answer.reason}: {answer.detail}")
            self.supervisor.failed(worker, f"did not take the calibration: {answer.detail}", handle=handle)

    async def stats(self) -> dict[str, float]:
        """Totals of all scorers since the start (actors/scoring/queue.py), and the fleet's own: groups that were tried
        again ("retries") and groups that were given up ("given_up").

        "queue_depth" is a state, and "queue_depth_max" the most since it was last asked. Of a scorer that died or does
        not answer, what it said last counts.
        """
        await asyncio.gather(*(self._refresh(worker) for worker in self.supervisor.serving()))
        return self._work.totals() | {"retries": float(self._retries), "given_up": float(self._given_up)}

    async def take_stats(self) -> dict[str, float]:
        """What the scorers did since this was last asked, by metric name (actors/scoring/metrics.py)."""
        before, self._taken = self._taken, await self.stats()
        return scorer_metrics(over_step(before, self._taken))

    async def _refresh(self, worker: Worker) -> None:
        of = self._work.of(worker.index)
        call = answer_of(worker.handle.stats.remote())
        answer = await self._answer(worker, call, min(STATS_TIMEOUT_S, self._timeout_s))
        if not isinstance(answer, _Failure):
            of.said = answer

    async def _prepare(self, worker: Worker) -> None:
        """The supervisor's last step before a scorer serves. Another calibration may come while it takes this one."""
        given: Calibration | None = None
        while given is not self._calibration and (given := self._calibration) is not None:
            await worker.handle.use_calibration.remote(given)

    def _hear(self, worker: Worker) -> None:
        """After every change of a worker's state: whoever waits for a process that is gone need wait no longer."""
        if worker not in self.supervisor.loaded():
            self._work.forget(worker.index)
        self._more_can_compare.set()

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

    async def _must(self, what: str, ask: Ask[Answer]) -> Answer:
        answer = await self._persistently(ask)
        if isinstance(answer, _Failure):
            raise RunFailed(f"no scorer gave {what}: {answer.reason}: {answer.detail}")
        return answer

    async def _persistently(self, ask: Ask[Answer]) -> Answer | _Failure:
        """The answer of the first scorer that gives one, or why the last attempt failed."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        avoided: Worker | None = None
        failure = _Failure("scorer timed out", f"no scorer was ready in {self._timeout_s:g} s")
        for attempt in range(self._attempts):
            if attempt:
                # The place of one that died is taken by another at once; whatever else failed may need a moment.
                pause = 0.0 if failure.has_died else self._backoff_s * 2 ** (attempt - 1)
                if clock() + pause >= deadline:
                    break
                await asyncio.sleep(pause)
            if not await self._is_served(deadline - clock()):
                break
            self._retries += attempt > 0
            worker, left_s = self._least_loaded(avoided), deadline - clock()
            call = self._work.of(worker.index).loading(answer_of(ask(worker.handle, left_s)))
            answer = await self._answer(worker, call, left_s)
            if not isinstance(answer, _Failure):
                return answer
            avoided, failure = worker, answer
        return failure

    async def _is_served(self, within_s: float) -> bool:
        """Whether a scorer is READY, at once or after a wait.

        Raises:
            FleetLost: none will be.
        """
        if self.supervisor.serving():
            return True
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                await self.supervisor.until_serving()
        except TimeoutError:
            return False
        return True

    def _least_loaded(self, avoided: Worker | None) -> Worker:
        """Of those that serve, in turn where several are equally loaded; `avoided` only where it is the last one."""
        serving, num = self.supervisor.serving(), len(self.supervisor.workers)
        first = next(self._turn) % num
        candidates = [worker for worker in serving if worker is not avoided] or serving
        return min(candidates, key=lambda one: (self._work.of(one.index).load, (one.index - first) % num))

    async def _answer(self, worker: Worker, call: Awaitable[Answer], timeout_s: float) -> Answer | _Failure:
        """What the worker answers; why not, at the deadline or as soon as its process is given up."""
        handle, gone = worker.handle, self._work.of(worker.index).gone
        task = asyncio.ensure_future(call)
        task.add_done_callback(_hear_late)
        await asyncio.wait({task, gone}, timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            if gone.done():
                return _Failure("scorer died", f"{worker.name} was given up: {worker.why}", has_died=True)
            return _Failure("scorer timed out", f"{worker.name} gave no answer in {self._timeout_s:g} s")
        try:
            return task.result()
        except Unreachable as failure:
            self.supervisor.suspect(worker, f"it can't be reached: {failure}", handle=handle)
            return _Failure("scorer unavailable", f"{worker.name} can't be reached: {failure}")
        except ProcessLost as failure:
            self.supervisor.failed(worker, f"it died: {failure}", handle=handle)
            return _Failure("scorer died", f"{worker.name} died: {failure}", has_died=True)
        except WorkerRaised as failure:
            return _Failure(
                f"scorer failed: {type(failure.cause).__name__}", f"{worker.name} failed: {failure}", has_raised=True
            )


def _hear_late(task: "asyncio.Future[Answer]") -> None:
    """A failure that comes after the deadline is nobody's any more; asyncio would complain at the end of the run."""
    if not task.cancelled():
        task.exception()
