"""All ranks as one: what they answer, and how the loss of one is noticed and told. On hand-written ranks."""

import asyncio

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from actors.fleets.learner import LearnerRanks
from contracts.errors import BadInput, CheckpointFailed, LearnerLost
from tests.fakes.ranks import (
    ARGUMENTS,
    BATCH,
    HASTY,
    REPORT,
    Rank,
    group_of,
    measures,
    played,
)


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("step", f"Traceback\n{type(cause).__name__}: {cause}", cause)


def test_every_rank_is_told_where_the_first_one_waits() -> None:
    ranks = Rank(0), Rank(1)
    asyncio.run(group_of(*ranks).setup(ARGUMENTS))
    assert ranks[0].heard == [("address",), ("setup", ARGUMENTS, ("host", 1))]
    assert ranks[1].heard == [("setup", ARGUMENTS, ("host", 1))]


def test_measures_come_back_in_the_order_of_the_sequences() -> None:
    async def play(group: LearnerRanks) -> None:
        answers = await group.measure(BATCH)
        assert [float(answer.logprobs[0]) for answer in answers] == [0, 1]

    played(group_of(Rank(0, measure=[(1, measures(1))]), Rank(1, measure=[(0, measures(0))])), play)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (RayActorError(error_msg="killed"), "could not take a step: learner-1 has died: killed"),
        (ActorUnavailableError("the node is gone", None), "could not take a step: learner-1: .*the node is gone"),
        (task_error(MemoryError("no memory left")), "could not take a step: learner-1: MemoryError: no memory left"),
    ],
)
def test_a_rank_that_dies_or_raises_is_named_though_the_other_hangs_in_a_collective(
    failure: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.fleets.rank_calls.SECOND_OPINION_S", 0.01)

    async def play(group: LearnerRanks) -> None:
        with pytest.raises(LearnerLost, match=message):
            await group.step(BATCH)
        assert group.is_lost

    played(group_of(Rank(0, step=asyncio.Event()), Rank(1, step=failure)), play)


def test_who_died_is_named_rather_than_who_lost_the_connection_to_it() -> None:
    lost = task_error(RuntimeError("Connection closed by peer"))

    async def play(group: LearnerRanks) -> None:
        with pytest.raises(LearnerLost, match="learner-1 has died: killed"):
            await group.step(BATCH)

    played(group_of(Rank(0, step=lost), Rank(1, step=RayActorError(error_msg="killed"))), play)


def test_a_rank_without_a_heartbeat_is_lost_long_before_the_call_is_late() -> None:
    stopped = Rank(1, step=asyncio.Event(), heartbeat=asyncio.Event())

    async def play(group: LearnerRanks) -> None:
        with pytest.raises(LearnerLost, match=r"learner-1 gave no sign of life for 0.1 s \(fleet.dead_after_s\)"):
            await group.step(BATCH)

    group = group_of(Rank(0, step=asyncio.Event()), stopped, rules=HASTY)

    async def whole() -> None:
        stopped.answers["heartbeat"] = None
        await group.setup(ARGUMENTS)
        stopped.answers["heartbeat"] = asyncio.Event()
        await play(group)

    asyncio.run(whole())


def test_a_rank_that_is_out_of_reach_for_a_while_is_not_lost() -> None:
    class Flickering(Rank):
        async def answer(self, name: str) -> object:
            if name == "heartbeat":
                self.beats = self.__dict__.get("beats", 0) + 1
                if self.beats <= 5:
                    raise ActorUnavailableError("no route", None)
                done.set()
            return await super().answer(name)

    done = asyncio.Event()

    async def play(group: LearnerRanks) -> None:
        assert await group.step(BATCH) == REPORT

    played(group_of(Rank(0), Flickering(1, step=done), rules=HASTY), play)


def test_ranks_that_live_and_do_not_answer_are_given_up_in_the_end() -> None:
    async def play(group: LearnerRanks) -> None:
        with pytest.raises(LearnerLost, match=r"no answer within 0.05 s \(learner.timeout_s\)"):
            await group.step(BATCH)

    played(group_of(Rank(0, step=asyncio.Event()), Rank(1), timeout_s=0.05), play)


@pytest.mark.parametrize("kind", [BadInput, CheckpointFailed])
def test_what_a_rank_knows_to_be_the_users_or_the_disks_fault_is_told_as_such_and_nothing_is_lost(
    kind: type[Exception],
) -> None:
    failure = task_error(kind("the disk is full"))

    async def play(group: LearnerRanks) -> None:
        with pytest.raises(kind, match="the disk is full"):
            await group.save("folder")
        assert not group.is_lost
        assert await group.step(BATCH) == REPORT

    played(group_of(Rank(0, save=failure), Rank(1, save=failure)), play)


def test_a_lost_group_refuses_everything_until_other_ranks_are_set_up() -> None:
    async def play(group: LearnerRanks) -> None:
        with pytest.raises(LearnerLost):
            await group.step(BATCH)
        for call in (group.step(BATCH), group.measure(BATCH), group.push_weights(1), group.save("f"), group.load("f")):
            with pytest.raises(LearnerLost, match="must be started again: it could not take a step: learner-1"):
                await call
        await group.bring_up()  # says nothing: nobody waits for it

        others = Rank(0), Rank(1)
        group.exchange(others)
        with pytest.raises(LearnerLost, match="have not loaded yet"):
            await group.step(BATCH)
        await group.setup(ARGUMENTS)
        await group.load("folder")
        assert await group.step(BATCH) == REPORT
        assert [call[0] for call in others[1].heard] == ["setup", "load", "step"]

    played(group_of(Rank(0), Rank(1, step=RayActorError(error_msg="killed"))), play)
