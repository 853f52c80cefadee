"""Test that policy and learner use a GPU in turns: never more memory than it has, whatever is lost on the way."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.fleets.colocated import ColocatedLearner, ColocatedPolicy
from actors.fleets.turns import Turns
from contracts.errors import LearnerLost
from tests.builders import a_sampling_request
from tests.fakes.ports import run
from tests.fakes.turns import FakeGpu, FakeSleepingLearner, FakeSleepingPolicy, OnGpuGenerator, OnGpuLearner

LEARN = ["policy sleeps", "learner wakes"]
PUSH = ["weights wake", "learner sleeps", "cache wakes"]


@dataclass
class Colocated:
    """Hold one GPU of 80 GiB with an engine of 16 + 50 GiB and a learner of 40 GiB."""

    keeps_weights: bool = True
    gpu: FakeGpu = field(default_factory=lambda: FakeGpu(size_gib=80))
    num_sent_again: int = 0

    def __post_init__(self) -> None:
        self.policy_side = FakeSleepingPolicy(self.gpu, keeps_weights=self.keeps_weights)
        self.learner_side = FakeSleepingLearner(self.gpu)
        self.turns = Turns(self.policy_side, self.learner_side, send_again=self.send_again)
        self.generator = OnGpuGenerator(gpu=self.gpu)
        self.policy = ColocatedPolicy(self.generator, self.turns)
        self.ranks = OnGpuLearner(gpu=self.gpu)
        self.learner = ColocatedLearner(self.ranks, self.turns)

    async def send_again(self) -> None:
        self.num_sent_again += 1

    async def start(self) -> None:
        """Load the learner, and send the first weights."""
        await self.turns.restarting(self.learner_side.start)
        await self.learner.push_weights(0)
        self.gpu.calls.clear()

    async def learn(self) -> None:
        async def work() -> None:
            assert set(self.gpu.held) == {"states"}

        await self.turns.learning(work)

    @property
    def is_sampling(self) -> bool:
        return set(self.gpu.held) == {"weights", "cache"}


def test_the_policy_gives_up_its_memory_before_the_learner_is_loaded() -> None:
    async def start() -> None:
        both = Colocated()
        await both.turns.restarting(both.learner_side.start)
        assert both.gpu.calls == ["policy sleeps", "learner starts"]
        await both.learner.push_weights(0)
        assert both.gpu.calls[2:] == PUSH and both.is_sampling

    run(start())


def test_a_step_changes_turns_twice_and_a_push_needs_no_cache() -> None:
    async def step() -> None:
        both = Colocated()
        await both.start()
        await both.policy.sample(a_sampling_request())
        await both.learn()
        await both.learn()  # its turn already
        await both.learner.push_weights(1)
        await both.policy.sample(a_sampling_request())
        assert both.gpu.calls == [*LEARN, *PUSH]
        assert both.gpu.most_gib == 66  # the engine alone; learner and weights are 56

    run(step())


def test_without_a_push_the_engines_wake_with_the_weights_that_they_kept() -> None:
    async def step() -> None:
        both = Colocated()
        await both.start()
        await both.learn()
        await both.policy.sample(a_sampling_request())
        assert both.gpu.calls == [*LEARN, "learner sleeps", "weights wake", "cache wakes"]
        assert both.num_sent_again == 0

    run(step())


def test_engines_that_kept_no_weights_are_sent_them_again() -> None:
    async def step() -> None:
        both = Colocated(keeps_weights=False)
        await both.start()
        assert both.num_sent_again == 0  # the first push brought them
        await both.learn()
        await both.policy.sample(a_sampling_request())
        assert both.num_sent_again == 1 and both.gpu.calls == [*LEARN, *PUSH]

        async def to_one_worker() -> None:
            pytest.fail("the other workers have no weights either")

        await both.turns.bringing_up(to_one_worker)
        assert both.num_sent_again == 2 and both.is_sampling

    run(step())


def test_a_worker_that_lacks_the_weights_gets_them_between_samples() -> None:
    async def bring_up() -> None:
        both, held = Colocated(), list[set[str]]()
        await both.start()

        async def send() -> None:
            held.append(set(both.gpu.held))

        await both.turns.bringing_up(send)
        assert held == [{"states", "weights"}] and both.is_sampling and both.num_sent_again == 0

    run(bring_up())


def test_a_sample_waits_for_the_learner_and_many_samples_change_the_turn_once() -> None:
    async def sample() -> None:
        both = Colocated()
        await both.start()
        may_end = asyncio.Event()
        learning = asyncio.ensure_future(both.turns.learning(may_end.wait))
        asked = [asyncio.ensure_future(both.policy.sample(a_sampling_request(name))) for name in "abc"]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(sample.done() for sample in asked)
        may_end.set()
        await asyncio.gather(learning, *asked)
        assert both.gpu.calls.count("cache wakes") == 1

    run(sample())


def test_the_learner_waits_for_samples_that_run_and_those_that_come_later_wait_for_it() -> None:
    async def evaluate_beside_learning() -> None:
        both = Colocated()
        await both.start()
        both.generator.closed = {(1,)}
        running = asyncio.ensure_future(both.policy.sample(a_sampling_request("a")))
        await both.generator.asked.get()
        learning = asyncio.ensure_future(both.learn())
        later = asyncio.ensure_future(both.policy.sample(a_sampling_request("b")))
        for _ in range(5):
            await asyncio.sleep(0)
        assert both.is_sampling and not learning.done()
        both.generator.open((1,))
        await asyncio.gather(running, learning, later)
        assert both.gpu.calls == [*LEARN, "learner sleeps", "weights wake", "cache wakes"]

    run(evaluate_beside_learning())


def test_a_lost_learner_is_loaded_again_after_a_push_that_was_broken_off() -> None:
    async def lose() -> None:
        both = Colocated()
        await both.start()

        async def broken_push() -> None:
            both.learner_side.lose()
            raise LearnerLost("learner-0 died", key="learner-0")

        with pytest.raises(LearnerLost):
            await both.turns.pushing(broken_push)
        await both.turns.restarting(both.learner_side.start)
        assert set(both.gpu.held) == {"states"}
        await both.learner.push_weights(1)
        assert both.is_sampling

    run(lose())


def test_a_learner_lost_between_its_turns_is_found_in_the_next_one_and_loaded_again() -> None:
    async def lose() -> None:
        both = Colocated()
        await both.start()
        both.learner_side.lose()
        with pytest.raises(LearnerLost):
            await both.learn()
        await both.turns.restarting(both.learner_side.start)
        await both.learner.push_weights(1)
        assert both.is_sampling

    run(lose())


def test_a_worker_loads_in_the_policy_s_turn_and_the_learner_waits_for_it() -> None:
    async def load() -> None:
        both = Colocated()
        await both.start()
        await both.learn()
        started, may_end = asyncio.Event(), asyncio.Event()

        async def load_worker() -> None:
            async with both.turns.loading():
                started.set()
                await may_end.wait()

        loading = asyncio.ensure_future(load_worker())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not started.is_set()
        await both.policy.sample(a_sampling_request())
        await started.wait()
        learning = asyncio.ensure_future(both.learn())
        for _ in range(5):
            await asyncio.sleep(0)
        assert both.is_sampling and not learning.done()
        may_end.set()
        await asyncio.gather(loading, learning)
        assert set(both.gpu.held) == {"states"}

    run(load())


def test_a_checkpoint_between_samples_gives_the_turn_back(tmp_path: Path) -> None:
    async def save() -> None:
        both = Colocated()
        await both.start()
        await both.learner.save(str(tmp_path), policy=str(tmp_path / "first"))
        assert both.is_sampling
        assert both.gpu.calls == [*LEARN, "learner sleeps", "weights wake", "cache wakes"]
        await both.learn()
        both.gpu.calls.clear()
        await both.learner.save(str(tmp_path), policy=str(tmp_path / "second"))  # in its own turn, as at a SIGTERM
        assert both.gpu.calls == [] and set(both.gpu.held) == {"states"}

    run(save())


def test_a_push_without_any_worker_lends_the_gpus_to_one_that_loads() -> None:
    async def push() -> None:
        both, loaded = Colocated(), asyncio.Event()
        await both.start()
        await both.learn()

        async def load_worker() -> None:
            async with both.turns.loading():
                assert "states" not in both.gpu.held
                both.gpu.take("weights", 16)
                both.gpu.take("cache", 50)
            loaded.set()

        async def wait_receivers() -> None:
            await loaded.wait()

        async def work() -> None:
            await both.turns.lending(wait_receivers)
            assert set(both.gpu.held) == {"states", "weights"}

        loading = asyncio.ensure_future(load_worker())
        await both.turns.pushing(work)
        await loading
        assert both.is_sampling

    run(push())
