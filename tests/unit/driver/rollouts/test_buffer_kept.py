"""Test what a checkpoint keeps of a buffer, and how another process continues from it, on fakes."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

from contracts.config.learning import GrpoConfig
from contracts.errors import BadInput
from contracts.rollouts import Problem, PromptDraw, Score, ScoredGroup, ScoreRequest, Unscored
from driver.problems.draws import Draws, OpenDraws
from tests.fakes.ports import FakeScorer, GivenStream, policy_prompt, run
from tests.runs.buffer import (
    DULL,
    PROBLEMS,
    BufferHarness,
    algorithm,
    number_of,
    numbers,
    one_step,
    open_numbers,
    quiet,
    replaced,
)

Kept = Sequence[tuple[PromptDraw, ScoredGroup]]


def restored(state: OpenDraws, kept: Kept, *, step: int, version: int, max_staleness: int) -> BufferHarness:
    """Return the buffer with which another process continues."""
    draws = Draws(GivenStream(PROBLEMS))
    draws.restore(state)
    harness = BufferHarness(algorithm(max_staleness=max_staleness), draws=draws, step=step, version=version)
    harness.buffer.restore(kept)
    return harness


def test_a_checkpoint_keeps_what_is_ready_and_names_what_must_be_asked_again() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1), scores={2: DULL})
        await one_step(harness, 1, 0, 1)
        await harness.finish(2, 4)
        state, kept = harness.buffer.state()
        assert [draw.number for draw, _ in kept] == [2, 4]
        assert all(draw.group_id == group.group.group_id for draw, group in kept)
        assert (open_numbers(state), state["stream"]["number"]) == ([3, 5], 6)
        await harness.buffer.close()

    run(watch())


def test_a_group_without_a_prompt_is_asked_again_too() -> None:
    """There is nothing to keep of it, and it is still some step's to report."""

    def prompt(problem: Problem) -> tuple[int, ...]:
        if problem == PROBLEMS[3]:
            raise BadInput("item 'd0': the prompt has 99 tokens")
        return policy_prompt(problem)

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        harness.buffer.stages = replace(harness.buffer.stages, prompt=prompt)
        await one_step(harness, 1, 0, 1)
        state, kept = harness.buffer.state()
        assert harness.asked == [2, 4, 5]
        assert (open_numbers(state), list(kept)) == ([2, 3, 4, 5], [])
        await harness.buffer.close()

    run(watch())


def test_a_group_whose_place_was_given_away_and_that_nobody_was_told_of_is_open_in_a_checkpoint() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1, max_replacements=1), scores={2: DULL})
        await one_step(harness, 1, 0, 1)
        await harness.finish(2)
        assert harness.asked == [3, 4, 5, 6]
        state, kept = harness.buffer.state()
        assert (open_numbers(state), list(kept)) == ([2, 3, 4, 5, 6], [])
        await harness.buffer.close()

    run(watch())


def test_a_run_that_goes_on_asks_nothing_again_that_was_kept_and_the_rest_with_the_same_names_and_seeds() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        await one_step(harness, 1, 0, 1)
        await harness.finish(3, 4)
        state, kept = harness.buffer.state()
        asked = {request.request_id: request.seeds for request in harness.policy.requests}
        await harness.buffer.close()

        again = restored(state, kept, step=1, version=1, max_staleness=1)
        waiting = await again.begin(2)
        assert again.asked == [2, 5]
        assert {request.request_id: request.seeds for request in again.policy.requests} == {
            name: seeds for name, seeds in asked.items() if number_of(name) in (2, 5)
        }
        assert numbers(await waiting) == [3, 4]  # of versions 0 and 1; 2 is drawn by version 1 now
        await again.learned(2)
        assert again.asked == [2, 5, 6, 7]
        await again.buffer.close()

    run(watch())


def test_kept_groups_that_are_too_old_are_asked_again() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        await one_step(harness, 1, 0, 1)
        await harness.finish(2, 3, 4)
        state, kept = harness.buffer.state()
        await harness.buffer.close()

        again = restored(state, kept, step=1, version=2, max_staleness=1)
        waiting = await again.begin(2)
        assert again.asked == [2, 3, 5]  # of version 0; 4 is of version 1
        await again.finish(2)
        assert numbers(await waiting) == [2, 4]
        await again.buffer.close()

    run(watch())


def test_groups_taken_by_an_unfinished_step_are_kept_with_the_replaced_ones() -> None:
    """The step has not learned yet, and the replaced groups are not recorded yet."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1, max_replacements=1), scores={1: DULL})
        waiting = await harness.begin(1)
        await harness.finish(1)
        await harness.finish(0, 2)
        assert (numbers(await waiting), replaced(await waiting)) == ([0, 2], [(1, "no_signal")])
        state, kept = harness.buffer.state()
        assert ([draw.number for draw, _ in kept], open_numbers(state)) == ([0, 2], [1, 3, 4])
        await harness.learned(1)
        state, kept = harness.buffer.state()
        assert ([draw.number for draw, _ in kept], open_numbers(state)) == ([], [3, 4, 5, 6])
        await harness.buffer.close()

    run(watch())


class Parts(dict[str, float]):
    """Be a dict to which a weak reference is possible."""


class WatchedScorer(FakeScorer):
    """Know which of its scores are still in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[weakref.ref[Parts]] = []

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        parts = Parts(answer=0.5)
        self.given.append(weakref.ref(parts))
        return tuple(
            Score(reward=float(index), parts=parts, gates={}, answer="1") for index in range(len(request.responses))
        )

    @property
    def num_groups_held(self) -> int:
        return sum(parts() is not None for parts in self.given)


def watched(rules: GrpoConfig) -> tuple[BufferHarness, WatchedScorer]:
    harness, scorer = BufferHarness(rules), WatchedScorer()
    harness.buffer.stages = replace(harness.buffer.stages, scorer=scorer)
    return harness, scorer


def test_what_a_checkpoint_holds_is_forgotten_here() -> None:
    """Else a long run would fill the driver's memory."""

    async def watch() -> None:
        harness, scorer = watched(algorithm(steps=4, max_staleness=3))
        for step in (1, 2):
            await one_step(harness, step, 2 * step - 2, 2 * step - 1)
        assert scorer.num_groups_held == 4
        harness.buffer.checkpointed(2)
        assert scorer.num_groups_held == 0
        await harness.buffer.close()

    run(watch())


def test_responses_that_a_step_back_could_not_use_are_not_kept_in_memory() -> None:
    """On-policy no response is kept after its step, however late the next checkpoint is."""

    async def watch() -> None:
        harness, scorer = watched(algorithm(steps=4))
        await one_step(harness, 1, 0, 1)
        assert (len(scorer.given), scorer.num_groups_held) == (2, 0)
        harness.policy.version = 2
        harness.buffer.step_back(step=0, version=2)
        await quiet()
        assert harness.asked == [0, 1]  # they are known all the same
        await harness.buffer.close()

    run(watch())
