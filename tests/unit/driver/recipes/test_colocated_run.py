"""Test a whole GRPO run whose policy and learner use one GPU in turns."""

from actors.fleets.colocated import ColocatedLearner, ColocatedPolicy
from actors.fleets.turns import Turns
from contracts.ports import Generator, Learner
from tests.builders import a_grpo, a_problem
from tests.fakes.ports import FakeGenerator, FakeLearner
from tests.fakes.turns import FakeGpu, FakeSleepingLearner, FakeSleepingPolicy, OnGpuGenerator, OnGpuLearner
from tests.runs.recipe import RecipeRun


def test_a_run_sleeps_and_wakes_once_a_step_and_learns_the_same_as_one_with_gpus_of_its_own() -> None:
    problems = [a_problem(name) for name in "abcdef"]
    algorithm = a_grpo(steps=3, groups_per_step=2, group_size=2, kl="loss")  # measures before it learns
    gpu = FakeGpu(size_gib=80)
    policy_side, learner_side = FakeSleepingPolicy(gpu), FakeSleepingLearner(gpu)

    async def send_again() -> None:
        raise AssertionError("the engines keep their weights")

    def in_turns(policy: FakeGenerator, learner: FakeLearner) -> tuple[Generator, Learner]:
        turns = Turns(policy_side, learner_side, send_again=send_again)
        assert isinstance(policy, OnGpuGenerator)
        return ColocatedPolicy(policy, turns), ColocatedLearner(learner, turns)

    done = RecipeRun(
        problems, algorithm, policy=OnGpuGenerator(gpu=gpu), learner=OnGpuLearner(gpu=gpu), wrapped=in_turns
    )
    alone = RecipeRun(problems, algorithm)
    assert done.failure is None
    assert [record.learned for record in done.records] == [record.learned for record in alone.records]
    assert done.learner.pushed == alone.learner.pushed == [1, 2, 3]
    step = ["policy sleeps", "learner wakes", "weights wake", "learner sleeps", "cache wakes"]
    assert gpu.calls == step * 3
    assert gpu.most_gib == 66 <= gpu.size_gib
