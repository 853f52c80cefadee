"""Test all ranks as one learner: what they answer, and how the loss of a rank is noticed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError

from actors.fleets.learner import LearnerRanks
from actors.learning.background_files import WrittenFiles
from contracts.errors import BadInput, CheckpointFailed, LearnerLost
from tests.fakes.ranks import (
    ARGUMENTS,
    BATCH,
    HASTY,
    RESULT,
    Rank,
    a_learner,
    measures,
    play,
)
from tests.fakes.remote import task_error
from tests.models.shared_prompts import packed, samples


def test_all_ranks_meet_in_a_file_of_the_runs_folder_another_one_each_time() -> None:
    ranks = Rank(0), Rank(1)

    async def steps(learner: LearnerRanks) -> None:
        await learner.setup(ARGUMENTS)

    play(a_learner(*ranks), steps)
    assert ranks[0].heard == ranks[1].heard
    (first, *again), (second, *_) = ([Path(str(words[-1])) for words in rank.heard] for rank in ranks)
    assert first == second and first.parent == Path(ARGUMENTS.meetings)
    assert again != [first]


def test_measures_come_back_in_the_order_of_the_sequences() -> None:
    async def steps(learner: LearnerRanks) -> None:
        answers = await learner.measure(BATCH)
        assert [float(answer.logprobs[0]) for answer in answers] == [0, 1]

    play(a_learner(Rank(0, measure=[(1, measures(1))]), Rank(1, measure=[(0, measures(0))])), steps)


def test_ranks_that_split_rows_get_the_same_ones() -> None:
    batch = replace(BATCH, rows=packed(samples(), shares=False, num_ranks=2).rows)
    ranks = [Rank(0), Rank(1, measure=[]), Rank(2, measure=[(1, measures(1))]), Rank(3, measure=[])]

    async def steps(learner: LearnerRanks) -> None:
        assert len(await learner.measure(batch)) == 2
        await learner.step(batch)

    play(a_learner(*ranks), steps)
    for name in ("measure", "step"):
        heard = [next(words[1] for words in rank.heard if words[0] == name) for rank in ranks]
        assert [id(rows) for rows in heard] == [id(batch.rows[index]) for index in (0, 0, 1, 1)]


@pytest.mark.parametrize(
    "failure",
    [
        RayActorError(error_msg="killed"),
        ActorUnavailableError("the node is gone", None),
        task_error(MemoryError("no memory left")),
    ],
)
def test_a_rank_that_dies_or_raises_is_named_though_the_other_hangs_in_a_collective(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.fleets.rank_calls.SECOND_OPINION_S", 0.01)

    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost) as lost:
            await learner.step(BATCH)
        assert lost.value.key == "learner-1"
        assert learner.is_lost

    play(a_learner(Rank(0, step=asyncio.Event()), Rank(1, step=failure)), steps)


def test_a_rank_that_died_is_named_rather_than_one_that_lost_its_connection() -> None:
    lost = task_error(RuntimeError("Connection closed by peer"))

    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost) as failure:
            await learner.step(BATCH)
        assert failure.value.key == "learner-1"

    play(a_learner(Rank(0, step=lost), Rank(1, step=RayActorError(error_msg="killed"))), steps)


def test_a_rank_without_a_heartbeat_is_lost_long_before_the_call_is_late() -> None:
    stopped = Rank(1, step=asyncio.Event(), heartbeat=asyncio.Event())

    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost) as failure:
            await learner.step(BATCH)
        assert failure.value.key == "learner-1"

    learner = a_learner(Rank(0, step=asyncio.Event()), stopped, rules=HASTY)

    async def whole() -> None:
        stopped.answers["heartbeat"] = None
        await learner.setup(ARGUMENTS)
        stopped.answers["heartbeat"] = asyncio.Event()
        await steps(learner)

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

    async def steps(learner: LearnerRanks) -> None:
        assert await learner.step(BATCH) == RESULT

    play(a_learner(Rank(0), Flickering(1, step=done), rules=HASTY), steps)


def test_ranks_that_are_alive_and_do_not_answer_are_lost_in_the_end() -> None:
    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost) as failure:
            await learner.step(BATCH)
        assert failure.value.key == "learner"

    play(a_learner(Rank(0, step=asyncio.Event()), Rank(1), timeout_s=0.05), steps)


@pytest.mark.parametrize("kind", [BadInput, CheckpointFailed])
def test_bad_input_or_a_failed_export_of_a_rank_is_raised_as_such_and_nothing_is_lost(kind: type[Exception]) -> None:
    failure = task_error(kind("the disk is full"))

    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(kind):
            await learner.export("folder")
        assert not learner.is_lost
        assert await learner.step(BATCH) == RESULT

    play(a_learner(Rank(0, export=failure), Rank(1, export=failure)), steps)


def test_a_checkpoint_has_the_files_of_all_ranks() -> None:
    ranks = Rank(0), Rank(1)

    async def steps(learner: LearnerRanks) -> None:
        await learner.save("folder", policy="policy")
        sums = await learner.saved()
        assert {path: found.size for path, found in sums.items()} == {"rank-0": 0, "rank-1": 1}

    play(a_learner(*ranks), steps)
    assert [rank.heard[1:] for rank in ranks] == [[("save", "folder", "policy"), ("saved",)]] * 2


def test_a_checkpoint_has_failed_only_when_every_rank_has_ended_and_all_failures_are_told() -> None:
    """Else its folder would be removed while a rank still writes into it."""
    slow, full = asyncio.Event(), WrittenFiles(failure="shard: No space left on device")

    class Slow(Rank):
        async def answer(self, name: str) -> object:
            if name == "saved":
                await slow.wait()
            return await super().answer(name)

    async def steps(learner: LearnerRanks) -> None:
        saved = asyncio.ensure_future(learner.saved())
        assert await learner.step(BATCH) == RESULT  # the ranks are asked for other things meanwhile
        assert not saved.done()
        slow.set()
        with pytest.raises(CheckpointFailed) as failure:
            await saved
        assert str(failure.value) == "shard: No space left on device (rank 0); cut off (rank 1)"
        assert not learner.is_lost

    play(a_learner(Rank(0, saved=full), Slow(1, saved=WrittenFiles(failure="cut off"))), steps)


def test_a_rank_that_dies_while_it_writes_is_lost() -> None:
    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost) as lost:
            await learner.saved()
        assert lost.value.key == "learner-1"
        assert learner.is_lost

    play(a_learner(Rank(0), Rank(1, saved=RayActorError(error_msg="killed"))), steps)


def test_a_lost_learner_refuses_everything_until_other_ranks_are_set_up() -> None:
    async def steps(learner: LearnerRanks) -> None:
        with pytest.raises(LearnerLost):
            await learner.step(BATCH)
        for call in (
            learner.step(BATCH),
            learner.measure(BATCH),
            learner.push_weights(1),
            learner.save("f", policy="p"),
            learner.saved(),
            learner.load("f"),
        ):
            with pytest.raises(LearnerLost) as failure:
                await call
            assert failure.value.key == "learner-1"
        await learner.bring_up()  # raises nothing

        others = Rank(0), Rank(1)
        learner.exchange(others)
        with pytest.raises(LearnerLost) as failure:
            await learner.step(BATCH)
        assert failure.value.key == "learner"
        await learner.setup(ARGUMENTS)
        await learner.load("folder")
        assert await learner.step(BATCH) == RESULT
        assert [call[0] for call in others[1].heard] == ["setup", "load", "step"]

    play(a_learner(Rank(0), Rank(1, step=RayActorError(error_msg="killed"))), steps)
