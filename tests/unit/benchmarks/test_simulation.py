"""Test the simulated engines of the benchmarks: slots, versions, and whole runs of the driver in simulated time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from benchmarks.simulation import SimulatedGenerator, SimulatedLearner, Stage
from benchmarks.streaming import over_slowest
from contracts.rollouts import SamplingRequest

pytestmark = pytest.mark.slow

Result = TypeVar("Result")


class SimulatedTime(asyncio.SelectorEventLoop):
    """Run an event loop whose clock stops while tasks work, and jumps ahead when all tasks wait."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_NeverWaiting(self))

    def time(self) -> float:
        return self.now


class _NeverWaiting(selectors.SelectSelector):
    def __init__(self, loop: SimulatedTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += timeout or 0.0
        return super().select(0)


def in_simulated_time(work: Coroutine[object, object, Result]) -> Result:
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        return runner.run(work)


def test_a_group_takes_the_first_slot_that_is_free_in_the_order_of_asking() -> None:
    async def three() -> list[tuple[float, float]]:
        stage = Stage(2, 5.0)
        return await asyncio.gather(*(stage.hold() for _ in range(3)))

    assert in_simulated_time(three()) == [(0.0, 5.0), (0.0, 5.0), (5.0, 10.0)]


def test_a_slot_goes_to_the_next_group_also_while_the_driver_is_busy() -> None:
    async def busy_driver() -> tuple[tuple[float, float], float]:
        stage = Stage(1, 5.0)
        first, second = asyncio.ensure_future(stage.hold()), asyncio.ensure_future(stage.hold())
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedTime)
        loop.now += 6.0  # at work until 7.0, over the end of the first group
        await first
        return await second, loop.time()

    assert in_simulated_time(busy_driver()) == ((5.0, 10.0), 10.0)


def test_a_response_has_the_version_at_its_start_and_at_its_end() -> None:
    async def pushed_meanwhile() -> list[tuple[int, ...]]:
        learner = SimulatedLearner(stage=Stage(1, 1.0))
        generator = SimulatedGenerator(stage=Stage(1, 4.0), learner=learner)
        asked = [asyncio.ensure_future(generator.sample(a_request(name))) for name in ("first", "second")]
        await asyncio.sleep(1.0)
        await learner.push_weights(7)
        return [(await group)[0].token_versions for group in asked]

    assert in_simulated_time(pushed_meanwhile()) == [(0, 7), (7, 7)]


@pytest.mark.parametrize(("max_staleness", "units"), [(0, 1.0 + 0.3 + 0.8), (1, (1.0 + 0.3 + 0.8) / 2), (2, 1.0)])
def test_without_jitter_a_step_takes_the_time_that_arithmetic_gives(max_staleness: int, units: float) -> None:
    """On-policy only pivot and policy overlap. With two steps' groups in flight, each of which stays for the whole sum,
    a step ends every half sum. With three the generator always has work."""
    ratio = in_simulated_time(over_slowest(max_staleness, num_counted=6, seed=0, jitter=0.0))
    assert ratio == pytest.approx(units, rel=1e-6)


def test_with_jitter_two_versions_of_staleness_hide_the_faster_stages() -> None:
    assert in_simulated_time(over_slowest(2, num_counted=20, seed=0)) <= 1.05
    assert in_simulated_time(over_slowest(0, num_counted=6, seed=0)) > 2.1  # a step waits for its slowest group


def a_request(name: str) -> SamplingRequest:
    return SamplingRequest(request_id=name, prompt_token_ids=(1,), seeds=(7,), max_tokens=4, temperature=1.0)
