"""Test a step that waits for its groups: what it gets, and what stays in the buffer if the run is asked to stop."""

import asyncio

import pytest

from contracts.errors import LearnerLost, RunFailed
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import Loop
from driver.rollouts.selection import Batch
from driver.run_state.stopping import Stopped
from driver.tracking.step_record import Step
from tests.fakes.ports import FakeLearner, FakeRecorder, run
from tests.runs.buffer import BufferHarness, algorithm, numbers, quiet
from tests.runs.recipe import FakeCheckpointer, settings


class Waiting:
    """Hold a loop and the buffer that it waits for."""

    def __init__(self, *, max_staleness: int = 1) -> None:
        rules = algorithm(max_staleness=max_staleness, steps=3)
        self.buffer = BufferHarness(rules)
        self.checkpointer = FakeCheckpointer()
        self.learner = FakeLearner()
        self.loop = Loop(
            learner=self.learner, recorder=FakeRecorder(), settings=settings(rules), checkpointer=self.checkpointer
        )

    async def groups(self, number: int = 1) -> "asyncio.Task[Batch]":
        step = Step(number=number, policy_version=0, clock=self.loop.clock)
        waiting = asyncio.ensure_future(self.loop.take_batch(step, self.buffer.buffer))
        await quiet()
        return waiting


def test_a_step_gets_its_groups_and_is_no_longer_between_two() -> None:
    async def watch() -> None:
        harness = Waiting()
        waiting = await harness.groups()
        assert harness.loop.is_between_steps
        await harness.buffer.finish(0, 1)
        assert numbers(await waiting) == [0, 1]
        assert not harness.loop.is_between_steps  # a checkpoint of now would know nothing of them
        assert set(harness.loop.clock.take()) >= {"wait"}
        await harness.buffer.buffer.close()

    run(watch())


def test_a_run_that_is_asked_to_stop_does_not_wait_for_groups_and_loses_none() -> None:
    async def watch() -> None:
        harness = Waiting()
        waiting = await harness.groups()
        await harness.buffer.finish(2)
        harness.loop.stop.ask()
        with pytest.raises(Stopped):
            await waiting
        assert harness.loop.is_between_steps
        state, kept = harness.buffer.buffer.state()
        assert [draw.number for draw, _ in kept] == [2]
        assert [draw["number"] for draw in state["again"]] == [0, 1, 3]
        await harness.buffer.finish(0)
        assert numbers(await harness.buffer.buffer.take_batch(1)) == [0, 2]  # they are still in the buffer
        await harness.buffer.buffer.close()

    run(watch())


def test_groups_that_are_handed_out_as_the_run_is_asked_to_stop_are_learned_from() -> None:
    """They have left the buffer: a step that let go of them would lose them."""

    async def watch() -> None:
        harness = Waiting()
        (await harness.buffer.begin(1)).cancel()
        await harness.buffer.finish(0, 1)
        harness.loop.stop.ask()
        assert numbers(await (await harness.groups())) == [0, 1]
        await harness.buffer.buffer.close()

    run(watch())


def test_a_learner_that_is_lost_meanwhile_ends_the_wait() -> None:
    async def watch() -> None:
        harness = Waiting()
        waiting = await harness.groups()
        harness.learner.lost.put_nowait(LearnerLost("learner-1 died"))
        with pytest.raises(LearnerLost):
            await waiting
        await harness.buffer.finish(0, 1)
        assert numbers(await harness.buffer.buffer.take_batch(1)) == [0, 1]  # they are still in the buffer
        await harness.buffer.buffer.close()

    run(watch())


def test_groups_that_were_handed_out_just_then_come_up_again() -> None:
    async def watch() -> None:
        harness = Waiting()
        (await harness.buffer.begin(1)).cancel()
        await harness.buffer.finish(0, 1)
        harness.learner.lost.put_nowait(LearnerLost("learner-1 died"))
        waiting = await harness.groups()
        with pytest.raises(LearnerLost):
            await waiting
        harness.buffer.buffer.step_back(step=0, version=1)
        assert numbers(await harness.buffer.buffer.take_batch(1)) == [0, 1]
        await harness.buffer.buffer.close()

    run(watch())


def test_a_failure_of_a_stage_is_the_steps() -> None:
    async def watch() -> None:
        harness = Waiting()
        waiting = await harness.groups()
        harness.buffer.policy.fail(1, RunFailed("no pivot worker is left"))
        with pytest.raises(RunFailed):
            await waiting
        assert harness.loop.is_between_steps  # nothing was taken: a checkpoint may be made
        await harness.buffer.buffer.close()

    run(watch())


def test_a_step_that_is_given_up_takes_nothing_with_it() -> None:
    async def watch() -> None:
        harness = Waiting()
        waiting = await harness.groups()
        await harness.buffer.finish(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await harness.buffer.finish(1)
        assert numbers(await harness.buffer.buffer.take_batch(1)) == [0, 1]
        await harness.buffer.buffer.close()

    run(watch())


def test_a_recipe_that_is_asked_to_stop_finishes_its_step_and_begins_no_other() -> None:
    async def watch() -> None:
        harness = Waiting()
        recipe = asyncio.ensure_future(train_grpo(harness.buffer.buffer, loop=harness.loop))
        await quiet()
        harness.buffer.policy.finish(0, 1)
        while not harness.learner.calls:
            await asyncio.sleep(0)
        harness.loop.stop.ask()  # while it learns
        await recipe
        assert [progress.step for progress in harness.checkpointer.kept] == [1]
        assert harness.loop.position.step == 1
        assert harness.loop.is_between_steps
        await quiet()
        await harness.buffer.buffer.close()

    run(watch())
