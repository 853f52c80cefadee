"""Test which groups are scored together, the effect of a group that breaks its batch, and the counters."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from actors.remote.progress import Progress
from actors.scoring.queue import ScoringQueue, in_thread
from contracts.rollouts import Score, ScoreRequest, Unscored
from tests.builders import a_score, a_score_request
from tests.fakes.ports import run
from tests.refusals import raised


@dataclass
class FakeReward:
    """Score every group of two alike, unless one is called "bad". Wait for the test's permission before that."""

    failure: BaseException = field(default_factory=lambda: ValueError("a bad group"))
    allowed: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Score | Unscored, ...]]:
        assert self.allowed.wait(20)
        names = [request.question for request in requests]
        self.batches.append(names)
        if "bad" in names:
            raise self.failure
        return [(a_score(0.5),) * len(request.responses) for request in requests]


async def score_all(
    queue: ScoringQueue, reward: FakeReward, *names: str
) -> list[tuple[Score | Unscored, ...] | BaseException]:
    """Queue all groups before the first may be scored; the groups called "late" have no time left for it."""
    tasks = [
        asyncio.ensure_future(queue.score(a_score_request(question=name), within_s=0 if name == "late" else 60))
        for name in names
    ]
    await asyncio.sleep(0)
    reward.allowed.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_groups_are_scored_one_by_one_in_the_order_in_which_they_came() -> None:
    reward = FakeReward()
    queue = ScoringQueue(reward, across_groups=False)
    scores = run(score_all(queue, reward, "a", "b", "c"))
    assert reward.batches == [["a"], ["b"], ["c"]]
    assert scores == [(a_score(0.5), a_score(0.5))] * 3


def test_across_groups_all_that_wait_are_one_batch() -> None:
    reward = FakeReward()
    queue = ScoringQueue(reward, across_groups=True)
    run(score_all(queue, reward, "a", "b", "c"))
    assert reward.batches == [["a", "b", "c"]]


def test_a_group_that_breaks_its_batch_leaves_the_others_their_scores() -> None:
    reward = FakeReward()
    queue = ScoringQueue(reward, across_groups=True)
    first, bad, last = run(score_all(queue, reward, "a", "bad", "c"))
    assert first == last == (a_score(0.5), a_score(0.5))
    assert isinstance(bad, ValueError)
    assert reward.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]


def test_a_group_that_fails_alone_is_not_scored_twice() -> None:
    reward = FakeReward()
    (bad,) = run(score_all(ScoringQueue(reward, across_groups=True), reward, "bad"))
    assert isinstance(bad, ValueError)
    assert reward.batches == [["bad"]]


def test_after_a_failure_the_queue_goes_on() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=False)
        await score_all(queue, reward, "bad")
        assert await queue.score(a_score_request(question="a"), within_s=60) == (a_score(0.5), a_score(0.5))

    run(watch())


ENDINGS = [StopIteration("next"), SystemExit(3), asyncio.CancelledError(), concurrent.futures.CancelledError()]


@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_exceptions_that_asyncio_swallows_are_failures_and_the_queue_goes_on(ending: BaseException) -> None:
    reward = FakeReward(failure=ending)
    bad, good = run(score_all(ScoringQueue(reward, across_groups=False), reward, "bad", "a"))
    assert isinstance(bad, RuntimeError)
    assert str(bad).startswith(type(ending).__name__)
    assert str(bad).endswith(str(ending))
    assert good == (a_score(0.5), a_score(0.5))


def test_an_exception_that_asyncio_swallows_is_a_failure_of_any_work_in_a_thread() -> None:
    with raised(RuntimeError, "StopIteration"):
        run(in_thread(lambda: next(iter(()))))


@pytest.mark.parametrize("across_groups", [False, True])
def test_a_group_whose_turn_comes_too_late_is_not_scored_but_counted(across_groups: bool) -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=across_groups)
        first, late, last = await score_all(queue, reward, "a", "late", "c")
        assert first == last == (a_score(0.5), a_score(0.5))
        assert isinstance(late, TimeoutError)
        assert [name for batch in reward.batches for name in batch] == ["a", "c"]
        stats = queue.stats()
        assert (stats["groups"], stats["expired"], stats["failures"]) == (2, 1, 0)

    run(watch())


def test_a_line_of_nothing_but_late_groups_asks_the_reward_for_nothing() -> None:
    reward = FakeReward()
    outcomes = run(score_all(ScoringQueue(reward, across_groups=True), reward, "late", "late"))
    assert [type(outcome) for outcome in outcomes] == [TimeoutError, TimeoutError]
    assert reward.batches == []


def test_a_group_whose_caller_has_left_is_not_scored() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=False)
        impatient = asyncio.ensure_future(queue.score(a_score_request(question="a"), within_s=60))
        await asyncio.sleep(0)
        impatient.cancel()
        (scores,) = await score_all(queue, reward, "b")
        assert scores == (a_score(0.5), a_score(0.5))
        assert reward.batches == [["b"]]
        assert queue.stats()["expired"] == 1


def test_a_group_whose_caller_leaves_while_it_is_scored_does_no_harm() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=False)
        impatient = asyncio.ensure_future(queue.score(a_score_request(question="a"), within_s=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is in the thread now
        impatient.cancel()
        (scores,) = await score_all(queue, reward, "b")
        assert scores == (a_score(0.5), a_score(0.5))
        assert reward.batches == [["a"], ["b"]]

    run(watch())


def test_progress_counts_responses_and_batches_failed_ones_too_and_the_batch_under_way_as_busy() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=True)
        assert queue.progress() == Progress(work=0, turns=0, busy_s=0)
        await score_all(queue, reward, "a", "bad", "c")
        done = queue.progress()
        assert (done.work, done.turns) == (4, 4)  # all three together, then each by itself
        assert queue.progress() == done  # nothing is being scored
        reward.allowed.clear()
        scoring = asyncio.ensure_future(queue.score(a_score_request(question="d"), within_s=60))
        await asyncio.sleep(0.01)
        assert queue.progress().busy_s > done.busy_s and queue.progress().work == done.work
        reward.allowed.set()
        await scoring

    run(watch())


def test_groups_texts_batches_failures_and_the_depth_of_the_line_are_counted() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=True)
        await score_all(queue, reward, "a", "bad", "c")
        stats = queue.stats()
        assert {name: stats[name] for name in ("groups", "texts", "batches", "failures")} == {
            "groups": 2,
            "texts": 4,
            "batches": 2,  # "a" and "c", each by itself
            "failures": 1,
        }
        assert (stats["queue_depth"], stats["queue_depth_max"]) == (0, 3)
        assert queue.stats()["queue_depth_max"] == 0  # since it was last asked
        assert stats["latency_s"] >= 0 and stats["busy_s"] >= 0

    run(watch())


def test_other_work_waits_for_the_group_that_is_being_scored() -> None:
    async def watch() -> None:
        reward = FakeReward()
        queue = ScoringQueue(reward, across_groups=False)
        scoring = asyncio.ensure_future(queue.score(a_score_request(question="a"), within_s=60))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(queue.run(lambda: list(reward.batches)))
        await asyncio.sleep(0)
        reward.allowed.set()
        assert await other == [["a"]]
        await scoring

    run(watch())


def test_a_reward_that_gives_too_few_groups_is_an_error_and_no_wait_for_ever() -> None:
    class Forgetful(FakeReward):
        def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Score | Unscored, ...]]:
            return super().score(requests)[1:]

    reward = Forgetful()
    (outcome,) = run(score_all(ScoringQueue(reward, across_groups=False), reward, "a"))
    assert isinstance(outcome, ValueError)
    assert "0 groups" in str(outcome)
