"""Whether the scoring thread still gets anywhere: a long piece of work is borne, one without an end is not."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from actors.scoring.pulse import ScoringPulse, ScoringStuck
from actors.scoring.queue import Scores, ScoringQueue
from contracts.rollouts import ScoreRequest
from tests.builders import a_score
from tests.fakes.ports import run


@dataclass
class SlowReward:
    """Is done with a group once its gate is open."""

    gate: threading.Event

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        assert self.gate.wait(20)
        return [(a_score(1.0),) for _ in requests]


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


REQUEST = ScoreRequest(
    language="de", question="?", question_en="?", reference="1", responses=("1",), truncated=(False,)
)


def test_work_that_takes_no_longer_than_a_group_may_wait_is_borne_and_what_never_ends_is_not() -> None:
    async def watch() -> None:
        gate, clock = threading.Event(), Clock()
        queue = ScoringQueue(SlowReward(gate), across_groups=False)
        pulse = ScoringPulse(queue, stuck_after_s=300, clock=clock)
        group = asyncio.ensure_future(queue.score(REQUEST, within_s=600))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the thread has it now
        for seconds in (0, 150, 150):
            clock.now += seconds
            pulse.check()
        clock.now += 1
        with pytest.raises(ScoringStuck, match=r"for 301 s, .* 300 s at most \(scorer.timeout_s\)"):
            pulse.check()
        gate.set()
        await group

    run(watch())


def test_a_thread_that_answers_may_be_watched_for_ever() -> None:
    async def watch() -> None:
        gate, clock = threading.Event(), Clock()
        gate.set()
        queue = ScoringQueue(SlowReward(gate), across_groups=False)
        pulse = ScoringPulse(queue, stuck_after_s=1, clock=clock)
        for _ in range(20):
            pulse.check()
            await asyncio.sleep(0)  # the question is on its way
            await queue.run(lambda: None)  # behind it: it has been answered
            clock.now += 100

    run(watch())
