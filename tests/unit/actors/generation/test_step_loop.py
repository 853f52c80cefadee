"""Test the step loop on a hand-written decoder that draws one token a step and needs no model."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from actors.generation.step_loop import DeadEngine, Outcome, Request, StaleEngine, StepLoop
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest


class CountingDecoder:
    """Draw the tokens 1, 2, 3 ... up to max_tokens; the seed 13 returns no response, and 666 breaks the step.

    An answer is as probable as one over the length of its prompt, known after one step.
    """

    def __init__(self) -> None:
        self.version: int | None = 1
        self.is_paused = False
        self.is_broken = False
        self.is_closed = False
        self.waits = threading.Event()  # set while a call waits for a sender
        self.is_interrupted: threading.Event | None = threading.Event()  # None: the call can't be interrupted
        self.running: dict[str, tuple[SamplingRequest, int]] = {}
        self.drawn: dict[str, list[int]] = {}  # by which versions
        self.measured: dict[str, float] = {}
        self.admitted: list[list[str]] = []  # sample ids that were running, step by step

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        if isinstance(request, AnswerProbabilityRequest):
            self.measured[sample_id] = 1 / len(request.prompts[index])
            return
        seed = request.seeds[index]
        if seed < 0:
            raise ValueError(f"seed {seed} is negative")
        self.running[sample_id] = (request, seed)
        self.drawn[sample_id] = []

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        self.admitted.append(sorted([*self.running, *self.measured]))
        finished: list[tuple[str, Outcome | Exception]] = [*self.measured.items()]
        self.measured.clear()
        for sample_id, (request, seed) in list(self.running.items()):
            if seed == 666:
                raise RuntimeError("the device fell over")
            assert self.version is not None
            versions = self.drawn[sample_id]
            versions.append(self.version)
            if len(versions) == request.max_tokens:
                del self.running[sample_id]
                finished.append((sample_id, RuntimeError("no number") if seed == 13 else rollout(seed, versions)))
        return finished

    def drain(self) -> list[tuple[str, Outcome | Exception]]:
        return []

    def abort(self, sample_ids: list[str]) -> None:
        for sample_id in sample_ids:
            self.running.pop(sample_id, None)
            self.measured.pop(sample_id, None)

    def interrupt(self) -> bool:
        if self.is_interrupted is None:
            return False
        self.is_interrupted.set()
        return True

    def wait_for_sender(self) -> None:
        self.waits.set()
        assert self.is_interrupted is not None and self.is_interrupted.wait(timeout=60)
        raise RuntimeError("interrupted")

    def close(self) -> None:
        self.is_closed = True


class AheadDecoder(CountingDecoder):
    """Return what a step finished one step later, as a decoder does that plans the next step while one runs."""

    def __init__(self, *, drain_failure: Exception | None = None) -> None:
        super().__init__()
        self.under_way: list[tuple[str, Outcome | Exception]] = []
        self.after_step: Callable[[], None] = lambda: None
        self.drain_failure = drain_failure

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        finished, self.under_way = self.under_way, super().step() if self.running else []
        self.after_step()
        return finished

    def drain(self) -> list[tuple[str, Outcome | Exception]]:
        if self.drain_failure is not None:
            raise self.drain_failure
        finished, self.under_way = self.under_way, []
        return finished


def rollout(seed: int, versions: Sequence[int]) -> Rollout:
    return Rollout(
        token_ids=tuple(range(1, len(versions) + 1)),
        logprobs=(0.0,) * len(versions),
        text=f"seed {seed}",
        finish_reason="length",
        token_versions=tuple(versions),
    )


def request(request_id: str, *, seeds: tuple[int, ...] = (1,), max_tokens: int = 3) -> SamplingRequest:
    return SamplingRequest(
        request_id=request_id, prompt_token_ids=(0,), seeds=seeds, max_tokens=max_tokens, temperature=1.0
    )


def answer_request(request_id: str, *, prompts: tuple[tuple[int, ...], ...]) -> AnswerProbabilityRequest:
    return AnswerProbabilityRequest(request_id=request_id, prompts=prompts, answer_token_ids=(5,))


@pytest.fixture
def decoder() -> CountingDecoder:
    return CountingDecoder()


@pytest.fixture
def loop(decoder: CountingDecoder) -> StepLoop[CountingDecoder]:
    return StepLoop(lambda: decoder, name="test-steps")


def submit(loop: StepLoop[CountingDecoder], *requests: SamplingRequest) -> "list[Future[tuple[Rollout, ...]]]":
    return loop.submit(requests)


def test_group_holds_one_rollout_per_seed_in_their_order(loop: StepLoop[CountingDecoder]) -> None:
    (group,) = submit(loop, request("a", seeds=(5, 3, 4)))
    assert [rollout.text for rollout in group.result()] == ["seed 5", "seed 3", "seed 4"]
    stats = loop.stats()
    assert (stats.tokens, stats.num_samples) == (9, 0)  # 3 samples of 3 tokens


def test_progress_counts_steps_tokens_drawn_and_the_prompts_of_what_is_finished(
    loop: StepLoop[CountingDecoder],
) -> None:
    before = loop.progress().result()
    assert (before.work, before.turns, before.busy_s) == (0, 0, 0)
    submit(loop, request("a", seeds=(5, 3), max_tokens=3))[0].result()
    done = loop.progress().result()
    assert (done.work, done.turns) == (2 * 3 + 2 * 1, 3)  # 2 samples of 3 tokens, each after a prompt of 1
    assert done.busy_s == loop.stats().busy_s > 0
    loop.submit([answer_request("b", prompts=((1, 2), (1, 2, 3)))])[0].result()
    assert loop.progress().result().work == done.work + 2 + (2 + 1) + (3 + 1)  # prompts and the answer's one token


def test_samples_that_wait_for_their_turn_are_no_progress() -> None:
    loop = StepLoop(CountingDecoder, name="test-steps", most_running=2)
    loop.call(pause).result()  # so that all wait for the same step
    (group,) = submit(loop, request("a", seeds=(1, 2, 3, 4), max_tokens=1))
    loop.call(lambda decoder: resume(decoder, version=1)).result()
    group.result()
    assert loop.progress().result().work == 2 + 4 * 1


def test_groups_submitted_together_enter_the_same_step(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    short, long = submit(loop, request("short", max_tokens=1), request("long", max_tokens=2))
    short.result()
    long.result()
    assert decoder.admitted == [["long#0", "short#0"], ["long#0"]]


def test_answers_are_judged_in_the_steps_of_samples_in_the_order_of_their_prompts(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    loop.call(pause).result()  # so that both wait for the same step
    (group,) = submit(loop, request("a", max_tokens=2))
    (answers,) = loop.submit([answer_request("b", prompts=((1, 2), (1, 2, 3, 4)))])
    assert loop.stats().num_samples == 3
    loop.call(lambda decoder: resume(decoder, version=1)).result()
    assert answers.result() == (0.5, 0.25)
    assert len(group.result()) == 1
    assert decoder.admitted == [["a#0", "b#0", "b#1"], ["a#0"]]
    assert loop.stats().tokens == 2  # answers are read, not drawn


def test_answers_of_a_stale_decoder_are_refused(loop: StepLoop[CountingDecoder]) -> None:
    loop.call(lambda decoder: setattr(decoder, "version", None)).result()
    with pytest.raises(StaleEngine):
        loop.submit([answer_request("early", prompts=((1,),))])


def test_sample_that_cannot_be_used_fails_its_group_alone(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    bad, good = submit(loop, request("bad", seeds=(13, 1)), request("good", max_tokens=4))
    with pytest.raises(RuntimeError):
        bad.result()
    assert [rollout.text for rollout in good.result()] == ["seed 1"]
    assert decoder.running == {}


def test_request_that_the_decoder_refuses_leaves_none_of_its_samples_behind(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    refused, good = submit(loop, request("refused", seeds=(1, 2, -1)), request("good"))
    with pytest.raises(ValueError):
        refused.result()
    good.result()
    assert decoder.admitted[0] == ["good#0"]


def test_request_id_under_way_is_refused_and_may_be_used_again(loop: StepLoop[CountingDecoder]) -> None:
    first, second = submit(loop, request("same"), request("same"))
    with pytest.raises(ValueError):
        second.result()
    assert len(first.result()) == 1
    assert len(submit(loop, request("same"))[0].result()) == 1


def test_broken_step_fails_everyone_who_waits_and_everyone_who_comes(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    groups = submit(loop, request("fine"), request("breaks", seeds=(666,)))
    for group in groups:
        with pytest.raises(DeadEngine) as dead:
            group.result()
        assert isinstance(dead.value.__cause__, RuntimeError)
    with pytest.raises(DeadEngine):
        submit(loop, request("late"))
    with pytest.raises(DeadEngine):
        loop.call(lambda decoder: decoder.version)
    loop.close()
    assert decoder.is_closed


def test_failing_call_reaches_its_caller_and_the_loop_goes_on(loop: StepLoop[CountingDecoder]) -> None:
    def fail(decoder: CountingDecoder) -> None:
        raise KeyError("asked too much")

    with pytest.raises(KeyError):
        loop.call(fail).result()
    assert len(submit(loop, request("after"))[0].result()) == 1


def test_stale_decoder_is_given_nothing(loop: StepLoop[CountingDecoder], decoder: CountingDecoder) -> None:
    loop.call(lambda decoder: setattr(decoder, "version", None)).result()
    with pytest.raises(StaleEngine):
        submit(loop, request("early"))
    assert decoder.running == {}


def test_paused_decoder_keeps_requests_until_it_has_its_weights(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    loop.call(pause).result()
    (held,) = submit(loop, request("held"))
    assert loop.call(lambda decoder: (decoder.admitted, decoder.running)).result() == ([], {})
    loop.call(lambda decoder: resume(decoder, version=2)).result()
    assert held.result()[0].policy_version == 2


def test_samples_under_way_go_on_with_new_weights_and_what_came_meanwhile_begins_with_them(
    loop: StepLoop[CountingDecoder],
) -> None:
    short, long = pause_between_steps(loop, request("short", max_tokens=2), request("long", max_tokens=5))
    (late,) = submit(loop, request("late", max_tokens=1))
    assert [rollout.token_versions for rollout in short.result()] == [(1, 1)]
    loop.call(lambda decoder: resume(decoder, version=4)).result()
    assert [rollout.token_versions for rollout in long.result()] == [(1, 1, 4, 4, 4)]
    assert [rollout.token_versions for rollout in late.result()] == [(4,)]


def test_samples_under_way_fail_when_the_decoder_loses_its_weights(loop: StepLoop[CountingDecoder]) -> None:
    _, long = pause_between_steps(loop, request("short", max_tokens=1), request("long", max_tokens=2))
    loop.call(lambda decoder: resume(decoder, version=None)).result()
    with pytest.raises(StaleEngine):
        long.result()


def test_samples_under_way_fail_when_the_weights_go_back_and_those_that_come_are_served(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    _, long = pause_between_steps(loop, request("short", max_tokens=1), request("long", max_tokens=2))
    (held,) = submit(loop, request("held", max_tokens=2))
    loop.call(lambda decoder: resume(decoder, version=0)).result()
    with pytest.raises(StaleEngine):
        long.result()
    assert [rollout.token_versions for rollout in held.result()] == [(0, 0)]
    assert decoder.running == {}


def test_weights_pushed_again_under_the_same_version_let_samples_go_on(loop: StepLoop[CountingDecoder]) -> None:
    _, long = pause_between_steps(loop, request("short", max_tokens=1), request("long", max_tokens=2))
    loop.call(lambda decoder: resume(decoder, version=1)).result()
    assert [rollout.token_versions for rollout in long.result()] == [(1, 1)]


def test_decoder_that_cannot_be_built_fails_the_constructor() -> None:
    def build() -> CountingDecoder:
        raise OSError("no such model")

    with pytest.raises(OSError):
        StepLoop(build, name="test-steps")


def test_close_fails_what_is_under_way(loop: StepLoop[CountingDecoder], decoder: CountingDecoder) -> None:
    loop.call(pause).result()
    (held,) = submit(loop, request("held"))
    loop.close()
    with pytest.raises(DeadEngine):
        held.result()
    assert decoder.is_closed


def pause(decoder: CountingDecoder) -> None:
    decoder.is_paused, decoder.version = True, None


def resume(decoder: CountingDecoder, *, version: int | None) -> None:
    decoder.is_paused, decoder.version = False, version


def pause_between_steps(
    loop: StepLoop[CountingDecoder], short: SamplingRequest, long: SamplingRequest
) -> "list[Future[tuple[Rollout, ...]]]":
    """Let both begin in one step, and pause the decoder after the one that finishes `short`."""
    loop.call(pause).result()
    groups = submit(loop, short, long)
    paused: Future[None] = Future()
    # The callback runs in the loop's thread between two steps.
    groups[0].add_done_callback(lambda _: loop.call(pause).add_done_callback(lambda _: paused.set_result(None)))
    loop.call(lambda decoder: resume(decoder, version=1)).result()
    paused.result()
    return groups


def test_a_call_that_waits_is_interrupted_and_the_loop_goes_on(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    call = loop.call(CountingDecoder.wait_for_sender)
    decoder.waits.wait(timeout=60)
    loop.interrupt()
    assert isinstance(call.exception(timeout=60), RuntimeError)
    assert len(submit(loop, request("a"))[0].result(timeout=60)) == 1


def test_a_loop_whose_call_can_not_be_interrupted_is_dead_at_once(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    release = threading.Event()

    def hang(decoder: CountingDecoder) -> None:
        decoder.waits.set()
        release.wait(timeout=60)

    (running,) = submit(loop, request("a", max_tokens=10**9))
    stuck = loop.call(hang)
    decoder.waits.wait(timeout=60)
    decoder.is_interrupted = None
    waiting = loop.call(resume_nothing)
    loop.interrupt()
    for future in (running, waiting):
        assert isinstance(future.exception(timeout=60), DeadEngine)
    with pytest.raises(DeadEngine):
        loop.progress()
    release.set()
    stuck.result(timeout=60)
    loop.close()
    assert decoder.is_closed


def resume_nothing(decoder: CountingDecoder) -> None:
    raise AssertionError("the loop has ended before this call")


def test_a_call_that_breaks_the_decoder_ends_the_loop(
    loop: StepLoop[CountingDecoder], decoder: CountingDecoder
) -> None:
    def break_it(decoder: CountingDecoder) -> None:
        decoder.is_broken = True
        raise ValueError("a process of two failed")

    assert isinstance(loop.call(break_it).exception(timeout=60), DeadEngine)
    loop.close()
    assert decoder.is_closed
    with pytest.raises(DeadEngine):
        submit(loop, request("a"))


# --- a decoder that plans a step ahead --------------------------------------------------------------------------------


def test_what_a_planned_step_finishes_is_given_out_before_the_weights_change() -> None:
    decoder = AheadDecoder()
    loop = StepLoop(lambda: decoder, name="test-steps")
    loop.call(pause).result()  # so that both begin in the same step
    short, long = loop.submit([request("short", max_tokens=1), request("long", max_tokens=3)])
    paused: Future[None] = Future()

    def pause_once() -> None:  # in the loop's thread, after the first step
        decoder.after_step = lambda: None
        loop.call(pause, drains=True).add_done_callback(lambda done: paused.set_result(done.result()))

    decoder.after_step = pause_once
    loop.call(lambda decoder: resume(decoder, version=1)).result()
    paused.result()
    assert short.done() and short.result()[0].token_versions == (1,)
    assert not long.done()
    loop.call(lambda decoder: resume(decoder, version=2)).result()
    assert [rollout.token_versions for rollout in long.result()] == [(1, 2, 2)]


def test_other_calls_leave_planned_steps_under_way() -> None:
    decoder = AheadDecoder()
    loop = StepLoop(lambda: decoder, name="test-steps")
    (group,) = loop.submit([request("a", max_tokens=2)])
    assert loop.call(lambda decoder: decoder.version).result() == 1
    assert group.result()[0].token_versions == (1, 1)


def test_a_decoder_that_can_not_finish_its_planned_steps_ends_the_loop() -> None:
    loop = StepLoop(lambda: AheadDecoder(drain_failure=RuntimeError("the device fell over")), name="test-steps")
    loop.call(pause).result()
    (group,) = loop.submit([request("a")])
    with pytest.raises(DeadEngine):
        loop.call(pause, drains=True).result()
    with pytest.raises(DeadEngine):
        group.result()
    with pytest.raises(DeadEngine):
        loop.call(pause)
