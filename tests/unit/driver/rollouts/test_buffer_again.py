"""Test on fakes the steps back and the end of a buffer: every draw is finished exactly once."""

import asyncio
from dataclasses import replace

import pytest

from contracts.errors import RunFailed
from contracts.rollouts import ScoredGroup, ScoreRequest
from driver.learning.samples import oldest_version
from tests.fakes.ports import FakeScorer, Scores, run
from tests.refusals import raised
from tests.runs.buffer import (
    DULL,
    BufferHarness,
    algorithm,
    number_of,
    numbers,
    one_step,
    open_numbers,
    quiet,
    replaced,
)


def names(harness: BufferHarness) -> list[str]:
    return [request.request_id for request in harness.policy.requests]


def test_a_step_back_gives_out_again_what_was_learned_from_since_the_checkpoint_and_is_fresh() -> None:
    """Version 1 learned in step 2 and the learner is lost; the weights of step 1 come back as version 2."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=2))
        await one_step(harness, 1, 0, 1)
        harness.buffer.checkpointed(1)
        waiting = await harness.begin(2)
        await harness.finish(2, 3)
        assert numbers(await waiting) == [2, 3]  # in the hands of the step that is lost
        asked = len(harness.policy.requests)
        harness.buffer.step_back(step=1, version=2)
        assert numbers(await harness.buffer.take_batch(2)) == [2, 3]
        assert len(harness.policy.requests) == asked  # the engines were asked for nothing twice
        await harness.learned(3)
        assert 0 not in harness.asked and 1 not in harness.asked  # the checkpoint has those
        await harness.buffer.close()

    run(watch())


def test_groups_finished_in_several_steps_come_back_with_the_replaced_ones() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=6, size=1, max_replacements=1), scores={1: DULL})
        await one_step(harness, 1, 0)
        harness.buffer.checkpointed(1)
        await harness.finish(1)  # its place goes to draw 8
        await one_step(harness, 2, 2)  # and is reported here
        await one_step(harness, 3, 3)
        harness.buffer.step_back(step=1, version=4)
        again = await harness.buffer.take_batch(2)
        assert (numbers(again), replaced(again)) == ([2], [(1, "no_signal")])  # it teaches nothing still
        await harness.learned(5)
        assert numbers(await harness.buffer.take_batch(3)) == [3]
        await harness.buffer.close()

    run(watch())


def test_groups_too_old_after_a_step_back_are_asked_again_under_another_name_with_the_same_seeds() -> None:
    """On-policy no group is used by a later version, whether it is ready, taken or running."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(size=3))
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        first = {number_of(request.request_id): request.seeds for request in harness.policy.requests}
        waiting.cancel()
        harness.policy.version = 1
        harness.buffer.step_back(step=0, version=1)
        waiting = await harness.begin(1)
        assert harness.asked == [0, 1, 2]
        assert names(harness)[3:] == ["0/a0/de~1", "1/b0/de~1", "2/c0/de~1"]
        assert {number_of(request.request_id): request.seeds for request in harness.policy.requests[3:]} == first
        harness.policy.version = 2
        harness.buffer.step_back(step=0, version=2)
        await quiet()
        assert names(harness)[6:] == ["0/a0/de~2", "1/b0/de~2", "2/c0/de~2"]
        await harness.finish(0, 1, 2)
        assert numbers(await waiting) == [0, 1, 2]
        await harness.buffer.close()

    run(watch())


def test_a_running_and_fresh_group_goes_on_through_a_step_back() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        await waiting
        harness.buffer.step_back(step=0, version=1)
        await quiet()
        assert harness.asked == [2, 3]
        assert names(harness) == ["0/a0/de", "1/b0/de", "2/c0/de", "3/d0/de"]
        assert numbers(await harness.buffer.take_batch(1)) == [0, 1]
        await harness.buffer.close()

    run(watch())


def test_a_group_that_failed_while_the_learner_hung_is_asked_again_when_it_is_back() -> None:
    """Engines are paused while a learner pushes, and their requests have time limits."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=2))
        waiting = await harness.begin(1)
        harness.policy.fail(1, RunFailed("no answer in 1800 s", key="policy"))
        with raised(RunFailed, key="policy"):
            await waiting
        harness.buffer.step_back(step=0, version=1)
        waiting = await harness.begin(1)
        assert names(harness)[-1] == "1/b0/de~1"
        assert sorted(harness.asked) == [0, 1, 2, 3, 4, 5]
        await harness.finish(0, 1)
        assert numbers(await waiting) == [0, 1]
        await harness.buffer.close()

    run(watch())


def test_a_failure_that_comes_again_after_a_step_back_ends_the_run() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=2))
        await harness.begin(1)
        harness.policy.fail(1, RunFailed("no policy worker is left"))
        await quiet()
        harness.buffer.step_back(step=0, version=1)
        waiting = await harness.begin(1)
        harness.policy.fail(1, RunFailed("no policy worker is left", key="policy"))
        with raised(RunFailed, key="policy"):
            await waiting
        await harness.buffer.close()

    run(watch())


class DeafScorer(FakeScorer):
    """Lose a cancellation that comes during the work, as `asyncio.wait_for` of Python 3.11 can."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.num_lost = 0

    async def score(self, request: ScoreRequest) -> Scores:
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.num_lost += 1
        return await super().score(request)


def test_an_old_attempt_that_goes_on_after_its_group_was_asked_again_is_ignored() -> None:
    """On-policy, both attempts of a group answer: it is learned from once, and by its new version."""

    async def watch() -> None:
        harness = BufferHarness(algorithm())
        deaf = DeafScorer()
        harness.buffer.stages = replace(harness.buffer.stages, scorer=deaf)
        waiting = await harness.begin(1)
        await harness.finish(0, 1)  # and the scorer has them
        waiting.cancel()
        harness.policy.version = 1
        harness.buffer.step_back(step=0, version=1)
        waiting = await harness.begin(1)
        assert deaf.num_lost == 2
        deaf.release.set()
        await quiet()
        assert not waiting.done()  # the first attempts have ended
        await harness.finish(0, 1)
        batch = await waiting
        assert numbers(batch) == [0, 1]
        assert [oldest_version(group) for group in batch.groups if isinstance(group, ScoredGroup)] == [1, 1]
        await harness.buffer.close()

    run(watch())


def test_an_attempt_that_goes_on_after_the_end_is_dropped_once() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1, max_replacements=1), scores={0: DULL})
        deaf = DeafScorer()
        harness.buffer.stages = replace(harness.buffer.stages, scorer=deaf)
        await harness.begin(1)
        await harness.finish(0)
        asyncio.get_running_loop().call_soon(deaf.release.set)
        dropped = await harness.buffer.close()
        assert deaf.num_lost == 1
        assert sorted(number_of(group.group_id) for group in dropped) == [0, 1, 2, 3]
        assert harness.stream.drawn == 4  # none was started in the place of the dull one
        await quiet()

    run(watch())


def test_two_steps_back_in_a_row_double_nothing() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=5))
        await one_step(harness, 1, 0, 1)
        harness.buffer.checkpointed(1)
        await one_step(harness, 2, 2, 3)
        for version in (3, 4):
            harness.buffer.step_back(step=1, version=version)
            assert numbers(await harness.buffer.take_batch(2)) == [2, 3]
        await harness.learned(5)
        state, kept = harness.buffer.state()
        numbered = [*open_numbers(state), *(draw.number for draw, _ in kept)]
        assert sorted(numbered) == list(range(4, harness.stream.drawn))
        await harness.buffer.close()

    run(watch())


def test_a_step_back_renews_the_budget_and_the_place_in_the_run() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(steps=2, max_replacements=1), scores={0: DULL, 2: DULL})
        waiting = await harness.begin(1)
        await harness.finish(0, 1)
        await harness.finish(2)
        assert replaced(await waiting) == [(0, "no_signal")]  # the learner is lost while the step learns
        harness.policy.version = 1
        harness.buffer.step_back(step=0, version=1)
        waiting = await harness.begin(1)
        assert harness.asked == [0, 1]  # 2 waits for a slot
        await harness.finish(0, 1)
        assert harness.asked == [2]
        await harness.finish(2)
        assert (numbers(await waiting), replaced(await waiting)) == ([1, 2], [(0, "no_signal")])
        await harness.buffer.close()

    run(watch())


def test_after_a_step_back_groups_are_started_for_all_steps_that_are_left() -> None:
    """Before the first of them is asked for: generation does not wait for the learner."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(steps=2, max_staleness=1))
        await one_step(harness, 1, 0, 1)
        await one_step(harness, 2, 2, 3)
        assert harness.asked == []
        harness.policy.version = 9
        harness.buffer.step_back(step=0, version=9)
        await quiet()
        assert harness.asked == [0, 1, 2, 3]
        await harness.buffer.close()

    run(watch())


def test_a_step_in_a_complete_checkpoint_is_not_given_out_again_even_if_saving_it_failed() -> None:
    """The disk was full after its last byte: the checkpoint exists, and the learner goes on from it."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=3))
        await one_step(harness, 1, 0, 1)
        await one_step(harness, 2, 2, 3)
        harness.buffer.step_back(step=1, version=3)
        assert numbers(await harness.buffer.take_batch(2)) == [2, 3]
        with pytest.raises(RunFailed) as error:
            harness.buffer.step_back(step=0, version=4)  # the checkpoint of step 1 is damaged meanwhile
        assert error.value.key == "checkpoint"
        await harness.buffer.close()

    run(watch())


def test_a_step_back_behind_the_last_checkpoint_is_refused() -> None:
    """The draws that the checkpoint holds are not in memory and would be lost. A new start of the run reads the older
    checkpoint."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=3))
        await one_step(harness, 1, 0, 1)
        await one_step(harness, 2, 2, 3)
        harness.buffer.checkpointed(2)
        with pytest.raises(RunFailed) as error:
            harness.buffer.step_back(step=1, version=3)
        assert error.value.key == "checkpoint"
        harness.buffer.step_back(step=2, version=3)
        await harness.buffer.close()

    run(watch())


def test_closing_drops_everything_that_is_left_once() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=2, max_replacements=1), scores={2: DULL})
        await one_step(harness, 1, 0, 1)
        await harness.finish(2, 3)
        harness.buffer.step_back(step=1, version=9)  # everything must be asked again, of which 8 finds no slot
        await quiet()
        assert harness.asked == [2, 3, 4, 5, 6, 7]
        await harness.finish(4, versions=(9,))
        dropped = await harness.buffer.close()
        assert sorted(number_of(group.group_id) for group in dropped) == [2, 3, 4, 5, 6, 7, 8]
        assert {group.reason for group in dropped} == {"run_ended"}
        assert harness.asked == []
        assert await harness.buffer.close() == []

    run(watch())


def test_a_replaced_group_that_no_step_reported_keeps_its_reason_at_the_end() -> None:
    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1, max_replacements=1), scores={1: DULL})
        await harness.begin(1)
        await harness.finish(1)
        dropped = await harness.buffer.close()
        reasons = {number_of(group.group_id): group.reason for group in dropped}
        assert reasons == {0: "run_ended", 1: "no_signal", 2: "run_ended", 3: "run_ended", 4: "run_ended"}
        assert len(dropped) == 5

    run(watch())
