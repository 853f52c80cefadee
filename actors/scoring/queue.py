"""Score groups in one thread, in the order in which they came, and count what was done."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from actors.remote.progress import Progress
from actors.remote.silence import SilenceDetector
from contracts.rollouts import Score, ScoreRequest, Unscored

Scores = tuple[Score | Unscored, ...]
Result = TypeVar("Result")


class Reward(Protocol):
    """Score whole groups; blocks while it does."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Return one result per response, in order, group by group."""
        ...


class ScoringStuck(RuntimeError):
    """Report that the scoring thread has worked on one thing for longer than any group may wait."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: ScoreRequest
    result: "asyncio.Future[Scores]"
    since: float  # seconds of this process' monotonic clock
    until: float


class ScoringQueue:
    """Score groups in the order in which they came: one by one, or all that wait at once.

    One thread does all the work: a model is not shared, and the event loop stays free to take the next groups.
    """

    def __init__(
        self,
        reward: Reward,
        *,
        across_groups: bool,
        stuck_after_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            reward: scores the groups.
            across_groups: score all groups that wait at once.
            stuck_after_s: seconds after which one piece of work counts as one that never ends.
            clock: seconds of a clock that never jumps, for `check_progress`.
        """
        self._reward = reward
        self._across_groups = across_groups
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._deepest = 0
        self._stuck_after_s = stuck_after_s
        # Half of the limit: one late look alone is never enough.
        self._silence = SilenceDetector(self._pass_through, look_s=stuck_after_s / 2, clock=clock)
        self._batch_since: float | None = None  # while one is being scored
        self._num_turns = self._turns_s = 0.0
        self._counters: dict[str, float] = dict.fromkeys(
            ("groups", "texts", "batches", "failures", "expired", "busy_s", "latency_s"), 0.0
        )

    async def score(self, request: ScoreRequest, *, within_s: float) -> Scores:
        """Return the group's scores. A group whose turn comes after `within_s` seconds is not scored, because its
        caller has left and later groups wait.

        Raises:
            TimeoutError: its turn came too late.
            Exception: what the reward raised for this group.
        """
        result: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        self._waiting.append(_Waiting(request, result, since=now, until=now + within_s))
        self._deepest = max(self._deepest, len(self._waiting))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        return await result

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what other blocking work gives, done in the same thread: never while a group is being scored."""
        return await in_thread(work, self._thread)

    def check_progress(self) -> None:
        """Check that the thread still finishes its work: the process may answer while the thread hangs in a model.

        Sends a question that needs no work through the thread, one at a time. Returns at once. Call it again and again,
        from the event loop.

        Raises:
            ScoringStuck: the last question has not come back for `stuck_after_s`.
        """
        silent_s = self._silence.look()
        if silent_s > self._stuck_after_s:
            raise ScoringStuck(
                f"the scoring thread has been busy with one piece of work for {silent_s:.0f} s, and a group may wait "
                f"at most {self._stuck_after_s:g} s (scorer.timeout_s)"
            )

    async def _pass_through(self) -> bool:
        await self.run(lambda: None)
        return True

    def progress(self) -> Progress:
        """Return what was scored until now; the batch that is being scored counts as busy time."""
        now_s = time.monotonic() - self._batch_since if self._batch_since is not None else 0.0
        return Progress(work=self._counters["texts"], turns=self._num_turns, busy_s=self._turns_s + now_s)

    def stats(self) -> dict[str, float]:
        """Return the counters since the start.

        They are: groups, texts (responses) and batches scored, groups that failed, groups that expired (their caller
        had left when it was their turn), seconds busy, and seconds that scored groups spent here in all. Besides, how
        many groups wait now, and the most that did since the last call.
        """
        states = {"queue_depth": float(len(self._waiting)), "queue_depth_max": float(self._deepest)}
        self._deepest = len(self._waiting)
        return self._counters | states

    async def _work(self) -> None:
        while self._waiting:
            num = len(self._waiting) if self._across_groups else 1
            taken, self._waiting = self._waiting[:num], self._waiting[num:]
            await self._score(taken)

    async def _score(self, taken: Sequence[_Waiting]) -> None:
        """Score a batch. If it fails, score it group by group, so that only the failing group has no scores."""
        taken = [waiting for waiting in taken if self._is_awaited(waiting)]
        if not taken:
            return
        started = self._batch_since = time.monotonic()
        try:
            scores = await self.run(lambda: self._reward.score([waiting.request for waiting in taken]))
            if len(scores) != len(taken):
                raise ValueError(f"the reward gave {len(scores)} groups of scores for {len(taken)}")
        except Exception as failure:  # noqa: BLE001 - the caller gets it; Ray carries it to the pool
            self._end_turn(started)
            self._counters["busy_s"] += time.monotonic() - started
            if len(taken) > 1:
                for waiting in taken:
                    await self._score([waiting])
            else:
                self._counters["failures"] += 1
                _settle(taken[0], failure)
            return
        self._end_turn(started)
        self._count(taken, busy_s=time.monotonic() - started)
        for waiting, group in zip(taken, scores, strict=True):
            _settle(waiting, group)

    def _end_turn(self, started: float) -> None:
        self._batch_since = None
        self._num_turns += 1
        self._turns_s += time.monotonic() - started

    def _is_awaited(self, waiting: _Waiting) -> bool:
        if not waiting.result.done() and time.monotonic() < waiting.until:
            return True
        self._counters["expired"] += 1
        allowed_s = waiting.until - waiting.since
        _settle(waiting, TimeoutError(f"the group was not scored within {allowed_s:g} s"))
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
    """Return what blocking work gives, done in `thread`, or in a thread of asyncio's.

    Raises:
        Exception: what the work raised.
        RuntimeError: instead of an exception that asyncio does not carry out of a thread.
    """
    return await asyncio.get_running_loop().run_in_executor(thread, _failing_plainly, work)


def _failing_plainly(work: Callable[[], Result]) -> Result:
    """Do the work, and replace exceptions with which its caller would wait for ever.

    asyncio refuses a StopIteration, takes a CancelledError for its own, and ends at a SystemExit.
    """
    try:
        return work()
    except (StopIteration, SystemExit, CancelledError, asyncio.CancelledError) as ending:
        raise RuntimeError(f"{type(ending).__name__} was raised by a model or the reward: {ending}") from ending


def _settle(waiting: _Waiting, outcome: Scores | Exception) -> None:
    """Give the outcome to the caller, unless it has left."""
    if waiting.result.done():
        return
    if isinstance(outcome, Exception):
        waiting.result.set_exception(outcome)
    else:
        waiting.result.set_result(outcome)
