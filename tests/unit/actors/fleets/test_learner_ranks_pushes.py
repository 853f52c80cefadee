"""Which version is pushed to whom and when, by ranks as one. On hand-written ranks and a pool of one."""

import asyncio
from dataclasses import replace

import pytest

from actors.fleets.learner import LearnerRanks
from contracts.batches import StepResult
from tests.fakes.ranks import (
    ARGUMENTS,
    BATCH,
    REPORT,
    TAKEN,
    OneWorker,
    Rank,
    group_of,
    played,
    replace_worker,
)


def test_versions_only_go_up_and_a_version_names_one_state_of_the_weights() -> None:
    async def play(group: LearnerRanks) -> None:
        await group.push_weights(3)
        await group.push_weights(3)  # nothing has changed
        with pytest.raises(ValueError, match="version 2 can't be pushed after version 3: versions only go up"):
            await group.push_weights(2)
        await group.step(BATCH)
        with pytest.raises(ValueError, match="version 3 was pushed with other weights than those of now"):
            await group.push_weights(3)
        report = await group.push_weights(4)
        assert (report.policy_version, report.num_workers, report.num_bytes) == (4, 1, 44)

    group = group_of(Rank(0), Rank(1))
    played(group, play)
    assert isinstance(group.policy, OneWorker) and group.policy.versions == [3, 3, 4]


def test_a_learner_that_was_restarted_goes_on_counting_versions() -> None:
    async def play(group: LearnerRanks) -> None:
        await group.push_weights(3)
        group.exchange((Rank(0), Rank(1)))
        await group.setup(ARGUMENTS)
        await group.load("folder")
        with pytest.raises(ValueError, match="other weights"):
            await group.push_weights(3)
        assert (await group.push_weights(4)).policy_version == 4

    played(group_of(Rank(0), Rank(1)), play)


def test_every_attempt_has_a_name_of_its_own() -> None:
    ranks = Rank(0), Rank(1)

    async def play(group: LearnerRanks) -> None:
        await group.push_weights(3)
        await group.push_weights(4)

    played(group_of(*ranks), play)
    for rank in ranks:
        assert [(order.policy_version, order.update) for order in rank.orders()] == [(3, (3, 1)), (4, (4, 2))]
        assert rank.orders()[0].names == ("policy-0",)


@pytest.mark.parametrize(
    ("report", "is_pushed"), [(REPORT, False), (replace(REPORT, is_skipped=True), True)], ids=["taken", "skipped"]
)
def test_a_new_worker_is_brought_up_only_while_the_weights_are_those_of_the_last_version(
    report: StepResult, is_pushed: bool
) -> None:
    ranks = Rank(0, step=report), Rank(1, step=report)

    async def play(group: LearnerRanks) -> None:
        await group.bring_up()  # nothing was pushed yet: the first push does it
        await group.push_weights(3)
        await group.step(BATCH)
        replace_worker(group)
        await group.bring_up()

    played(group_of(*ranks), play)
    assert len(ranks[0].orders()) == (2 if is_pushed else 1)


def test_bringing_up_waits_for_the_step_under_way_and_is_then_not_needed() -> None:
    stepping = asyncio.Event()
    ranks = Rank(0, step=stepping), Rank(1)

    async def play(group: LearnerRanks) -> None:
        await group.push_weights(3)
        step = asyncio.ensure_future(group.step(BATCH))
        await asyncio.sleep(0)
        replace_worker(group)
        bringing = asyncio.ensure_future(group.bring_up())
        await asyncio.sleep(0)
        assert not bringing.done()
        stepping.set()
        await asyncio.gather(step, bringing)

    played(group_of(*ranks), play)
    assert [call[0] for call in ranks[0].heard] == ["address", "setup", "push", "step"]


def test_nccl_meets_anew_only_for_other_processes_or_after_a_failure() -> None:
    failed = replace(TAKEN, taken=())
    ranks = Rank(0, push=iter((TAKEN, TAKEN, TAKEN, failed, TAKEN, TAKEN))), Rank(1)

    async def play(group: LearnerRanks) -> None:
        await group.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await group.push_weights(1)  # the first: meets
        await group.push_weights(2)  # the same process: the group still fits
        replace_worker(group)
        await group.push_weights(3)  # another process: meets
        await group.push_weights(4)  # the group fits, the attempt fails, and the next one meets
        group.exchange(ranks)
        await group.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await group.push_weights(5)  # another learner: meets

    played(group_of(*ranks), play)
    meets = [order.rendezvous is not None for order in ranks[0].orders()]
    assert meets == [True, False, True, False, True, True]
