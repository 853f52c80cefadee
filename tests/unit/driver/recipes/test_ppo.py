"""Test PPO on fakes: values are measured first, advantages come from the critic, equal rewards are used too."""

import pytest

from contracts.config.learning import PpoConfig
from contracts.rollouts import Problem, Unscored
from driver.recipes.ppo import train_ppo
from tests.builders import a_problem, a_score
from tests.fakes.ports import FakeLearner
from tests.runs.recipe import RecipeRun, all_rows

PROBLEMS = [a_problem(name) for name in "abcd"]


def algorithm(**changed: object) -> PpoConfig:
    return PpoConfig.model_validate({"name": "ppo", "steps": 1, "groups_per_step": 2, "group_size": 1, **changed})


def ppo(*rewards: float, learner: FakeLearner | None = None, **changed: object) -> RecipeRun:
    """Train with PPO on one problem for each reward, with one response each."""
    problems = PROBLEMS[: len(rewards)]
    return RecipeRun(
        problems,
        algorithm(groups_per_step=len(rewards), **changed),
        recipe=train_ppo,
        learner=learner or FakeLearner(value=0.25),
        scores={problem.question: (a_score(reward),) for problem, reward in zip(problems, rewards, strict=True)},
    )


def by_problem(done: RecipeRun, values: str) -> dict[str, float]:
    """Return the value at each problem's one response token, in the last batch."""
    found: dict[str, float] = {}
    for row in all_rows(done.learner.batches[-1]):
        for sequence, value in zip(row.sequence_ids[row.loss_mask], getattr(row, values)[row.loss_mask], strict=True):
            found[done.learner.batches[-1].group_ids[sequence].split("/")[1]] = float(value)
    return found


def test_a_response_is_compared_with_what_the_critic_expected() -> None:
    """One token: delta = reward - value, the return is the reward. Whitened: (0.75, 0.05) has mean 0.4, std 0.35."""
    done = ppo(1.0, 0.3)
    assert done.learner.calls == ["measure", "step", "push"]
    assert by_problem(done, "advantages") == pytest.approx({"a": 1.0, "b": -1.0}, abs=1e-6)
    assert by_problem(done, "returns") == pytest.approx({"a": 1.0, "b": 0.3})
    assert by_problem(done, "old_values") == {"a": 0.25, "b": 0.25}
    assert by_problem(ppo(1.0, 0.3, whiten_advantages=False), "advantages") == pytest.approx({"a": 0.75, "b": 0.05})


def test_equal_rewards_teach_the_critic_and_a_single_response_needs_no_sibling() -> None:
    done = ppo(0.5, 0.5, whiten_advantages=False)
    assert done.records[0].dropped == []
    assert done.records[0].num_samples == 2
    assert by_problem(done, "advantages") == {"a": 0.25, "b": 0.25}


def test_the_distance_to_the_reference_is_part_of_the_reward_and_of_the_return() -> None:
    """k1 = -1 - (-3) = 2, times 0.05: the reward 1 becomes 0.9."""
    learner = FakeLearner(value=0.25, logprob=-1.0, reference_logprob=-3.0)
    done = ppo(1.0, learner=learner, whiten_advantages=False, kl="reward", kl_estimator="k1", kl_coefficient=0.05)
    assert by_problem(done, "returns") == pytest.approx({"a": 0.9})
    assert by_problem(done, "advantages") == pytest.approx({"a": 0.65})


def test_all_optimiser_steps_of_a_batch_learn_from_the_same_measures() -> None:
    done = ppo(0.1, 0.2, 0.3, 0.4, mini_batches=2, epochs=2)
    assert done.learner.calls == ["measure"] + ["step"] * 4 + ["push"]
    for batch in done.learner.batches:
        for row in all_rows(batch):
            assert row.old_logprobs[row.loss_mask].tolist() == [-1.0] * int(row.loss_mask.sum())
            assert row.old_values[row.loss_mask].tolist() == [0.25] * int(row.loss_mask.sum())


def test_unscored_and_masked_responses_are_dropped_with_a_reason() -> None:
    problems: list[Problem] = PROBLEMS[:3]
    done = RecipeRun(
        problems,
        algorithm(groups_per_step=3, mask_truncated=True),
        recipe=train_ppo,
        scores={
            problems[0].question: (a_score(1.0),),
            problems[1].question: (Unscored(reason="timed out"),),
            problems[2].question: (a_score(0.0),),
        },
        truncated=[problems[2]],
    )
    assert done.drops(1) == [("b", "unscored"), ("c", "truncated")]
    assert done.learner.batches[0].group_ids == ("0/a/de",)


def test_a_step_in_which_nothing_was_scored_asks_the_learner_for_nothing() -> None:
    done = RecipeRun(
        PROBLEMS[:1],
        algorithm(groups_per_step=1),
        recipe=train_ppo,
        scores={PROBLEMS[0].question: (Unscored(reason="timed out"),)},
    )
    assert done.learner.calls == []
    assert done.records[0].update is None
