"""Test which scorer gets which group, and what happens when a scorer fails, dies or is silent."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from contracts.errors import FleetLost
from contracts.rollouts import Score, Unscored
from tests.builders import a_score_request
from tests.fakes.clock import LoopClock
from tests.fakes.ports import run
from tests.fakes.remote import task_error
from tests.fakes.scorers import FakeScorer, a_pool

Scores = tuple[Score | Unscored, ...]


def rewards(scores: Scores) -> list[float | str]:
    return [score.reward if isinstance(score, Score) else score.reason for score in scores]


# --- who is asked -----------------------------------------------------------------------------------------------------


def test_the_least_loaded_scorer_takes_the_next_group() -> None:
    async def watch() -> None:
        gate = asyncio.Event()
        busy, free = FakeScorer(0.1, gate=gate), FakeScorer(0.2)
        pool = a_pool(busy, free)
        waiting = asyncio.ensure_future(pool.score(a_score_request()))
        await asyncio.sleep(0)
        for _ in range(3):
            assert rewards(await pool.score(a_score_request())) == [0.2, 0.2]
        gate.set()
        assert rewards(await waiting) == [0.1, 0.1]
        assert (busy.num_asked, free.num_asked) == (1, 3)

    run(watch())


def test_idle_scorers_take_turns() -> None:
    async def watch() -> None:
        scorers = [FakeScorer(), FakeScorer(), FakeScorer()]
        pool = a_pool(*scorers)
        for _ in range(6):
            await pool.score(a_score_request())
        assert [scorer.num_asked for scorer in scorers] == [2, 2, 2]

    run(watch())


def test_groups_that_are_scored_at_the_same_time_are_no_retries() -> None:
    async def watch() -> None:
        pool = a_pool(FakeScorer(), FakeScorer())
        await asyncio.gather(*(pool.score(a_score_request()) for _ in range(6)))
        assert (await pool.stats())["retries"] == 0

    run(watch())


# --- trying again -----------------------------------------------------------------------------------------------------


def test_a_group_that_fails_is_tried_again_by_another_scorer() -> None:
    async def watch() -> None:
        weak, strong = FakeScorer(0.1, always=task_error(MemoryError("no room"))), FakeScorer(0.2)
        pool = a_pool(weak, strong)
        assert rewards(await pool.score(a_score_request())) == [0.2, 0.2]
        assert (weak.num_asked, strong.num_asked) == (1, 1)
        assert (await pool.stats())["retries"] == 1

    run(watch())


def test_a_group_is_not_tried_again_by_the_scorer_that_failed_it_though_the_other_has_more_to_do() -> None:
    async def watch() -> None:
        gate = asyncio.Event()
        busy, weak = FakeScorer(0.1, gate=gate), FakeScorer(0.2, always=task_error(ValueError("again")))
        pool = a_pool(busy, weak)
        waiting = asyncio.ensure_future(pool.score(a_score_request()))
        await asyncio.sleep(0)
        group = asyncio.ensure_future(pool.score(a_score_request()))
        while busy.num_asked < 2:
            await asyncio.sleep(0)
        gate.set()
        assert [rewards(await waiting), rewards(await group)] == [[0.1, 0.1]] * 2
        assert weak.num_asked == 1

    run(watch())


def test_the_only_scorer_is_tried_again_itself() -> None:
    scorer = FakeScorer(0.1, failures=[task_error(ValueError("once"))])
    assert rewards(run(a_pool(scorer).score(a_score_request()))) == [0.1, 0.1]


def test_a_group_that_fails_every_time_is_unscored_and_never_worth_nothing() -> None:
    async def watch() -> None:
        scorer = FakeScorer(always=task_error(ValueError("the encoder is broken")))
        pool = a_pool(scorer, attempts=3)
        scores = await pool.score(a_score_request("x", "x", "x"))
        wanted = Unscored(
            reason="scorer failed: ValueError", detail="scorer-0 failed: ValueError: the encoder is broken"
        )
        assert scores == (wanted,) * 3
        assert scorer.num_asked == 3
        stats = await pool.stats()
        assert (stats["retries"], stats["given_up"]) == (2, 1)

    run(watch())


def test_one_attempt_is_one_attempt() -> None:
    scorer, other = FakeScorer(failures=[task_error(ValueError("once"))]), FakeScorer()
    assert rewards(run(a_pool(scorer, other, attempts=1).score(a_score_request()))) == ["scorer failed: ValueError"] * 2
    assert other.num_asked == 0


def test_no_attempt_begins_after_the_deadline() -> None:
    """The pause before the second attempt, an hour, would end behind it: the group is given up at once."""
    scorer = FakeScorer(always=task_error(ValueError("again")))
    scores = run(a_pool(scorer, timeout_s=60, backoff_s=3600).score(a_score_request()))
    assert rewards(scores) == ["scorer failed: ValueError"] * 2
    assert scorer.num_asked == 1


def test_every_attempt_says_how_long_the_group_may_still_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> None:
        scorer = FakeScorer(failures=[task_error(ValueError("once"))], clock=LoopClock(monkeypatch), takes_s=4)
        await a_pool(scorer, timeout_s=10).score(a_score_request())
        assert scorer.allowed_s == pytest.approx([10, 6])

    run(watch())


def test_pauses_between_attempts_are_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    run(a_pool(FakeScorer(always=task_error(ValueError("again"))), attempts=4, backoff_s=0.5).score(a_score_request()))
    assert pauses == [0.5, 1.0, 2.0]


# --- dead, unreachable, silent ----------------------------------------------------------------------------------------


def test_the_group_of_a_scorer_that_died_goes_to_another_and_the_dead_one_is_asked_no_more() -> None:
    async def watch() -> None:
        dead, alive = FakeScorer(0.1, always=ActorDiedError()), FakeScorer(0.2)
        pool = a_pool(dead, alive, backoff_s=3600)  # nothing waits for a dead one
        for _ in range(4):
            assert rewards(await pool.score(a_score_request())) == [0.2, 0.2]
        assert (dead.num_asked, alive.num_asked) == (1, 4)

    run(watch())


def test_a_run_without_a_living_scorer_has_failed() -> None:
    async def watch() -> None:
        pool = a_pool(FakeScorer(always=ActorDiedError()), FakeScorer(always=ActorDiedError()))
        for _ in range(2):
            with pytest.raises(FleetLost) as failure:
                await pool.score(a_score_request())
            assert failure.value.key == "scorer"

    run(watch())


def test_a_silent_scorer_leaves_its_group_unscored_and_others_are_asked_until_it_answers() -> None:
    async def watch() -> None:
        gate = asyncio.Event()
        silent, other = FakeScorer(0.1, gate=gate), FakeScorer(0.2)
        pool = a_pool(silent, other, timeout_s=0.01)
        assert (
            await pool.score(a_score_request())
            == (Unscored(reason="scorer timed out", detail="scorer-0 gave no answer in 0.01 s"),) * 2
        )
        for _ in range(3):
            assert rewards(await pool.score(a_score_request())) == [0.2, 0.2]
        gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert {*rewards(await pool.score(a_score_request())), *rewards(await pool.score(a_score_request()))} == {
            0.1,
            0.2,
        }

    run(watch())


def test_a_failure_after_the_deadline_is_ignored_without_a_complaint_of_asyncio() -> None:
    complaints: list[dict[str, object]] = []

    async def watch() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        gate = asyncio.Event()
        pool = a_pool(FakeScorer(gate=gate, too_late=task_error(ValueError("too late"))), timeout_s=0.01)
        assert rewards(await pool.score(a_score_request())) == ["scorer timed out"] * 2
        gate.set()
        await asyncio.sleep(0)

    run(watch())
    assert complaints == []


# --- counters ---------------------------------------------------------------------------------------------------------


def test_counters_are_summed_and_those_of_a_dead_scorer_still_count() -> None:
    async def watch() -> None:
        first = FakeScorer(counters={"texts": 5.0, "queue_depth": 1.0, "queue_depth_max": 2.0})
        second = FakeScorer(counters={"texts": 7.0, "queue_depth": 3.0, "queue_depth_max": 4.0})
        pool = a_pool(first, second)
        total = {"texts": 12.0, "queue_depth": 4.0, "queue_depth_max": 6.0, "retries": 0.0, "given_up": 0.0}
        assert await pool.stats() == total
        second.always = ActorDiedError()
        assert await pool.stats() == total | {"queue_depth": 1.0, "queue_depth_max": 2.0}

    run(watch())


def test_take_stats_returns_what_happened_since_the_last_call() -> None:
    async def watch() -> None:
        scorer = FakeScorer(counters={"texts": 8.0, "batches": 1.0})
        pool = a_pool(scorer)
        assert (await pool.take_stats())["scorer/batch_size"] == 8.0
        scorer.counters = {"texts": 12.0, "batches": 3.0}
        scorer.failures = [task_error(ValueError("once"))]
        await pool.score(a_score_request())
        assert await pool.take_stats() == {
            "scorer/batch_size": 2.0,  # 4 more texts in 2 more batches
            "scorer/retries": 1.0,
            "scorer/given_up": 0.0,
        }

    run(watch())
