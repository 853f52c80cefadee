"""Test on fakes how many groups are in flight, and which of them a step gets."""

from dataclasses import replace

import pytest

from contracts.errors import BadInput, RunFailed
from contracts.rollouts import Problem, Unscored
from tests.builders import a_problem
from tests.fakes.ports import policy_prompt, run
from tests.refusals import raised
from tests.runs.buffer import DULL, GROUP_SIZE, PROBLEMS, BufferHarness, algorithm, numbers, quiet, replaced


@pytest.mark.parametrize("max_staleness", [0, 1, 2])
def test_never_more_are_under_way_than_there_are_slots(max_staleness: int) -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=max_staleness))
        slots = 2 * (max_staleness + 1)
        waiting = await harness.begin(1)
        assert harness.asked == list(range(slots))
        await harness.finish(*range(slots))  # finished ones keep their slots until they are learned from
        assert numbers(await waiting) == [0, 1]
        assert harness.asked == []
        await harness.learned(1)
        assert harness.asked == [slots, slots + 1]
        await harness.buffer.close()

    run(watch())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_on_policy_a_batch_has_the_order_of_its_draws_in_any_order_of_finishing(order: tuple[int, ...]) -> None:
    """All requests are made, in that order too, before any is answered: so the same worker gets the same one again."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(size=3))
        waiting = await harness.begin(1)
        assert [request.request_id for request in harness.policy.requests] == ["0/a0/de", "1/b0/de", "2/c0/de"]
        for number in order:
            assert not waiting.done()
            await harness.finish(number)
        assert numbers(await waiting) == [0, 1, 2]
        assert harness.asked == []  # nothing is drawn by weights that are about to change
        await harness.learned(1)
        assert harness.asked == [3, 4, 5]
        await harness.buffer.close()

    run(watch())


def test_above_it_generation_goes_on_while_a_step_learns_and_anew_right_after() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        await harness.finish(3, 1)
        assert numbers(await waiting) == [1, 3]
        assert harness.asked == [0, 2]  # while the step learns
        await harness.learned(1)
        assert harness.asked == [0, 2, 4, 5]  # before the next step is asked for
        await harness.buffer.close()

    run(watch())


def test_a_step_waits_for_a_group_whose_time_would_be_over() -> None:
    """Slots for two steps: of four groups of version 0 two are learned from by version 0 and two by version 1. At
    version 1 those two come first, although younger ones are ready."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        assert numbers(await waiting) == [0, 1]
        await harness.learned(1)
        waiting = await harness.begin(2)
        await harness.finish(4, 5)  # of version 1
        assert not waiting.done()
        await harness.finish(2)
        assert not waiting.done()
        await harness.finish(3)
        assert numbers(await waiting) == [2, 3]
        await harness.buffer.close()

    run(watch())


def test_a_straggler_with_time_left_is_overtaken() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=2, size=1))
        waiting = await harness.begin(1)
        await harness.finish(1)
        assert numbers(await waiting) == [1]
        await harness.learned(1)
        waiting = await harness.begin(2)
        await harness.finish(3)  # of version 1, while 0 and 2 of version 0 are still written
        assert not waiting.done()  # one of them must be learned from by version 1, the other by version 2
        await harness.finish(2)
        assert numbers(await waiting) == [2]  # so 0, that was asked for before, may still take its time
        await harness.buffer.close()

    run(watch())


def test_a_group_is_as_old_as_its_oldest_token() -> None:
    """Drawn across two pushes: its first token is of version 0, and version 2 may not learn from it."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        harness.buffer.version = 2  # as after a learner that came back under a version of its own
        await harness.finish(0, versions=(0, 1, 2))
        await harness.finish(1, 2, 3, versions=(1, 2, 2))
        batch = await waiting
        assert replaced(batch) == [(0, "too_stale")]
        assert batch.replaced[0].dropped.detail == "drawn 2 policy versions ago"
        assert numbers(batch) == [1, 2]
        assert batch.metrics["group/replaced"] == 1
        assert harness.asked == [4]  # in its place
        await harness.buffer.close()

    run(watch())


def test_of_its_responses_the_oldest_counts() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        harness.buffer.version = 2
        harness.policy.finish_each(0, (2,), (0, 2))
        harness.policy.finish_each(1, (0, 1, 2), (1,))
        await harness.finish(2, 3, versions=(2,))
        assert replaced(await waiting) == [(0, "too_stale"), (1, "too_stale")]
        await harness.buffer.close()

    run(watch())


def test_of_groups_of_one_age_the_first_drawn_are_learned_from_first() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        harness.policy.finish(3, 2, 1)  # in one turn: all three are ready when the step looks
        assert numbers(await waiting) == [1, 2]
        await harness.buffer.close()

    run(watch())


def test_a_group_that_waited_at_the_engine_counts_from_the_weights_that_drew_it() -> None:
    """Started at version 0, drawn by version 1: version 2 may still learn from it."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        harness.buffer.version = 2
        await harness.finish(0, 1, 2, 3, versions=(1, 1))
        assert numbers(await waiting) == [0, 1]
        assert replaced(await waiting) == []
        await harness.buffer.close()

    run(watch())


def test_nothing_is_started_that_no_step_will_learn_from() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(steps=2, max_staleness=3))
        waiting = await harness.begin(1)
        assert harness.asked == [0, 1, 2, 3]  # two steps of two; there are slots for eight
        await harness.finish(0, 1, 2, 3)
        await waiting
        await harness.learned(1)
        assert numbers(await harness.buffer.take_batch(2)) == [2, 3]
        await harness.learned(2)
        assert harness.stream.drawn == 4
        assert await harness.buffer.close() == []

    run(watch())


def test_a_failure_of_a_stage_reaches_the_waiting_caller_at_once() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        harness.policy.fail(3, RunFailed("no policy worker is left", key="policy"))
        await quiet()
        assert waiting.done()
        with raised(RunFailed, key="policy"):
            await waiting
        await harness.finish(0, 1, 2)
        with raised(RunFailed, key="policy"):
            await harness.buffer.take_batch(1)  # enough are there; but nothing goes on
        await harness.buffer.close()

    run(watch())


def test_a_prompt_that_is_too_long_takes_its_place_in_the_batch_and_ends_nothing() -> None:
    def prompt(problem: Problem) -> tuple[int, ...]:
        if problem == PROBLEMS[1]:
            raise BadInput("item 'b0': the prompt has 99 tokens")
        return policy_prompt(problem)

    async def watch() -> None:
        harness = BufferHarness(algorithm())
        harness.buffer.stages = replace(harness.buffer.stages, prompt=prompt)
        waiting = await harness.begin(1)
        await harness.finish(0)
        assert numbers(await waiting) == [0, 1]
        await harness.buffer.close()

    run(watch())


def test_a_batch_says_what_was_in_flight_ready_and_finished_since_the_one_before() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        first = await harness.begin(1)
        await harness.finish(0)
        harness.policy.finish(1, 2)  # in one turn: when the batch is chosen, three of four are ready
        found = (await first).metrics
        assert (found["queue/in_flight"], found["queue/ready"]) == (4, 3)
        assert found["group/finished_texts"] == 3 * GROUP_SIZE
        assert found["group/finished_tokens"] == 3 * GROUP_SIZE  # one token each
        await harness.learned(1)
        second = await harness.begin(2)
        await harness.finish(3, versions=(0, 0, 1))
        found = (await second).metrics
        assert (found["queue/in_flight"], found["queue/ready"]) == (4, 2)
        assert (found["group/finished_texts"], found["group/finished_tokens"]) == (GROUP_SIZE, 3 * GROUP_SIZE)
        await harness.buffer.close()

    run(watch())


def test_the_curriculum_gets_the_success_rate_of_every_scored_group() -> None:
    """A fake's score has its reward as the part "answer": 0 and 0.1 without anything said, so 0.05 in the mean."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(size=3), scores={1: DULL, 2: (Unscored(reason="timed out"),) * GROUP_SIZE})
        waiting = await harness.begin(1)
        await harness.finish(0, 1, 2)
        await waiting
        assert harness.stream.rates == pytest.approx({"0/a0/de": 0.05, "1/b0/de": 0.5})
        await harness.buffer.close()

    run(watch())


def test_references_that_were_paid_for_are_kept_after_each_step_and_at_the_end() -> None:
    saved: list[int] = []

    async def watch() -> None:
        harness = BufferHarness(algorithm())
        harness.buffer.stages.references.cache.save = lambda: saved.append(len(harness.pivot.requests))  # type: ignore[method-assign]
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        await waiting
        await harness.learned(1)
        await harness.buffer.close()

    run(watch())
    assert saved == [2, 4]


def test_languages_of_one_item_share_its_reference() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(), problems=[a_problem("a", "de"), a_problem("a", "sw")])
        await harness.begin(1)
        assert len(harness.pivot.requests) == 1
        await harness.buffer.close()

    run(watch())
