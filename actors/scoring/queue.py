"""The line in front of one reward: what waits is scored in one thread, and counted.

Owns what is scored together, what is left out because nobody waits for it any more, and what happens when scoring
fails. Plain asyncio; knows neither Ray nor any model.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contracts.rollouts import Score, ScoreRequest, Unscored

Scores = tuple[Score | Unscored, ...]
Result = TypeVar("Result")


class Reward(Protocol):
    """Scores whole groups; blocks while it does (rewards/reward.py)."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """One result per response, in order, group by group."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: ScoreRequest
    result: "asyncio.Future[Scores]"
    since: float  # on this process' monotonic clock, in seconds
    until: float


class ScoringQueue:
    """Scores groups in the order in which they came: one by one, or all that wait at once.

    One thread does all the work: a model is not shared, and the event loop stays free to take the next groups.
    """

    def __init__(self, reward: Reward, *, across_groups: bool) -> None:
        self._reward = reward
        self._across_groups = across_groups
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._deepest = 0
        self._counters: dict[str, float] = dict.fromkeys(
            ("groups", "texts", "batches", "failures", "expired", "busy_s", "latency_s"), 0.0
        )

    async def score(self, request: ScoreRequest, *, within_s: float) -> Scores:
        """The group's scores, as soon as it was its turn. One whose turn comes after `within_s` seconds is not scored:
        a backlog that nobody waits for would hold up those that come after it.

        Raises:
            TimeoutError: its turn came too late.
            Exception: whatever the reward raised for this very group.
        """
        result: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        self._waiting.append(_Waiting(request, result, since=now, until=now + within_s))
        self._deepest = max(self._deepest, len(self._waiting))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        return await result

    async def run(self, work: Callable[[], Result]) -> Result:
        """Something else that blocks, in the same thread: never while a group is being scored."""
        return await in_thread(work, self._thread)

    def stats(self) -> dict[str, float]:
        """Since the start: groups, texts (responses) and batches scored, groups that failed, groups that expired
        (nobody waited for them any more when it was their turn), seconds busy, and seconds that scored groups spent
        here in all. Besides, how many wait now, and the most that did since this was last asked."""
        states = {"queue_depth": float(len(self._waiting)), "queue_depth_max": float(self._deepest)}
        self._deepest = len(self._waiting)
        return self._counters | states

    async def _work(self) -> None:
        while self._waiting:
            num = len(self._waiting) if self._across_groups else 1
            taken, self._waiting = self._waiting[:num], self._waiting[num:]
            await self._score(taken)

    async def _score(self, taken: Sequence[_Waiting]) -> None:
        """A batch that fails is done again group by group: only the group that breaks it is left without scores."""
        taken = [waiting for waiting in taken if self._is_awaited(waiting)]
        if not taken:
            return
        started = time.monotonic()
        try:
            scores = await self.run(lambda: self._reward.score([waiting.request for waiting in taken]))
            if len(scores) != len(taken):
                raise ValueError(f"the reward gave {len(scores)} groups of scores for {len(taken)}")
        except Exception as failure:  # noqa: BLE001 - whoever waits must hear of it; Ray carries it to the fleet
            self._counters["busy_s"] += time.monotonic() - started
            if len(taken) > 1:
                for waiting in taken:
                    await self._score([waiting])
            else:
                self._counters["failures"] += 1
                _tell(taken[0], failure)
            return
        self._count(taken, busy_s=time.monotonic() - started)
        for waiting, group in zip(taken, scores, strict=True):
            _tell(waiting, group)

    def _is_awaited(self, waiting: _Waiting) -> bool:
        if not waiting.result.done() and time.monotonic() < waiting.until:
            return True
        self._counters["expired"] += 1
        allowed_s = waiting.until - waiting.since
        _tell(waiting, TimeoutError(f"the group's turn to be scored came after the {allowed_s:g} s that it may wait"))
        return False

    def _count(self, scored: Sequence[_Waiting], *, busy_s: float) -> None:
        now = time.monotonic()
        done = {
            "groups": len(scored),
            "texts": sum(len(waiting.request.responses) for waiting in scored),
            "batches": 1,
            "busy_s": busy_s,
            "latency_s": sum(now - waiting.since for waiting in scored),
        }
        for name, value in done.items():
            self._counters[name] += value


async def in_thread(work: Callable[[], Result], thread: ThreadPoolExecutor | None = None) -> Result:
    """What blocking work gives, done in a thread; None: in one of asyncio's.

    Raises:
        Exception: whatever the work raised.
        RuntimeError: in place of what asyncio does not bring out of a thread as a failure.
    """
    return await asyncio.get_running_loop().run_in_executor(thread, _failing_plainly, work)


def _failing_plainly(work: Callable[[], Result]) -> Result:
    """asyncio refuses a StopIteration, takes a CancelledError for its own, and ends at a SystemExit: whoever waits for
    the work would wait for ever."""
    try:
        return work()
    except (StopIteration, SystemExit, CancelledError, asyncio.CancelledError) as ending:
        raise RuntimeError(f"{type(ending).__name__} came out of a model or the reward: {ending}") from ending


def _tell(waiting: _Waiting, outcome: Scores | Exception) -> None:
    """Whoever asked may have stopped waiting."""
    if waiting.result.done():
        return
    if isinstance(outcome, Exception):
        waiting.result.set_exception(outcome)
    else:
        waiting.result.set_result(outcome)
