"""Test scorers that are monitored and replaced: their groups, calibration and counters."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.worker import WorkerState
from contracts.errors import FleetLost
from contracts.rollouts import Score, Unscored
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair
from tests.builders import a_score_request
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.remote import task_error, unavailable
from tests.fakes.scorers import FakeScorer, ScorerRole

PAIR = ReasoningPair(language="de", reasoning="x", reference="y")
FIRST, SECOND = (Calibration(similarity=name, data="data", languages={}) for name in ("first", "second"))


def dead() -> FakeScorer:
    """Return a scorer that dies of its first group."""
    return FakeScorer(always=ActorDiedError())


def rewards(scores: tuple[Score | Unscored, ...]) -> list[float | str]:
    return [score.reward if isinstance(score, Score) else score.reason for score in scores]


def opened(test: Callable[[ScorerRole], Coroutine[object, object, None]], watch: Callable[[], ScorerRole]) -> None:
    async def bounded() -> None:
        seen = watch()
        await seen.supervisor.open()
        try:
            await test(seen)
        finally:
            await seen.supervisor.close()

    run(bounded())


def test_the_only_scorer_dies_and_its_group_waits_for_the_next() -> None:
    async def watch(seen: ScorerRole) -> None:
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await settle()
        assert not group.done()
        await seen.time.advance(1)  # the pause before the first restart
        assert rewards(await group) == [0.2, 0.2]
        assert (await seen.pool.stats())["retries"] == 1

    opened(watch, lambda: ScorerRole([dead(), FakeScorer(0.2)]))


def test_a_hanging_scorer_is_found_by_its_heartbeats_and_its_groups_go_to_another_at_once() -> None:
    """It is asked in second 1: its two seconds of silence in second 3 make it suspect, four in second 5 dead."""
    hanging, other = FakeScorer(0.1), FakeScorer(0.2)

    async def watch(seen: ScorerRole) -> None:
        hanging.is_hanging = True
        groups = [asyncio.ensure_future(seen.pool.score(a_score_request())) for _ in range(4)]
        await seen.time.advance(3)
        assert seen.supervisor.workers[0].state is WorkerState.SUSPECT
        assert [group.done() for group in groups].count(True) == 2
        assert rewards(await seen.pool.score(a_score_request())) == [
            0.2,
            0.2,
        ]  # nothing new for it, though it was its turn
        await seen.time.advance(2)
        assert [rewards(await group) for group in groups] == [[0.2, 0.2]] * 4
        assert seen.killed == [hanging]
        await seen.time.advance(1)
        assert len(seen.supervisor.serving()) == 2

    opened(watch, lambda: ScorerRole([hanging, FakeScorer(0.3)], [other]))


def test_a_scorer_that_can_not_be_reached_is_asked_again_once_it_answers_heartbeats() -> None:
    scorer = FakeScorer(0.1, failures=[unavailable()], is_out_of_reach=True)

    async def watch(seen: ScorerRole) -> None:
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await settle()
        assert seen.supervisor.workers[0].state is WorkerState.SUSPECT
        await seen.time.advance(2)
        assert not group.done()
        scorer.is_out_of_reach = False
        await seen.time.advance(1)
        assert rewards(await group) == [0.1, 0.1]
        assert seen.killed == []

    opened(watch, lambda: ScorerRole([scorer]))


def test_a_group_that_kills_every_scorer_is_unscored_after_its_attempts_and_the_run_goes_on() -> None:
    async def watch(seen: ScorerRole) -> None:
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await seen.time.advance(3)  # the second one dies in second 1, its successor comes two seconds later
        assert rewards(await group) == ["scorer died", "scorer died"]
        assert rewards(await seen.pool.score(a_score_request())) == [0.3, 0.3]

    opened(watch, lambda: ScorerRole([dead(), dead(), FakeScorer(0.3)], attempts=2))


def test_scorers_that_spend_their_restarts_end_the_run_and_each_is_named_with_why() -> None:
    async def watch(seen: ScorerRole) -> None:
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await seen.time.advance(1)
        for call in (group, seen.pool.similarity_fingerprint()):
            with pytest.raises(FleetLost) as failure:
                await call
            assert failure.value.key == "scorer"

    opened(watch, lambda: ScorerRole([dead(), dead()], max_restarts=1))


def test_a_group_without_a_ready_scorer_until_its_deadline_is_unscored() -> None:
    async def watch(seen: ScorerRole) -> None:
        assert (
            rewards(await seen.pool.score(a_score_request())) == ["scorer died"] * 2
        )  # no time passes: none comes back
        wanted = Unscored(reason="scorer timed out", detail="no scorer was ready in 0.01 s")
        assert await seen.pool.score(a_score_request()) == (wanted,) * 2

    opened(watch, lambda: ScorerRole([dead(), FakeScorer()], timeout_s=0.01))


def test_a_restarted_scorer_has_the_calibration_before_its_first_group() -> None:
    second = FakeScorer(0.2)

    async def watch(seen: ScorerRole) -> None:
        await seen.pool.use_calibration(FIRST)
        seen.supervisor.workers[0].handle.always = ActorDiedError()
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        second.takes_calibration = asyncio.Event()
        await seen.time.advance(1)
        assert not group.done()
        assert seen.supervisor.workers[0].state is WorkerState.RESTARTING
        second.takes_calibration.set()
        assert rewards(await group) == [0.2, 0.2]
        assert second.calibrations == [FIRST]

    opened(watch, lambda: ScorerRole([FakeScorer(0.1), second]))


def test_a_calibration_that_comes_while_a_scorer_takes_another_is_taken_too_before_it_serves() -> None:
    first, second = FakeScorer(0.1), FakeScorer(0.2)

    async def watch(seen: ScorerRole) -> None:
        await seen.pool.use_calibration(FIRST)
        first.always = ActorDiedError()
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        second.takes_calibration = asyncio.Event()
        await seen.time.advance(1)
        await seen.pool.use_calibration(SECOND)
        second.takes_calibration.set()
        await group
        assert second.calibrations == [FIRST, SECOND]

    opened(watch, lambda: ScorerRole([first, second]))


def test_a_scorer_that_can_not_be_given_the_calibration_is_started_again_with_it() -> None:
    first, second = FakeScorer(0.1, failures=[unavailable()]), FakeScorer(0.2)

    async def watch(seen: ScorerRole) -> None:
        await seen.pool.use_calibration(FIRST)
        await seen.time.advance(1)
        assert rewards(await seen.pool.score(a_score_request())) == [0.2, 0.2]
        assert (seen.killed, second.calibrations) == ([first], [FIRST])

    opened(watch, lambda: ScorerRole([first, second]))


def test_a_restarted_scorer_that_refuses_the_calibration_does_not_serve() -> None:
    refusing, third = FakeScorer(0.2, failures=[task_error(ValueError("another similarity"))]), FakeScorer(0.3)

    async def watch(seen: ScorerRole) -> None:
        await seen.pool.use_calibration(FIRST)
        seen.supervisor.workers[0].handle.always = ActorDiedError()
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await seen.time.advance(3)
        assert rewards(await group) == [0.3, 0.3]
        assert any("another similarity" in detail for _, _, detail in seen.events)

    opened(watch, lambda: ScorerRole([FakeScorer(0.1), refusing, third]))


def test_counters_of_all_processes_add_up_whatever_became_of_them() -> None:
    first = FakeScorer(counters={"texts": 5.0, "queue_depth": 1.0})
    second = FakeScorer(counters={"texts": 2.0, "queue_depth": 3.0})

    async def watch(seen: ScorerRole) -> None:
        assert (await seen.pool.stats())["texts"] == 5
        first.always = ActorDiedError()
        group = asyncio.ensure_future(seen.pool.score(a_score_request()))
        await seen.time.advance(1)
        await group
        stats = await seen.pool.stats()
        assert (stats["texts"], stats["queue_depth"]) == (7, 3)

    opened(watch, lambda: ScorerRole([first, second]))


def test_comparisons_that_wait_their_turn_use_a_scorer_that_comes_back() -> None:
    first, second, other = dead(), FakeScorer(0.2), FakeScorer(0.3)

    async def watch(seen: ScorerRole) -> None:
        await seen.pool.score(a_score_request())
        assert len(seen.supervisor.serving()) == 1
        gate = other.gate = second.gate = asyncio.Event()
        comparisons = [asyncio.ensure_future(seen.pool.similarities([PAIR])) for _ in range(4)]
        await seen.time.advance(1)
        assert (second.num_comparing, other.num_comparing) == (1, 1)
        gate.set()
        assert sorted(await asyncio.gather(*comparisons)) == [[0.2]] * 2 + [[0.3]] * 2

    opened(watch, lambda: ScorerRole([first, second], [other]))
