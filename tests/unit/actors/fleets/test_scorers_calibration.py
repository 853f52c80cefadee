"""Test comparisons for a calibration, one call a scorer, and sending the calibration to every scorer."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError

from actors.fleets.pool import Unanswered
from contracts.errors import RunFailed
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair
from tests.builders import a_score_request
from tests.fakes.clock import LoopClock
from tests.fakes.ports import run
from tests.fakes.remote import task_error
from tests.fakes.scorers import FakeScorer, a_pool

PAIR = ReasoningPair(language="de", reasoning="x", reference="y")
CALIBRATION = Calibration(similarity="similarity", data="data", languages={})


def test_similarities_and_the_fingerprint_come_from_any_scorer_with_the_same_patience() -> None:
    async def watch() -> None:
        pool = a_pool(FakeScorer(always=ActorDiedError()), FakeScorer(0.7))
        assert await pool.similarities([PAIR, PAIR]) == [0.7, 0.7]
        assert await pool.similarity_fingerprint() == "similarity"

    run(watch())


def test_similarities_that_no_scorer_gives_end_the_run() -> None:
    pool = a_pool(FakeScorer(always=task_error(ValueError("no encoder"))))
    with pytest.raises(Unanswered) as failure:
        run(pool.similarities([PAIR]))
    assert (failure.value.key, failure.value.failure.kind) == ("scorer-0", "failed: ValueError")


def test_translations_come_from_any_scorer_and_end_the_command_where_none_gives_them() -> None:
    pool = a_pool(FakeScorer(always=ActorDiedError()), FakeScorer())
    found = run(pool.translate(["eins", "zwei"], source="de", target="en"))
    assert found == ["de to en: eins", "de to en: zwei"]
    with pytest.raises(Unanswered) as failure:
        run(
            a_pool(FakeScorer(always=task_error(ValueError("no such language")))).translate(
                ["x"], source="de", target="en"
            )
        )
    assert failure.value.failure.kind == "failed: ValueError"


def test_as_many_comparisons_are_under_way_as_scorers_live() -> None:
    async def watch() -> None:
        scorers = [FakeScorer(0.1), FakeScorer(0.2)]
        pool = a_pool(*scorers)
        values = await asyncio.gather(*(pool.similarities([PAIR]) for _ in range(6)))
        assert sorted(values) == [[0.1]] * 3 + [[0.2]] * 3
        assert [scorer.most_comparing for scorer in scorers] == [1, 1]

    run(watch())


def test_when_a_scorer_dies_the_others_take_its_comparisons_one_at_a_time() -> None:
    async def watch() -> None:
        dead, alive = FakeScorer(always=ActorDiedError()), FakeScorer(0.2)
        pool = a_pool(dead, alive)
        await pool.score(a_score_request())
        assert await asyncio.gather(*(pool.similarities([PAIR]) for _ in range(5))) == [[0.2]] * 5
        assert (alive.num_asked, alive.most_comparing) == (6, 1)

    run(watch())


def test_the_deadline_of_a_comparison_begins_when_it_is_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes four of its six seconds: the third would begin too late if the first one's were its own."""

    async def watch() -> None:
        pool = a_pool(FakeScorer(0.1, clock=LoopClock(monkeypatch), takes_s=4), timeout_s=6)
        assert await asyncio.gather(*(pool.similarities([PAIR]) for _ in range(4))) == [[0.1]] * 4

    run(watch())


def test_a_comparison_that_fails_or_is_cancelled_leaves_its_turn_to_the_next() -> None:
    async def watch() -> None:
        gate = asyncio.Event()
        scorer = FakeScorer(0.1, gate=gate)
        pool = a_pool(scorer, attempts=1)
        given_up = asyncio.ensure_future(pool.similarities([PAIR]))
        waits = asyncio.ensure_future(pool.similarities([PAIR]))
        while not scorer.num_comparing:
            await asyncio.sleep(0)
        given_up.cancel()
        gate.set()
        assert await waits == [0.1]
        scorer.failures = [task_error(ValueError("once"))]
        failed, good = await asyncio.gather(
            pool.similarities([PAIR]), pool.similarities([PAIR]), return_exceptions=True
        )
        assert isinstance(failed, RunFailed)
        assert good == [0.1]

    run(watch())


def test_every_living_scorer_takes_the_calibration() -> None:
    async def watch() -> None:
        dead, first, second = FakeScorer(always=ActorDiedError()), FakeScorer(), FakeScorer()
        pool = a_pool(dead, first, second)
        await pool.score(a_score_request())
        await pool.use_calibration(CALIBRATION)
        assert (dead.calibrations, first.calibrations, second.calibrations) == ([], [CALIBRATION], [CALIBRATION])

    run(watch())


def test_a_scorer_without_the_calibration_ends_the_run() -> None:
    pool = a_pool(FakeScorer(), FakeScorer(always=task_error(ValueError("another similarity"))))
    with pytest.raises(RunFailed) as failure:
        run(pool.use_calibration(CALIBRATION))
    assert failure.value.key == "scorer-1"
