"""Drive a decoder step by step in a thread of its own: requests in, finished groups out as futures.

A sample is one response to be drawn, or one prompt whose answer is evaluated; both go through the same steps. The
samples of a request are collected into one result. Invariants: only the loop's thread uses the decoder; a control call
runs between two steps; a stale decoder gets no request; when the loop breaks, every waiting future fails and no more
requests are accepted. Must not import vLLM, Ray or torch: the decoder is a Protocol.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar, cast, overload

from actors.remote.progress import Progress
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest

Request: TypeAlias = SamplingRequest | AnswerProbabilityRequest
Outcome: TypeAlias = Rollout | float
"""The result of one sample: the response, or the probability of the answer."""
Futures: TypeAlias = "list[Future[tuple[Rollout, ...]]] | list[Future[tuple[float, ...]]]"


class Decoder(Protocol):
    """The engine that the loop drives."""

    @property
    def version(self) -> int | None:
        """Return the version of the weights; None if stale: it waits for the learner's weights and must not sample."""
        ...

    @property
    def is_paused(self) -> bool:
        """Return whether its weights are being replaced: it can't step and takes no samples."""
        ...

    @property
    def is_broken(self) -> bool:
        """Return whether a call has left it in a state in which it can't be used any more."""
        ...

    def interrupt(self) -> bool:
        """Make a call that waits for a sender who is gone end with an error. The only method for any thread.

        Return False if that can't be done.
        """
        ...

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        """Take in one sample: the request's seed or prompt with this index.

        Raises:
            ValueError: the decoder can't decode it.
        """
        ...

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        """Decode a token of every running sample, with the current weights even if others drew the tokens before.

        Returns the samples that finished, by id, each with its outcome or with the reason why it can't be used. A
        decoder may plan a step ahead: then a sample that finished is returned one step later.
        """
        ...

    def drain(self) -> list[tuple[str, Outcome | Exception]]:
        """Finish the steps that are under way and begin no other; return the samples that finished, as `step` does."""
        ...

    def abort(self, sample_ids: list[str]) -> None:
        """Forget these samples."""
        ...

    def close(self) -> None:
        """Free all resources."""
        ...


D = TypeVar("D", bound=Decoder)
Result = TypeVar("Result")


class StaleEngine(RuntimeError):
    """Report that the engine has no weights to draw with.

    It waits for the learner's weights, or it lost those with which a sample began.
    """


class DeadEngine(RuntimeError):
    """Report that the engine's loop has ended; the engine must be restarted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopStats:
    """Hold counters since the start, and the current load."""

    tokens: int  # response tokens of finished samples
    busy_s: float  # seconds in steps
    num_samples: int  # taken in and not finished


@dataclass(eq=False, slots=True)
class _Running:
    """Hold a running request and its samples."""

    request: Request
    result: "Future[tuple[Outcome, ...]]" = field(default_factory=Future)
    finished: dict[int, Outcome] = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        request = self.request
        return request.num_samples if isinstance(request, SamplingRequest) else len(request.prompts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Control(Generic[D]):
    """Hold a call that runs between two steps."""

    run: Callable[[D], None]
    fail: Callable[[Exception], None]
    drains: bool  # no step may be under way


class StepLoop(Generic[D]):
    """Run one decoder. Methods may be called from any thread; only the constructor and `close` block."""

    def __init__(self, build: Callable[[], D], *, name: str, most_running: int | None = None) -> None:
        """Build the decoder in the loop's thread, and wait until it is ready.

        `most_running` is the number of samples that get a token in one step; None means all.

        Raises:
            Exception: what `build` raised.
        """
        self._wake = threading.Condition()
        self._inbox: deque[_Running] = deque()
        self._controls: deque[_Control[D]] = deque()
        self._unanswered: set[_Running] = set()
        self._samples: dict[str, tuple[_Running, int]] = {}
        self._stepped_version: int | None = None  # of the last step
        self._end: Exception | None = None
        self._is_closing = False
        self._tokens = 0
        self._busy_s = 0.0
        self._most_running = most_running
        self._work = self._num_steps = 0
        started: Future[D] = Future()
        self._thread = threading.Thread(target=self._run, args=(build, started), name=name, daemon=True)
        self._thread.start()
        self._decoder = started.result()

    @overload
    def submit(self, requests: Sequence[SamplingRequest]) -> "list[Future[tuple[Rollout, ...]]]": ...

    @overload
    def submit(self, requests: Sequence[AnswerProbabilityRequest]) -> "list[Future[tuple[float, ...]]]": ...

    def submit(self, requests: Sequence[Request]) -> Futures:
        """Return one future per request. All enter the same step: what is decoded together must not depend on timing.

        Raises:
            StaleEngine: the decoder has no weights.
            DeadEngine: the loop has ended.
        """
        running = [_Running(request) for request in requests]
        with self._wake:
            self._raise_if_ended()
            if self._decoder.version is None and not self._decoder.is_paused:
                raise _stale()
            self._inbox.extend(running)
            self._unanswered.update(running)
            self._wake.notify()
        return cast("Futures", [one.result for one in running])  # each request has outcomes of one type

    def call(self, call: Callable[[D], Result], *, drains: bool = False) -> "Future[Result]":
        """Run `call` on the decoder between two steps, before waiting requests are taken in.

        With `drains` the steps that the decoder has planned ahead are finished first.

        Raises:
            DeadEngine: the loop has ended.
        """
        result: Future[Result] = Future()

        def run(decoder: D) -> None:
            result.set_result(call(decoder))

        with self._wake:
            self._raise_if_ended()
            self._controls.append(_Control(run=run, fail=result.set_exception, drains=drains))
            self._wake.notify()
        return result

    def interrupt(self) -> None:
        """End a control call that waits for a sender who is gone. The loop ends if the decoder can't end it."""
        if not self._decoder.interrupt():
            self._fail_all(RuntimeError("it waits for weights that will not come, and can't be interrupted"))

    @property
    def version(self) -> int | None:
        """Return the version of the decoder's weights; None if stale."""
        return self._decoder.version

    def stats(self) -> LoopStats:
        """Return the counters and the load."""
        with self._wake:
            num_samples = len(self._samples) + sum(running.num_samples for running in self._inbox)
            return LoopStats(tokens=self._tokens, busy_s=self._busy_s, num_samples=num_samples)

    def progress(self) -> "Future[Progress]":
        """Return a future that is done between two steps, with what was done until then.

        Raises:
            DeadEngine: the loop has ended.
        """
        return self.call(lambda _: Progress(work=float(self._work), turns=float(self._num_steps), busy_s=self._busy_s))

    def close(self) -> None:
        """End the loop and free the decoder; running requests fail."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()

    def _raise_if_ended(self) -> None:
        if self._end is not None:
            raise _dead(self._end) from self._end

    # From here on everything runs in the loop's thread.

    def _run(self, build: Callable[[], D], started: "Future[D]") -> None:
        try:
            decoder = build()
        except BaseException as failure:  # noqa: BLE001 - raised by the constructor
            started.set_exception(failure)
            return
        started.set_result(decoder)
        try:
            while self._run_turn(decoder):
                pass
            end: Exception = RuntimeError("it was closed")
        except Exception as failure:  # noqa: BLE001 - passed on to all waiting futures
            end = failure
        self._fail_all(end)
        decoder.close()

    def _run_turn(self, decoder: D) -> bool:
        """Run the control calls, then one step. Return False when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_closing or self._has_work(decoder))
        self._run_controls(decoder)
        if self._is_closing or self._end is not None:
            return False
        if not decoder.is_paused:
            self._drop_outdated(decoder)
            self._take_in(decoder)
            if self._samples:
                self._step(decoder)
        return True

    def _run_controls(self, decoder: D) -> None:
        """Run the control calls that wait. A failure is passed to the caller, and the loop goes on.

        Raises:
            Exception: the failure of a call that has broken the decoder, or of a decoder that can't drain.
        """
        while True:
            with self._wake:
                if not self._controls:
                    return
                control = self._controls.popleft()
            if control.drains:
                self._drain(decoder, control)
            try:
                control.run(decoder)
            except Exception as failure:
                if decoder.is_broken:
                    control.fail(_dead(failure))
                    raise
                control.fail(failure)

    def _drain(self, decoder: D, control: _Control[D]) -> None:
        """Finish the steps that are under way, and give out what they finished."""
        try:
            finished = decoder.drain()
        except Exception as failure:
            control.fail(_dead(failure))
            raise
        self._take_out(decoder, finished)

    def _drop_outdated(self, decoder: D) -> None:
        """Drop the running samples if the current weights are no successor of those that drew their tokens."""
        version, before = decoder.version, self._stepped_version
        if version is None:
            self._drop_all(decoder, _stale())  # an update failed: old and new layers would mix
        elif before is not None and version < before:
            self._drop_all(
                decoder, StaleEngine(f"the weights went back from version {before} to {version} while the sample ran")
            )

    def _has_work(self, decoder: D) -> bool:
        return bool(self._controls) or (not decoder.is_paused and bool(self._inbox or self._samples))

    def _take_in(self, decoder: D) -> None:
        with self._wake:
            waiting, self._inbox = self._inbox, deque()
        for running in waiting:
            if decoder.version is None:
                self._drop(decoder, running, _stale())
                continue
            try:
                for index in range(running.num_samples):
                    sample_id = f"{running.request.request_id}#{index}"
                    if sample_id in self._samples:
                        raise ValueError(f"request {running.request.request_id} is already running")
                    decoder.add(sample_id, running.request, index=index)
                    self._samples[sample_id] = (running, index)
            except ValueError as failure:
                self._drop(decoder, running, failure)

    def _step(self, decoder: D) -> None:
        started = time.monotonic()
        self._stepped_version = decoder.version
        num_running = len(self._samples) if self._most_running is None else min(len(self._samples), self._most_running)
        finished = decoder.step()
        self._busy_s += time.monotonic() - started
        self._num_steps += 1
        self._work += num_running
        self._take_out(decoder, finished)

    def _take_out(self, decoder: D, finished: Sequence[tuple[str, Outcome | Exception]]) -> None:
        """Give finished samples to those who wait for them."""
        self._work += sum(_prompt_tokens(*self._samples[sample_id]) for sample_id, _ in finished)
        # All finished samples are removed first: a dropped request must not abort a sample that the decoder has already
        # removed in this step.
        for (running, index), outcome in [(self._samples.pop(sample_id), outcome) for sample_id, outcome in finished]:
            if running not in self._unanswered:
                continue
            if isinstance(outcome, Exception):
                self._drop(decoder, running, outcome)
                continue
            self._tokens += len(outcome.token_ids) if isinstance(outcome, Rollout) else 0
            running.finished[index] = outcome
            if len(running.finished) == running.num_samples:
                self._unanswered.discard(running)
                running.result.set_result(tuple(running.finished[at] for at in range(running.num_samples)))

    def _drop(self, decoder: D, running: _Running, failure: Exception) -> None:
        """Fail one request, and remove the rest of its samples from the decoder."""
        rest = [sample_id for sample_id, (owner, _) in self._samples.items() if owner is running]
        for sample_id in rest:
            del self._samples[sample_id]
        decoder.abort(rest)
        self._unanswered.discard(running)
        running.result.set_exception(failure)

    def _drop_all(self, decoder: D, failure: Exception) -> None:
        for running in {owner for owner, _ in self._samples.values()}:
            self._drop(decoder, running, failure)

    def _fail_all(self, end: Exception) -> None:
        with self._wake:
            if self._end is not None:  # the loop was ended from outside
                return
            self._end = end
            waiters = [running.result.set_exception for running in self._unanswered]
            waiters += [control.fail for control in self._controls]
        for fail in waiters:
            fail(_dead(end))


def _prompt_tokens(running: _Running, index: int) -> int:
    request = running.request
    if isinstance(request, SamplingRequest):
        return len(request.prompt_token_ids)
    return len(request.prompts[index]) + len(request.answer_token_ids)


def _stale() -> StaleEngine:
    return StaleEngine(
        "the engine is stale: it has not received the learner's weights since it started, or since an update failed"
    )


def _dead(end: Exception) -> DeadEngine:
    error = DeadEngine(f"the engine has ended and must be restarted: {type(end).__name__}: {end}")
    error.__cause__ = end
    return error
