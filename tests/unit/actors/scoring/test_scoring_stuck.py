"""Test whether the scoring thread still makes progress: work may take long, but not for ever."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from actors.scoring.queue import Scores, ScoringQueue, ScoringStuck
from contracts.rollouts import ScoreRequest
from tests.builders import a_score, a_score_request
from tests.fakes.clock import Clock
from tests.fakes.ports import run
from tests.refusals import raised


@dataclass
class SlowReward:
    """Score a group once its gate is open."""

    gate: threading.Event

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        assert self.gate.wait(20)
        return [(a_score(1.0),) for _ in requests]


REQUEST = a_score_request("1")


def test_work_may_take_as_long_as_a_group_may_wait_and_no_longer() -> None:
    async def watch() -> None:
        gate, clock = threading.Event(), Clock()
        queue = ScoringQueue(SlowReward(gate), across_groups=False, stuck_after_s=300, clock=clock)
        group = asyncio.ensure_future(queue.score(REQUEST, within_s=600))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the thread has it now
        for seconds in (0, 150, 150):
            clock.now += seconds
            queue.check_progress()
        clock.now += 1
        with raised(ScoringStuck, " 301 s", " 300 s"):
            queue.check_progress()
        gate.set()
        await group

    run(watch())


def test_a_thread_that_answers_is_never_stuck() -> None:
    async def watch() -> None:
        gate, clock = threading.Event(), Clock()
        gate.set()
        queue = ScoringQueue(SlowReward(gate), across_groups=False, stuck_after_s=1, clock=clock)
        for _ in range(20):
            queue.check_progress()
            await asyncio.sleep(0)  # the question is on its way
            await queue.run(lambda: None)  # behind it: it has been answered
            clock.now += 100

    run(watch())
