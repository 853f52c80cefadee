"""Test dynamic sampling on fakes: which groups replace another, when, in which language, and how often."""

from dataclasses import replace

from contracts.errors import BadInput
from contracts.rollouts import Problem, Unscored
from tests.builders import a_problem
from tests.fakes.ports import policy_prompt, run
from tests.runs.buffer import DULL, GROUP_SIZE, BufferHarness, algorithm, numbers, replaced

LANGUAGES = ("de", "sw", "th")
PROBLEMS = [a_problem(f"a{index}", LANGUAGES[index % 3]) for index in range(24)]


def a_run(*dull: int, size: int = 2, **changed: int | str) -> BufferHarness:
    """Return a run in which these draws have no signal."""
    return BufferHarness(algorithm(size=size, **changed), problems=PROBLEMS, scores=dict.fromkeys(dull, DULL))


def test_above_on_policy_a_place_is_given_away_as_soon_as_its_group_teaches_nothing() -> None:
    async def watch() -> None:
        harness = a_run(1, max_staleness=1, max_replacements=3)
        waiting = await harness.begin(1)
        assert harness.asked == [0, 1, 2, 3]
        await harness.finish(1)
        assert harness.asked == [0, 2, 3, 4]  # while the others are still written
        assert harness.stream.languages_asked == ["", "", "", "", "sw"]  # no language loses by it
        await harness.finish(4, 0)
        assert numbers(await waiting) == [0, 4]
        assert replaced(await waiting) == [(1, "no_signal")]
        assert (await waiting).metrics["group/replaced"] == 1
        await harness.buffer.close()

    run(watch())


def test_on_policy_groups_are_replaced_together_when_all_are_finished() -> None:
    """The order of finishing must not decide anything, not even which draw replaces which group."""

    async def watch(*order: int) -> None:
        harness = a_run(0, 2, size=3, max_replacements=3)
        waiting = await harness.begin(1)
        for number in order:
            assert harness.stream.drawn == 3
            await harness.finish(number)
        assert harness.asked == [3, 4]
        assert harness.stream.languages_asked == ["", "", "", "de", "th"]
        await harness.finish(4)
        await harness.finish(3)
        assert numbers(await waiting) == [1, 3, 4]
        assert replaced(await waiting) == [(0, "no_signal"), (2, "no_signal")]
        await harness.buffer.close()

    run(watch(0, 1, 2))
    run(watch(2, 1, 0))


def test_a_replacement_that_teaches_nothing_either_is_replaced_while_the_budget_lasts() -> None:
    async def watch() -> None:
        harness = a_run(0, 2, 3, max_replacements=2)
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        assert harness.asked == [2]
        await harness.finish(2)
        assert harness.asked == [3]
        await harness.finish(3)
        assert numbers(await waiting) == [1, 3]  # the step learns from what is left
        assert replaced(await waiting) == [(0, "no_signal"), (2, "no_signal")]
        await harness.buffer.close()

    run(watch())


def test_the_budget_is_each_steps_own() -> None:
    async def watch() -> None:
        harness = a_run(0, 1, 3, 4, max_staleness=0, max_replacements=1)
        first = await harness.begin(1)
        await harness.finish(0, 1)
        assert harness.asked == [2]  # one of the two
        await harness.finish(2)
        assert (numbers(await first), replaced(await first)) == ([1, 2], [(0, "no_signal")])
        await harness.learned(1)
        second = await harness.begin(2)
        await harness.finish(3, 4)
        assert harness.asked == [5]
        await harness.finish(5)
        assert (numbers(await second), replaced(await second)) == ([4, 5], [(3, "no_signal")])
        await harness.buffer.close()

    run(watch())


def test_what_was_ready_before_a_step_is_judged_by_the_budget_of_that_step() -> None:
    async def watch() -> None:
        harness = a_run(*range(4), size=1, max_staleness=1, max_replacements=1)
        first = await harness.begin(1)
        await harness.finish(0, 1)  # both dull, and one budget
        assert harness.asked == [2]
        assert (numbers(await first), replaced(await first)) == ([1], [(0, "no_signal")])
        await harness.finish(2)  # while the first step learns: its budget is spent
        await harness.learned(0)
        assert harness.asked == [3, 4]  # in the place of 2, and for the step after
        second = await harness.begin(2)
        await harness.finish(4)
        assert (numbers(await second), replaced(await second)) == ([4], [(2, "no_signal")])
        await harness.buffer.close()

    run(watch())


def test_without_a_budget_a_step_learns_from_what_is_left() -> None:
    async def watch() -> None:
        harness = a_run(0, 1, max_staleness=1)
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        assert (numbers(await waiting), replaced(await waiting)) == ([0, 1], [])
        assert harness.stream.drawn == 4
        await harness.buffer.close()

    run(watch())


def test_a_group_without_a_score_or_without_a_prompt_is_replaced_too() -> None:
    def prompt(problem: Problem) -> tuple[int, ...]:
        if problem == PROBLEMS[1]:
            raise BadInput("item 'a1': the prompt has 99 tokens")
        return policy_prompt(problem)

    async def watch() -> None:
        harness = BufferHarness(
            algorithm(size=3, max_replacements=9),
            problems=PROBLEMS,
            scores={0: (Unscored(reason="timed out"),) * GROUP_SIZE},
        )
        harness.buffer.stages = replace(harness.buffer.stages, prompt=prompt)
        waiting = await harness.begin(1)
        await harness.finish(0, 2)
        await harness.finish(3, 4)
        assert numbers(await waiting) == [2, 3, 4]
        assert replaced(await waiting) == [(0, "unscored"), (1, "bad_prompt")]
        await harness.buffer.close()

    run(watch())


def test_equal_rewards_are_no_reason_where_the_whole_batch_is_the_baseline() -> None:
    async def watch() -> None:
        harness = a_run(0, max_replacements=2, advantage="reinforce++")
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        assert (numbers(await waiting), replaced(await waiting)) == ([0, 1], [])
        await harness.buffer.close()

    run(watch())


def test_too_old_groups_are_replaced_without_costing_the_budget() -> None:
    async def watch() -> None:
        harness = a_run(2, max_staleness=1, max_replacements=1)
        waiting = await harness.begin(1)
        harness.buffer.version = 5
        await harness.finish(0, 1)  # of version 0
        assert not waiting.done()
        assert harness.asked == [2, 3, 4, 5]
        await harness.finish(2, versions=(5,))
        assert harness.asked == [3, 4, 5, 6]  # the budget is still there for it
        await harness.finish(3, 4, versions=(5,))
        assert numbers(await waiting) == [3, 4]
        assert replaced(await waiting) == [(0, "too_stale"), (1, "too_stale"), (2, "no_signal")]
        await harness.buffer.close()

    run(watch())


def test_a_replaced_group_is_reported_once() -> None:
    async def watch() -> None:
        harness = a_run(0, max_replacements=1)
        first = await harness.begin(1)
        await harness.finish(0, 1)
        await harness.finish(2)
        assert replaced(await first) == [(0, "no_signal")]
        await harness.learned(1)
        second = await harness.begin(2)
        await harness.finish(3, 4)
        assert replaced(await second) == []
        await harness.buffer.close()

    run(watch())
