"""Check what the console shows with and without a terminal."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console as Terminal

from contracts.errors import RunFailed
from driver.tracking.console import Console
from tests.fakes.clock import Clock


def written(use: Callable[[Console, Clock], None], *, is_terminal: bool = False) -> str:
    file, clock = io.StringIO(), Clock()
    console = Terminal(file=file, force_terminal=is_terminal, width=200, color_system=None)
    with Console(console, clock=clock) as console:
        use(console, clock)
    return file.getvalue()


def two_steps(console: Console, clock: Clock) -> None:
    console.start_steps(5)
    clock.now = 10.0
    console.step(1, {"reward/mean": 0.25, "lang/all/accuracy": 0.5, "throughput/policy_tokens_per_s": 1234.4})
    clock.now = 40.0
    console.step(2, {"reward/mean": 0.5})


def test_without_a_terminal_each_step_is_one_plain_line() -> None:
    # Left are 4 steps of 10 s; then 3 of (10 + 30) / 2 = 20 s.
    assert written(two_steps).splitlines() == [
        "step 1/5  ETA 40 s  accuracy 50%  reward 0.250  policy 1,234 tok/s",
        "step 2/5  ETA 1 min 0 s  reward 0.500",
    ]


def test_what_was_evaluated_last_is_said_and_stays_in_the_line_before_the_reward() -> None:
    def use(console: Console, clock: Clock) -> None:
        console.measured("After step 1: gap 12.5 points.", short="gap 12.5")
        two_steps(console, clock)

    lines = written(use).splitlines()
    assert lines[0] == "After step 1: gap 12.5 points."
    assert lines[2] == "step 2/5  ETA 1 min 0 s  gap 12.5  reward 0.500"


def test_a_step_in_which_nothing_could_be_scored_shows_no_reward_of_zero() -> None:
    def use(console: Console, clock: Clock) -> None:
        console.start_steps(1)
        console.step(1, {"response/unscored": 8.0, "policy/loss": 0.1})

    assert "reward unscored" in written(use)
    assert "0.000" not in written(use)


def test_a_terminal_gets_one_line_that_is_redrawn_and_removed_at_the_end() -> None:
    text = written(two_steps, is_terminal=True)
    assert "\x1b[2K" in text  # erases its line
    assert "\nstep 1/5" not in text


def test_a_phase_says_when_it_begins_how_far_it_is_and_how_long_it_took() -> None:
    def evaluate(console: Console, clock: Clock) -> None:
        with console.phase("evaluating", total=40) as advance:
            clock.now = 3.0
            for num_done in range(1, 41):
                advance(num_done)
            clock.now = 75.0

    lines = written(evaluate).splitlines()
    assert lines[0] == "evaluating ..."
    assert lines[1] == "evaluating 4/40 ... 3 s"
    assert len(lines) == 11  # begun, nine tenths, done
    assert lines[-1] == "evaluating: done in 1 min 15 s"


def test_a_phase_that_fails_says_so() -> None:
    def load(console: Console, clock: Clock) -> None:
        with pytest.raises(RunFailed), console.phase("loading policy"):
            clock.now = 2.0
            raise RunFailed("no such model")

    assert written(load).splitlines() == ["loading policy ...", "loading policy: failed in 2 s"]


def test_text_in_square_brackets_is_shown_as_it_is() -> None:
    assert written(lambda console, clock: console.note("[red]de[/red]: 3")) == "[red]de[/red]: 3\n"


def test_what_is_waited_for_is_written_as_a_line() -> None:
    assert written(lambda console, clock: console.waiting("waiting for GPUs")) == "waiting for GPUs\n"


def test_the_live_line_shows_steps_phases_and_a_wait_until_it_is_not_said_again() -> None:
    clock = Clock()
    console = Console(Terminal(file=io.StringIO(), width=80), clock=clock)
    console.start_steps(5, done=2)
    with console.phase("evaluating", total=40) as advance:
        clock.now = 12.0
        advance(7)
        console.waiting("waiting for GPUs")
        assert console.lines().plain == "step 2/5  |  evaluating 7/40 ... 12 s  |  waiting for GPUs"
        clock.now = 44.0
        assert console.lines().plain == "step 2/5  |  evaluating 7/40 ... 44 s"


def test_a_terminal_of_80_columns_loses_no_rate_and_no_phase() -> None:
    clock = Clock()
    console = Console(Terminal(file=io.StringIO(), width=80), clock=clock)
    console.start_steps(1000)
    clock.now = 3000.0
    rates = {f"throughput/{stage}_tokens_per_s": 123456.0 for stage in ("policy", "pivot", "learner")}
    console.step(1, {"reward/mean": 0.25, "lang/all/accuracy": 0.5, "throughput/scorer_texts_per_s": 9876.0, **rates})
    with console.phase("evaluating", total=40):
        lines = console.lines().plain.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(lines)
    parts = ("step 1/1000", "accuracy 50%", "reward 0.250", "policy 123,456 tok/s", "scorer 9,876 texts/s")
    assert all(part in text for part in (*parts, "learner 123,456 tok/s", "evaluating 0/40"))


def test_what_is_longer_than_the_terminal_has_a_line_of_its_own() -> None:
    console = Console(Terminal(file=io.StringIO(), width=20), clock=Clock())
    console.start_steps(5)
    console.waiting("waiting for a long time " * 2)
    assert console.lines().plain.splitlines() == ["step 0/5", "waiting for a long time " * 2]


def test_a_step_before_start_steps_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        written(lambda console, clock: console.step(1, {}))
