"""Test which version the ranks push, to which workers and when."""

import asyncio
from dataclasses import replace

import pytest

from actors.fleets.learner import LearnerRanks
from contracts.batches import StepResult
from tests.fakes.ranks import (
    ARGUMENTS,
    BATCH,
    RESULT,
    TAKEN,
    OneWorker,
    Rank,
    a_learner,
    play,
    replace_worker,
)
from tests.refusals import raised


def test_versions_only_go_up_and_a_version_names_one_state_of_the_weights() -> None:
    async def steps(learner: LearnerRanks) -> None:
        await learner.push_weights(3)
        await learner.push_weights(3)  # nothing has changed
        with raised(ValueError, " 2 ", " 3:"):
            await learner.push_weights(2)
        await learner.step(BATCH)
        with raised(ValueError, "version 3 "):
            await learner.push_weights(3)
        result = await learner.push_weights(4)
        assert (result.policy_version, result.num_workers, result.num_bytes) == (4, 1, 44)

    learner = a_learner(Rank(0), Rank(1))
    play(learner, steps)
    assert isinstance(learner.policy, OneWorker) and learner.policy.versions == [3, 3, 4]


def test_a_learner_that_was_restarted_goes_on_counting_versions() -> None:
    async def steps(learner: LearnerRanks) -> None:
        await learner.push_weights(3)
        learner.exchange((Rank(0), Rank(1)))
        await learner.setup(ARGUMENTS)
        await learner.load("folder")
        with raised(ValueError, "version 3 "):
            await learner.push_weights(3)
        assert (await learner.push_weights(4)).policy_version == 4

    play(a_learner(Rank(0), Rank(1)), steps)


def test_every_attempt_has_a_name_of_its_own() -> None:
    ranks = Rank(0), Rank(1)

    async def steps(learner: LearnerRanks) -> None:
        await learner.push_weights(3)
        await learner.push_weights(4)

    play(a_learner(*ranks), steps)
    for rank in ranks:
        assert [(order.policy_version, order.update) for order in rank.orders()] == [(3, (3, 1)), (4, (4, 2))]
        assert rank.orders()[0].names == ("policy-0",)


@pytest.mark.parametrize(
    ("result", "is_pushed"), [(RESULT, False), (replace(RESULT, is_skipped=True), True)], ids=["taken", "skipped"]
)
def test_a_new_worker_is_brought_up_only_while_the_weights_are_those_of_the_last_version(
    result: StepResult, is_pushed: bool
) -> None:
    ranks = Rank(0, step=result), Rank(1, step=result)

    async def steps(learner: LearnerRanks) -> None:
        await learner.bring_up()  # nothing was pushed yet: the first push does it
        await learner.push_weights(3)
        await learner.step(BATCH)
        replace_worker(learner)
        await learner.bring_up()

    play(a_learner(*ranks), steps)
    assert len(ranks[0].orders()) == (2 if is_pushed else 1)


def test_bringing_up_waits_for_the_step_under_way_and_is_then_not_needed() -> None:
    stepping = asyncio.Event()
    ranks = Rank(0, step=stepping), Rank(1)

    async def steps(learner: LearnerRanks) -> None:
        await learner.push_weights(3)
        step = asyncio.ensure_future(learner.step(BATCH))
        await asyncio.sleep(0)
        replace_worker(learner)
        bringing = asyncio.ensure_future(learner.bring_up())
        await asyncio.sleep(0)
        assert not bringing.done()
        stepping.set()
        await asyncio.gather(step, bringing)

    play(a_learner(*ranks), steps)
    assert [call[0] for call in ranks[0].heard] == ["setup", "push", "step"]


def test_nccl_meets_anew_only_for_other_processes_or_after_a_failure() -> None:
    failed = replace(TAKEN, taken=())
    ranks = Rank(0, push=iter((TAKEN, TAKEN, TAKEN, failed, TAKEN, TAKEN))), Rank(1)

    async def steps(learner: LearnerRanks) -> None:
        await learner.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await learner.push_weights(1)  # the first: meets
        await learner.push_weights(2)  # the same process: the learner still fits
        replace_worker(learner)
        await learner.push_weights(3)  # another process: meets
        await learner.push_weights(4)  # the learner fits, the attempt fails, and the next one meets
        learner.exchange(ranks)
        await learner.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await learner.push_weights(5)  # another learner: meets

    play(a_learner(*ranks), steps)
    meets = [order.is_new_group for order in ranks[0].orders()]
    assert meets == [True, False, True, False, True, True]
