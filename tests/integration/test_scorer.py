"""Real scorer actors on a tiny encoder: what comes back through Ray, and what a dead one costs.

The encoder knows nothing, so only what does not depend on what a text means is looked at here.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import ray

from actors.fleets.scorers import ScorerPool
from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.remote.calls import ready
from actors.remote.process import RemoteActor
from actors.scorer import ScorerWorker
from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from cluster.launch import start_actor
from contracts.config.reward import (
    CometConfig,
    CustomRewardConfig,
    EmbeddingReasoning,
    RewardConfig,
    RewardWeights,
    ScorerConfig,
    TranslatorConfig,
)
from contracts.config.workers import FleetConfig
from contracts.errors import FleetLost
from contracts.rollouts import ParallelSolution, Score, ScoreRequest, Unscored
from rewards.calibration import Calibration, LanguageScale, Spread, calibration_pairs
from tests.integration.conftest import TinyModels
from tests.runs.own_ray import a_layout, own_bundles

NUM_SCORERS = 2
GROUP_SIZE = 8
ANIMALS = ("Hunde", "Katzen", "Pferde", "Hasen", "Enten", "Ziegen", "Schafe", "Gänse")
CUSTOM = """
def reward(request):
    if "Panik" in request.question:
        raise ValueError("the user's own mistake")
    return [0.25] * len(request.responses)
"""

Ask = Callable[["Scorers"], Awaitable[object]]
Start = Callable[[], RemoteActor]


def a_request(number: int, *, question: str = "Wie viele Tiere sind es zusammen?") -> ScoreRequest:
    """Eight different German solutions that pass every gate; the first has the pivot's answer."""
    start = 10 * number + 3
    return ScoreRequest(
        language="de",
        question=question,
        question_en="How many animals are there in all?",
        reference=(
            f"There are {start} animals on the farm in the morning, and {start} more of them come in the evening. "
            f"So there are {2 * start} animals on the farm at night.\nThe answer is {2 * start}."
        ),
        responses=tuple(
            f"Am Morgen sind {start} {animal} auf dem Hof, und am Abend kommen noch einmal {start + place} dazu. "
            f"In der Nacht sind also {2 * start + place} {animal} auf dem Hof.\nDie Antwort ist {2 * start + place}."
            for place, animal in enumerate(ANIMALS)
        ),
        truncated=(False,) * GROUP_SIZE,
    )


def a_setup(models: TinyModels, *, across_groups: bool = False, calibration: str = "off") -> RewardSetup:
    return RewardSetup(
        scorer=ScorerConfig(
            model=str(models.encoder), text_prefix="", num_workers=NUM_SCORERS, batch_across_groups=across_groups
        ),
        reward=RewardConfig(
            weights=RewardWeights(answer=0.6, reasoning=0.2, numbers=0.1, custom=0.1),
            reasoning=EmbeddingReasoning(unit="text", calibration=calibration, low=-1, high=1),
            custom=CustomRewardConfig(path="/nowhere/mine.py"),
        ),
        comet=CometConfig(),
        translator=TranslatorConfig(),
        languages=("de",),
        custom_source=CUSTOM,
    )


def a_calibration(similarity: str) -> Calibration:
    spread = Spread(mean=0.5, sd=0.1, num=8)
    spreads = {"faithful": spread, "question": spread, "unrelated": spread}
    scale = LanguageScale(floor=-1, half=0.5, half_over_question=0.5, **spreads)
    return Calibration(similarity=similarity, data="hand-made", languages={"de": scale})


@dataclass(frozen=True)
class Scorers:
    workers: list[RemoteActor]
    pool: ScorerPool


@pytest.fixture(scope="module")
def starts(environment: dict[str, str]) -> Iterator[Callable[[RewardSetup], list[Start]]]:
    """Return how to start each scorer of a setup, in its bundle of a Ray that this process started."""
    layout = a_layout("scorer", NUM_SCORERS, cpus=0.1)
    with own_bundles(layout, environment) as bundles:
        yield lambda setup: [
            lambda at=at: start_actor(ScorerWorker, at, bundles, (setup, "cpu")) for at in layout.placements
        ]


@pytest.fixture(scope="module")
def place(starts: Callable[[RewardSetup], list[Start]]) -> Callable[[RewardSetup], list[RemoteActor]]:
    """Start the scorers of a setup."""
    return lambda setup: [start() for start in starts(setup)]


@contextmanager
def started(place: Callable[[RewardSetup], list[RemoteActor]], setup: RewardSetup) -> Iterator[list[RemoteActor]]:
    workers = place(setup)
    try:
        yield workers
    finally:
        for worker in workers:
            ray.kill(worker)


def asked(workers: list[RemoteActor], ask: Ask) -> object:
    async def loaded() -> object:
        await ready([f"scorer-{index}" for index in range(len(workers))], workers)
        supervisor = Supervisor.of_loaded("scorer", workers)
        return await ask(Scorers(workers, ScorerPool(supervisor, timeout_s=120, backoff_s=0)))

    return asyncio.run(loaded())


def test_scores_counters_and_the_users_mistakes_come_back_through_ray(
    place: Callable[[RewardSetup], list[RemoteActor]], tiny_models: TinyModels
) -> None:
    setup = a_setup(tiny_models)
    requests = [*(a_request(number) for number in range(5)), a_request(9, question="Panik?")]

    async def ask(scorers: Scorers) -> None:
        *good, bad = await asyncio.gather(*(scorers.pool.score(request) for request in requests))
        here = LoadedReward(setup, "cpu").reward.score(requests[:-1])
        for mine, theirs in zip(here, good, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                assert isinstance(one, Score) and isinstance(other, Score)
                assert all(other.gates.values()), other
                assert other.reward == pytest.approx(one.reward, abs=1e-6)
                assert other.parts["custom"] == 0.25
        assert [score.parts["answer"] for score in good[0] if isinstance(score, Score)] == [1.0] + [0.0] * 7
        for score in bad:
            assert isinstance(score, Unscored)
            assert score.reason == "custom reward failed: ValueError"
            assert 'raise ValueError("the user\'s own mistake")' in score.detail

        stats = await scorers.pool.stats()
        assert (stats["groups"], stats["texts"], stats["retries"], stats["failures"]) == (6, 48, 0, 0)
        assert stats["encoded"] <= 5 * (GROUP_SIZE + 1)  # of the group that stays unscored nothing is encoded
        assert stats["truncated_tokens"] == 0
        assert stats["queue_depth"] == 0
        metrics = await scorers.pool.take_stats()
        assert metrics["scorer/batch_size"] == 8
        assert metrics["scorer/texts_per_s"] > 0

    with started(place, setup) as workers:
        asked(workers, ask)


def test_a_group_whose_scorer_dies_is_scored_by_the_other_and_without_any_the_run_has_failed(
    place: Callable[[RewardSetup], list[RemoteActor]], tiny_models: TinyModels
) -> None:
    async def ask(scorers: Scorers) -> None:
        first, second = scorers.workers
        ray.kill(first)
        groups = await asyncio.gather(*(scorers.pool.score(a_request(number)) for number in range(4)))
        assert all(isinstance(score, Score) for group in groups for score in group)
        assert (await scorers.pool.stats())["retries"] >= 1
        ray.kill(second)
        with pytest.raises(FleetLost) as failure:
            await scorers.pool.score(a_request(0))
        assert failure.value.key == "scorer"

    with started(place, a_setup(tiny_models)) as workers:
        asked(workers, ask)


def test_a_group_that_may_wait_no_longer_is_not_scored(
    place: Callable[[RewardSetup], list[RemoteActor]], tiny_models: TinyModels
) -> None:
    async def ask(scorers: Scorers) -> None:
        with pytest.raises(TimeoutError):
            await scorers.workers[0].score.remote(a_request(0), within_s=0.0)
        assert all(isinstance(score, Score) for score in await scorers.pool.score(a_request(0)))
        metrics = await scorers.pool.take_stats()
        assert (metrics["scorer/expired"], metrics["scorer/failures"]) == (1, 0)

    with started(place, a_setup(tiny_models)) as workers:
        asked(workers, ask)


def test_across_groups_the_scores_are_the_same_up_to_rounding(
    place: Callable[[RewardSetup], list[RemoteActor]], tiny_models: TinyModels
) -> None:
    setup = a_setup(tiny_models, across_groups=True)
    requests = [a_request(number) for number in range(6)]

    async def ask(scorers: Scorers) -> None:
        groups = await asyncio.gather(*(scorers.pool.score(request) for request in requests))
        here = LoadedReward(setup, "cpu").reward.score(requests)
        rewards = [[score.reward for score in group if isinstance(score, Score)] for group in groups]
        assert rewards == [
            pytest.approx([score.reward for score in group if isinstance(score, Score)], abs=1e-5) for group in here
        ]
        assert all(len(group) == GROUP_SIZE for group in rewards)
        assert (await scorers.pool.stats())["batches"] < 6

    with started(place, setup) as workers:
        asked(workers, ask)


def test_nothing_is_scored_before_every_scorer_has_the_calibration_of_its_judge(
    place: Callable[[RewardSetup], list[RemoteActor]], tiny_models: TinyModels
) -> None:
    solution = ParallelSolution(
        item_id="a",
        language="de",
        question="Wie viele Tiere sind es?",
        solution="Am Morgen sind es 3 Tiere.\nDie Antwort ist 3.",
        question_en="How many animals are there?",
        solution_en="There are 3 animals in the morning.\nThe answer is 3.",
    )

    async def ask(scorers: Scorers) -> None:
        pairs = calibration_pairs([solution])
        values = await scorers.pool.similarities(pairs)
        here = LoadedReward(a_setup(tiny_models), "cpu").reward
        assert values == pytest.approx(here.similarities(pairs).tolist(), abs=1e-6)
        assert np.isfinite(values).all()
        fingerprint = await scorers.pool.similarity_fingerprint()
        assert fingerprint == here.fingerprint

        early = await scorers.pool.score(a_request(0))
        assert {score.reason for score in early if isinstance(score, Unscored)} == {"scorer failed: RuntimeError"}
        await scorers.pool.use_calibration(a_calibration(fingerprint))
        for number in range(NUM_SCORERS):  # by turns
            assert all(isinstance(score, Score) for score in await scorers.pool.score(a_request(number)))

    with started(place, a_setup(tiny_models, calibration="auto")) as workers:
        asked(workers, ask)


def test_a_scorer_that_hangs_is_found_ended_and_replaced_and_the_next_one_scores_by_the_same_calibration(
    starts: Callable[[RewardSetup], list[Start]], tiny_models: TinyModels
) -> None:
    """SIGSTOP: the process neither dies nor answers. SIGKILL: it is gone. No caller waits for the deadline."""
    # A scorer on a busy machine may well say nothing for some seconds.
    rules = FleetConfig(heartbeat_s=0.5, suspect_after_s=6, dead_after_s=15, max_restarts=3, backoff_s=0.1)
    states: list[str] = []
    config = WorkerPoolConfig(
        role="scorer",
        rules=rules,
        start_timeout_s=120,
        on_event=lambda _, reason, __: states.append(reason.split()[-1]),
    )

    async def watch() -> None:
        supervisor = Supervisor(config)
        pool = ScorerPool(supervisor, timeout_s=600)
        worker = supervisor.add(starts(a_setup(tiny_models, calibration="auto"))[0])
        await supervisor.open()
        try:
            await pool.use_calibration(a_calibration(await pool.similarity_fingerprint()))
            before = await pool.score(a_request(0))
            assert all(isinstance(score, Score) for score in before)
            for blow in (signal.SIGSTOP, signal.SIGKILL):
                assert worker.process is not None
                os.kill(worker.process.pid, blow)
                assert await asyncio.wait_for(pool.score(a_request(0)), 120) == before
            assert states == ["ready", "suspect", "dead", "restarting", "ready", "dead", "restarting", "ready"]
            assert (await pool.stats())["groups"] == 1  # the first two processes were never asked for theirs
        finally:
            await supervisor.close()
            ray.kill(worker.handle)

    asyncio.run(watch())
