"""What the streaming benchmark measures with: slots, versions, and whole runs of the driver in simulated time."""

import asyncio
import selectors
from collections.abc import Coroutine
from random import Random
from typing import TypeVar

import pytest

from benchmarks.simulated_stages import Latency, Slots, SlottedGenerator, Weights
from benchmarks.streaming import paced
from contracts.rollouts import SamplingRequest

Result = TypeVar("Result")


class SimulatedTime(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while anybody works, and jumps where all would wait."""

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


def latency(mean_s: float) -> Latency:
    return Latency(mean_s=mean_s, jitter=0.0, random=Random(0))


def test_a_group_takes_the_first_slot_that_is_free_in_the_order_of_asking() -> None:
    async def three() -> list[tuple[float, float]]:
        slots = Slots(2, latency(5.0))
        return await asyncio.gather(*(slots.hold() for _ in range(3)))

    assert in_simulated_time(three()) == [(0.0, 5.0), (0.0, 5.0), (5.0, 10.0)]


def test_a_slot_goes_to_the_next_group_also_while_the_driver_does_not_look() -> None:
    async def busy_driver() -> tuple[tuple[float, float], float]:
        slots = Slots(1, latency(5.0))
        first, second = asyncio.ensure_future(slots.hold()), asyncio.ensure_future(slots.hold())
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedTime)
        loop.now += 6.0  # at work until 7.0, over the end of the first group
        await first
        return await second, loop.time()

    assert in_simulated_time(busy_driver()) == ((5.0, 10.0), 10.0)


def test_a_response_has_the_version_at_its_start_and_at_its_end() -> None:
    async def pushed_meanwhile() -> list[tuple[int, ...]]:
        weights = Weights()
        generator = SlottedGenerator(slots=Slots(1, latency(4.0)), weights=weights)
        asked = [asyncio.ensure_future(generator.sample(a_request(name))) for name in ("first", "second")]
        await asyncio.sleep(1.0)
        weights.push(7)
        return [(await group)[0].token_versions for group in asked]

    assert in_simulated_time(pushed_meanwhile()) == [(0, 7), (7, 7)]


@pytest.mark.parametrize(("max_staleness", "units"), [(0, 1.0 + 0.3 + 0.8), (1, (1.0 + 0.3 + 0.8) / 2), (2, 1.0)])
def test_without_jitter_a_step_takes_the_sum_of_its_stages_half_of_it_and_the_slowest(
    max_staleness: int, units: float
) -> None:
    """On-policy nothing overlaps, but the pivot with the policy. With two steps' groups in flight, each of which stays
    for the whole sum, a step ends every half sum; with three the generator is never without work."""
    pace = in_simulated_time(paced(max_staleness, num_counted=6, seed=0, jitter=0.0))
    assert pace.over_slowest == pytest.approx(units, rel=1e-6)


def test_with_jitter_two_versions_of_staleness_hide_the_faster_stages() -> None:
    assert in_simulated_time(paced(2, num_counted=20, seed=0)).over_slowest <= 1.05
    assert in_simulated_time(paced(0, num_counted=6, seed=0)).over_slowest > 2.1  # a step waits for its slowest group


def a_request(name: str) -> SamplingRequest:
    return SamplingRequest(request_id=name, prompt_token_ids=(1,), seeds=(7,), max_tokens=4, temperature=1.0)
