"""A decoder driven step by step in a thread of its own: requests in, finished groups out as futures.

Owns the thread, the queues, the gathering of samples into groups, and what happens to waiters when something fails. A
sample is one response to be drawn, or one prompt whose answer is to be judged; both go through the same steps.
Knows neither vLLM nor Ray nor torch: the decoder is a Protocol. Invariants: only the loop's thread touches the decoder;
a control call runs between two steps; a stale decoder is given no request; once the loop breaks, every waiter hears of
it and nothing more is accepted.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar, cast, overload

from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

Request: TypeAlias = SamplingRequest | AnswerProbabilityRequest
Outcome: TypeAlias = Rollout | float
"""Of one sample: what was drawn, or how probable the answer is there."""
Futures: TypeAlias = "list[Future[tuple[Rollout, ...]]] | list[Future[tuple[float, ...]]]"


class Decoder(Protocol):
    """What the loop drives."""

    @property
    def version(self) -> int | None:
        """Of the weights; None is stale: waiting for the learner's, not to be sampled from."""
        ...

    @property
    def is_paused(self) -> bool:
        """True while its weights are being exchanged: it can't step, and takes no samples."""
        ...

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        """Take in one sample: the request's seed or prompt `index`. Raises ValueError for one that it can't decode."""
        ...

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        """Decode a token of every running sample, by the weights of now, however many drew the tokens before it.

        Returns what finished, or why it can't be used.
        """
        ...

    def abort(self, sample_ids: list[str]) -> None:
        """Forget samples."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


D = TypeVar("D", bound=Decoder)
Result = TypeVar("Result")


class StaleEngine(RuntimeError):
    """The engine has no weights to draw with: it waits for the learner's, or lost those that a sample began with."""


class DeadEngine(RuntimeError):
    """The engine's loop has ended; it must be restarted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopStats:
    """Counters since the start, and the load now."""

    tokens: int  # response tokens of finished samples
    busy_s: float  # spent in steps
    num_samples: int  # taken in and not finished


@dataclass(eq=False, slots=True)
class _Group:
    """A request under way, sample by sample."""

    request: Request
    result: "Future[tuple[Outcome, ...]]" = field(default_factory=Future)
    finished: dict[int, Outcome] = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        request = self.request
        return request.num_samples if isinstance(request, SamplingRequest) else len(request.prompts)


class StepLoop(Generic[D]):
    """Runs one decoder. Methods may be called from any thread; only the constructor and `close` block."""

    def __init__(self, build: Callable[[], D], *, name: str) -> None:
        """Build the decoder in the loop's thread, and wait until it is there."""
        self._wake = threading.Condition()
        self._inbox: deque[_Group] = deque()
        self._controls: deque[tuple[Callable[[D], None], Callable[[Exception], None]]] = deque()
        self._unanswered: set[_Group] = set()
        self._samples: dict[str, tuple[_Group, int]] = {}
        self._stepped_version: int | None = None  # of the last step
        self._end: Exception | None = None
        self._is_closing = False
        self._tokens = 0
        self._busy_s = 0.0
        started: Future[D] = Future()
        self._thread = threading.Thread(target=self._live, args=(build, started), name=name, daemon=True)
        self._thread.start()
        self._decoder = started.result()

    @overload
    def submit(self, requests: Sequence[SamplingRequest]) -> "list[Future[tuple[Rollout, ...]]]": ...

    @overload
    def submit(self, requests: Sequence[AnswerProbabilityRequest]) -> "list[Future[tuple[float, ...]]]": ...

    def submit(self, requests: Sequence[Request]) -> Futures:
        """One future per group. All enter the same step: what is decoded together must not depend on timing."""
        groups = [_Group(request) for request in requests]
        with self._wake:
            self._raise_if_ended()
            if self._decoder.version is None and not self._decoder.is_paused:
                raise _stale()
            self._inbox.extend(groups)
            self._unanswered.update(groups)
            self._wake.notify()
        return cast("Futures", [group.result for group in groups])  # each request has outcomes of one type

    def call(self, call: Callable[[D], Result]) -> "Future[Result]":
        """Run `call` on the decoder between two steps, before anything that waits to be taken in."""
        result: Future[Result] = Future()

        def run(decoder: D) -> None:
            result.set_result(call(decoder))

        with self._wake:
            self._raise_if_ended()
            self._controls.append((run, result.set_exception))
            self._wake.notify()
        return result

    @property
    def version(self) -> int | None:
        return self._decoder.version

    def stats(self) -> LoopStats:
        with self._wake:
            num_samples = len(self._samples) + sum(group.num_samples for group in self._inbox)
            return LoopStats(tokens=self._tokens, busy_s=self._busy_s, num_samples=num_samples)

    def close(self) -> None:
        """End the loop and free the decoder; what is under way fails."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()

    def _raise_if_ended(self) -> None:
        if self._end is not None:
            raise _dead(self._end) from self._end

    # From here on everything runs in the loop's thread.

    def _live(self, build: Callable[[], D], started: "Future[D]") -> None:
        try:
            decoder = build()
        except BaseException as failure:  # noqa: BLE001 - the constructor raises it
            started.set_exception(failure)
            return
        started.set_result(decoder)
        try:
            while self._turn(decoder):
                pass
            end: Exception = RuntimeError("it was closed")
        except Exception as failure:  # noqa: BLE001 - nobody awaits this thread: the waiters must hear of it
            end = failure
        self._fail_all(end)
        decoder.close()

    def _turn(self, decoder: D) -> bool:
        """Control calls first, then one step. False once closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_closing or self._has_work(decoder))
            controls, self._controls = self._controls, deque()
        for run, fail in controls:
            try:
                run(decoder)
            except Exception as failure:  # noqa: BLE001 - belongs to whoever asked; the loop goes on
                fail(failure)
        if self._is_closing:
            return False
        if not decoder.is_paused:
            self._drop_stranded(decoder)
            self._take_in(decoder)
            if self._samples:
                self._step(decoder)
        return True

    def _drop_stranded(self, decoder: D) -> None:
        """Drop the samples under way where the weights that drew them have no successor to go on with."""
        version, before = decoder.version, self._stepped_version
        if version is None:
            self._drop_all(decoder, _stale())  # an update failed under them: old and new layers would mix
        elif before is not None and version < before:
            self._drop_all(decoder, StaleEngine(f"the weights went back from version {before} to {version} meanwhile"))

    def _has_work(self, decoder: D) -> bool:
        return bool(self._controls) or (not decoder.is_paused and bool(self._inbox or self._samples))

    def _take_in(self, decoder: D) -> None:
        with self._wake:
            groups, self._inbox = self._inbox, deque()
        for group in groups:
            if decoder.version is None:
                self._drop(decoder, group, _stale())
                continue
            try:
                for index in range(group.num_samples):
                    sample_id = f"{group.request.request_id}#{index}"
                    if sample_id in self._samples:
                        raise ValueError(f"request {group.request.request_id} is already under way")
                    decoder.add(sample_id, group.request, index=index)
                    self._samples[sample_id] = (group, index)
            except ValueError as failure:
                self._drop(decoder, group, failure)

    def _step(self, decoder: D) -> None:
        started = time.monotonic()
        self._stepped_version = decoder.version
        finished = decoder.step()
        self._busy_s += time.monotonic() - started
        # All leave first: a group that is dropped must not abort a sample that the decoder has let go of in this step.
        for (group, index), outcome in [(self._samples.pop(sample_id), outcome) for sample_id, outcome in finished]:
            if group not in self._unanswered:
                continue
            if isinstance(outcome, Exception):
                self._drop(decoder, group, outcome)
                continue
            self._tokens += len(outcome.token_ids) if isinstance(outcome, Rollout) else 0
            group.finished[index] = outcome
            if len(group.finished) == group.num_samples:
                self._unanswered.discard(group)
                group.result.set_result(tuple(group.finished[place] for place in range(group.num_samples)))

    def _drop(self, decoder: D, group: _Group, failure: Exception) -> None:
        """Fail one group, and take the rest of its samples out of the decoder."""
        rest = [sample_id for sample_id, (owner, _) in self._samples.items() if owner is group]
        for sample_id in rest:
            del self._samples[sample_id]
        decoder.abort(rest)
        self._unanswered.discard(group)
        group.result.set_exception(failure)

    def _drop_all(self, decoder: D, failure: Exception) -> None:
        for group in {owner for owner, _ in self._samples.values()}:
            self._drop(decoder, group, failure)

    def _fail_all(self, end: Exception) -> None:
        with self._wake:
            self._end = end
            waiters = [group.result.set_exception for group in self._unanswered] + [fail for _, fail in self._controls]
        for fail in waiters:
            fail(_dead(end))


def _stale() -> StaleEngine:
    return StaleEngine(
        "the engine is stale: it has not received the learner's weights since it started, or since an update failed"
    )


def _dead(end: Exception) -> DeadEngine:
    error = DeadEngine(f"the engine has ended and must be restarted: {type(end).__name__}: {end}")
    error.__cause__ = end
    return error
