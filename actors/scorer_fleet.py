"""Several scorers behind one port: who takes which group, and what happens when one fails, dies or says nothing.

Owns attempts, back-off and the deadline of a group. Knows nothing of how a reward is made. Where nothing fails, who is
asked depends on the order of the calls alone.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from actors.fleet import one_line
from actors.process import RemoteActor
from driver.errors import RunFailed
from driver.schema import Score, ScoreRequest, Unscored
from driver.scorer_metrics import over_step, scorer_metrics
from rewards.calibration import Calibration
from rewards.reasoning.judge import ReasoningPair

STATS_TIMEOUT_S = 10.0
"""Longest that counters are waited for: they are not worth holding up a step."""

Answer = TypeVar("Answer")
Ask = Callable[[RemoteActor, float], Awaitable[Answer]]
"""Asks a worker something that is waited for so many seconds from now."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one attempt gave no scores."""

    reason: str  # short and countable
    detail: str
    has_died: bool = False


@dataclass
class ScorerFleet:
    """Scorer actors behind the `Scorer` port: the least loaded one that lives takes the next group.

    A group that fails is tried again by another scorer, where there is one; in the end its samples are unscored, never
    worth nothing. A scorer that died is asked no more; one that can't be reached for a while is.
    """

    workers: Sequence[RemoteActor]
    timeout_s: float  # of a group or another question, all attempts and waits included
    attempts: int = 3
    backoff_s: float = 0.5  # before the second attempt; doubled before each further one
    _loads: dict[int, int] = field(default_factory=dict)
    _dead: set[int] = field(default_factory=set)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)
    _last_stats: dict[int, dict[str, float]] = field(default_factory=dict)
    _taken: dict[str, float] = field(default_factory=dict)
    _retries: int = 0
    _given_up: int = 0
    _num_comparing: int = 0
    _compared: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        """One result per response.

        Raises:
            RunFailed: no scorer is alive: without scores a run only looks as if it went on.
        """
        answer = await self._persistently(lambda worker, within_s: worker.score.remote(request, within_s=within_s))
        if not isinstance(answer, _Failure):
            return answer
        self._given_up += 1
        return (Unscored(reason=answer.reason, detail=answer.detail),) * len(request.responses)

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """The judge's raw values, in order; NaN where it can't say. One scorer takes them all: ask for many in several
        calls. As many calls are under way as scorers live; the others wait, each before its own deadline begins.

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
        """From now on, on every scorer that lives.

        Raises:
            RunFailed: one of them did not take it: two scales would pay differently for the same text.
        """
        calls = [(index, self.workers[index].use_calibration.remote(calibration)) for index in self._alive()]
        for index, call in calls:
            answer = await self._answer(index, call, self.timeout_s)
            if isinstance(answer, _Failure) and not answer.has_died:
                raise RunFailed(f"scorer-{index} did not take the calibration: {answer.reason}: {answer.detail}")

    async def stats(self) -> dict[str, float]:
        """Totals of all scorers since the start (actors/scoring_queue.py), and the fleet's own: groups that were tried
        again ("retries") and groups that were given up ("given_up").

        "queue_depth" is a state, and "queue_depth_max" the most since it was last asked. Of a scorer that died or does
        not answer, what it said last counts.
        """
        await asyncio.gather(*(self._refresh(index) for index in self._alive()))
        merged: dict[str, float] = {}
        for index, stats in self._last_stats.items():
            states = {name: 0.0 for name in ("queue_depth", "queue_depth_max") if index in self._dead}
            for name, value in (stats | states).items():
                merged[name] = merged.get(name, 0.0) + value
        return merged | {"retries": float(self._retries), "given_up": float(self._given_up)}

    async def take_stats(self) -> dict[str, float]:
        """What the scorers did since this was last asked, by metric name (driver/scorer_metrics.py)."""
        before, self._taken = self._taken, await self.stats()
        return scorer_metrics(over_step(before, self._taken))

    async def _refresh(self, index: int) -> None:
        answer = await self._answer(index, self.workers[index].stats.remote(), min(STATS_TIMEOUT_S, self.timeout_s))
        if not isinstance(answer, _Failure):
            self._last_stats[index] = answer

    @asynccontextmanager
    async def _turn_to_compare(self) -> AsyncIterator[None]:
        async with self._compared:
            await self._compared.wait_for(lambda: self._num_comparing < max(1, len(self._alive())))
            self._num_comparing += 1
        try:
            yield
        finally:
            self._num_comparing -= 1
            async with self._compared:
                self._compared.notify_all()

    async def _must(self, what: str, ask: Ask[Answer]) -> Answer:
        answer = await self._persistently(ask)
        if isinstance(answer, _Failure):
            raise RunFailed(f"no scorer gave {what}: {answer.reason}: {answer.detail}")
        return answer

    async def _persistently(self, ask: Ask[Answer]) -> Answer | _Failure:
        """The answer of the first scorer that gives one, or why the last attempt failed."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.timeout_s
        avoided: int | None = None
        failure = _Failure("scorer timed out", f"no answer in {self.timeout_s:g} s")
        for attempt in range(self.attempts):
            if attempt:
                # The place of one that died is taken by another at once; whatever else failed may need a moment.
                pause = 0.0 if failure.has_died else self.backoff_s * 2 ** (attempt - 1)
                if clock() + pause >= deadline:
                    break
                await asyncio.sleep(pause)
                self._retries += 1
            index = self._least_loaded(avoided)
            left_s = deadline - clock()
            answer = await self._answer(index, self._loading(index, ask(self.workers[index], left_s)), left_s)
            if not isinstance(answer, _Failure):
                return answer
            avoided, failure = index, answer
            if not self._alive():
                raise RunFailed(f"no scorer is left alive; {failure.detail}")
        return failure

    def _alive(self) -> list[int]:
        return [index for index in range(len(self.workers)) if index not in self._dead]

    def _least_loaded(self, avoided: int | None) -> int:
        """Of the living, in turn where several are equally loaded; `avoided` only where it is the last one."""
        alive = self._alive()
        if not alive:
            raise RunFailed("no scorer is left alive")
        first = next(self._turn) % len(self.workers)
        candidates = [index for index in alive if index != avoided] or alive
        return min(
            candidates,
            key=lambda index: (self._loads.get(index, 0), (index - first) % len(self.workers)),
        )

    def _loading(self, index: int, call: Awaitable[Answer]) -> "asyncio.Future[Answer]":
        """The call, which counts as load until it is answered: of one that is late, others are asked before it."""
        task = asyncio.ensure_future(call)
        self._loads[index] = self._loads.get(index, 0) + 1

        def unload(_: "asyncio.Future[Answer]") -> None:
            self._loads[index] -= 1

        task.add_done_callback(unload)
        return task

    async def _answer(self, index: int, call: Awaitable[Answer], timeout_s: float) -> Answer | _Failure:
        task = asyncio.ensure_future(call)
        task.add_done_callback(_hear)
        await asyncio.wait({task}, timeout=max(0.0, timeout_s))
        if not task.done():
            return _Failure("scorer timed out", f"scorer-{index} gave no answer in {self.timeout_s:g} s")
        try:
            return task.result()
        except RayError as failure:
            return self._failure(index, failure)

    def _failure(self, index: int, failure: RayError) -> _Failure:
        if isinstance(failure, ActorUnavailableError):
            return _Failure("scorer unavailable", f"scorer-{index} can't be reached: {one_line(failure)}")
        if isinstance(failure, RayActorError):
            self._dead.add(index)
            return _Failure("scorer died", f"scorer-{index} died: {one_line(failure)}", has_died=True)
        cause = failure.cause if isinstance(failure, RayTaskError) else failure
        return _Failure(f"scorer failed: {type(cause).__name__}", f"scorer-{index} failed: {one_line(failure)}")


def _hear(task: "asyncio.Future[Answer]") -> None:
    """A failure that comes after the deadline is nobody's any more; asyncio would complain at the end of the run."""
    if not task.cancelled():
        task.exception()
