"""Test the whole recipe on fakes: every group ends once, versions rise, a step without signal changes nothing."""

from collections import Counter
from collections.abc import Sequence

import pytest

from contracts.config.learning import GrpoConfig
from contracts.rollouts import Problem, ScoredGroup, Unscored
from tests.builders import a_problem, a_score
from tests.fakes.ports import FakeLearner
from tests.runs.recipe import RecipeRun, advantages_by_token, all_rows, drawn_tokens, learned_tokens

GROUP_SIZE = 3
EQUAL = (a_score(0.5),) * GROUP_SIZE
NOTHING = (Unscored(reason="no answer"),) * GROUP_SIZE
ONE_MISSING = (a_score(0.2), Unscored(reason="timed out"), a_score(0.6))


def algorithm(problems: Sequence[Problem], groups_per_step: int, **changed: object) -> GrpoConfig:
    return GrpoConfig.model_validate(
        {
            "steps": len(problems) // groups_per_step,
            "groups_per_step": groups_per_step,
            "group_size": GROUP_SIZE,
            **changed,
        }
    )


def test_every_group_is_learned_from_exactly_once_or_dropped_with_a_reason() -> None:
    good, equal, unscored, cut, partly = (a_problem(name) for name in ("good", "equal", "unscored", "cut", "partly"))
    problems = [good, equal, unscored, cut, partly]
    done = RecipeRun(
        problems,
        algorithm(problems, 5),
        scores={equal.question: EQUAL, unscored.question: NOTHING, partly.question: ONE_MISSING},
        truncated_references=[cut],
    )
    (record,) = done.records
    assert done.drops(1) == [("equal", "no_signal"), ("unscored", "unscored"), ("cut", "unscored")]
    assert record.dropped[2].detail == "reference_truncated"
    assert len(record.groups) == 5
    by_item = {group.group.problem.item_id: group for group in record.groups if isinstance(group, ScoredGroup)}
    learned = drawn_tokens(by_item["good"], scored=True) + drawn_tokens(by_item["partly"], scored=True)
    (batch,) = done.learner.batches
    assert Counter(learned_tokens(batch)) == Counter(learned)
    assert record.num_samples == batch.num_sequences == 3 + 2
    assert batch.num_loss_tokens == 5  # one token a response
    assert not set(drawn_tokens(by_item["partly"], scored=False)) & set(learned_tokens(batch))


def test_advantages_reach_the_batch_beside_their_own_tokens() -> None:
    """Rewards 0, 0.1, 0.2: the mean is 0.1."""
    done = RecipeRun([a_problem("a")], algorithm([a_problem("a")], 1))
    (group,) = done.records[0].groups
    assert isinstance(group, ScoredGroup)
    found = advantages_by_token(done.learner.batches[0])
    assert [found[rollout.token_ids[0]] for rollout in group.group.rollouts] == pytest.approx([-0.1, 0.0, 0.1])
    assert done.learner.measured == []  # one optimiser step, no reference: nothing had to be known before


def test_weights_are_pushed_after_every_step_with_rising_versions_and_the_next_step_samples_from_them() -> None:
    problems = [a_problem(name) for name in "abcdef"]
    done = RecipeRun(problems, algorithm(problems, 2))
    assert done.learner.calls == ["step", "push"] * 3
    assert done.learner.pushed == [1, 2, 3]
    assert [batch.policy_version for batch in done.learner.batches] == [0, 1, 2]
    sampled = [
        {
            rollout.policy_version
            for group in record.groups
            if isinstance(group, ScoredGroup)
            for rollout in group.group.rollouts
        }
        for record in done.records
    ]
    assert sampled == [{0}, {1}, {2}]


def test_a_step_without_signal_takes_no_optimiser_step_and_pushes_nothing() -> None:
    problems = [a_problem(name) for name in ("first", "dull", "last")]
    done = RecipeRun(problems, algorithm(problems, 1), scores={problems[1].question: EQUAL})
    assert done.learner.calls == ["step", "push", "step", "push"]
    assert done.learner.pushed == [1, 2]
    assert [record.update is None for record in done.records] == [False, True, False]
    assert [batch.policy_version for batch in done.learner.batches] == [0, 1]
    dull_record = done.records[1]
    assert dull_record.num_samples == 0
    assert done.drops(2) == [("dull", "no_signal")]
    assert "learn" not in dull_record.stage_seconds


def test_a_run_without_any_signal_reaches_its_last_step() -> None:
    problems = [a_problem(name) for name in "abc"]
    done = RecipeRun(problems, algorithm(problems, 1), scores={problem.question: EQUAL for problem in problems})
    assert done.learner.calls == []
    assert [record.step for record in done.records] == [1, 2, 3]


def test_the_same_run_twice_gives_the_same_batches() -> None:
    problems = [a_problem(name, language) for name in "ab" for language in ("de", "th")]
    first, second = (RecipeRun(problems, algorithm(problems, 2), num_ranks=2) for _ in range(2))
    for one, other in zip(first.learner.batches, second.learner.batches, strict=True):
        for row, twin in zip(all_rows(one), all_rows(other), strict=True):
            assert row.token_ids.tolist() == twin.token_ids.tolist()
            assert row.advantages.tolist() == twin.advantages.tolist()


def test_every_rank_gets_as_many_micro_batches_however_few_groups_are_left() -> None:
    problems = [a_problem("a"), a_problem("dull")]
    done = RecipeRun(problems, algorithm(problems, 2), scores={problems[1].question: EQUAL}, num_ranks=4)
    (batch,) = done.learner.batches
    assert len(batch.rows) == 4
    assert len({len(rows) for rows in batch.rows}) == 1
    assert batch.num_sequences == 3


def test_every_step_is_begun_and_recorded_once_with_the_stages_that_it_went_through() -> None:
    problems = [a_problem(name) for name in "ab"]
    done = RecipeRun(problems, algorithm(problems, 1))
    assert done.recorder.begun == [1, 2]
    assert [record.step for record in done.records] == [1, 2]
    for record in done.records:
        assert set(record.stage_seconds) == {"wait", "generate", "pivot", "score", "learn", "push"}


def test_an_item_that_comes_back_in_another_language_costs_the_pivot_nothing() -> None:
    problems = [a_problem("a", "de"), a_problem("a", "th")]
    done = RecipeRun(problems, algorithm(problems, 1))
    assert len(done.pivot.requests) == 1
    assert [(record.references.asked, record.references.requests) for record in done.records] == [(1, 1), (1, 0)]


def test_a_distance_to_the_reference_is_measured_once_and_charged() -> None:
    """k1 of -1 against -3 is 2 a token, the same for all: it moves no advantage, and the learner gets the reference."""
    problems = [a_problem("a")]
    learner = FakeLearner(logprob=-1.0, reference_logprob=-3.0)
    done = RecipeRun(problems, algorithm(problems, 1, kl="reward", kl_estimator="k1"), learner=learner)
    assert learner.calls == ["measure", "step", "push"]
    assert "measure" in done.records[0].stage_seconds
    (row,) = all_rows(learner.batches[0])
    assert sorted(row.advantages[row.loss_mask].tolist()) == pytest.approx([-0.1, 0.0, 0.1])
    assert row.reference_logprobs[row.loss_mask].tolist() == [-3.0] * 3
    assert row.old_logprobs.size == 0  # one optimiser step: the learner's own count


def test_reinforce_plus_plus_learns_from_equal_groups_too() -> None:
    """Rewards 0.5 three times, and 0, 0.1, 0.2: mean 0.3, and the batch as a whole is the baseline."""
    problems = [a_problem("dull"), a_problem("other")]
    done = RecipeRun(problems, algorithm(problems, 2, advantage="reinforce++"), scores={problems[0].question: EQUAL})
    assert done.drops(1) == []
    (group, _) = done.records[0].groups
    assert isinstance(group, ScoredGroup)
    std = ((3 * 0.2**2 + 0.3**2 + 0.2**2 + 0.1**2) / 6) ** 0.5
    found = advantages_by_token(done.learner.batches[0])
    assert found[group.group.rollouts[0].token_ids[0]] == pytest.approx(0.2 / std, abs=1e-6)


def test_a_batch_is_measured_once_and_cut_into_mini_batches_of_whole_groups_for_every_epoch() -> None:
    problems = [a_problem(name) for name in "abcd"]
    done = RecipeRun(problems, algorithm(problems, 4, mini_batches=2, epochs=3))
    assert done.learner.calls == ["measure"] + ["step"] * 6 + ["push"]
    for epoch in range(3):
        groups = [set(batch.group_ids) for batch in done.learner.batches[2 * epoch : 2 * epoch + 2]]
        assert len(groups[0] & groups[1]) == 0 and len(groups[0] | groups[1]) == 4
    for batch in done.learner.batches:
        assert batch.num_sequences == 6
        assert batch.policy_version == 0
        for row in all_rows(batch):
            assert row.old_logprobs[row.loss_mask].tolist() == [-1.0] * int(row.loss_mask.sum())
        assert sum(float(row.loss_weights.sum()) for row in all_rows(batch)) == pytest.approx(1.0)
    (record,) = done.records
    assert record.update is not None
    assert record.update.step.metrics["learner/optimizer_steps"] == 6
    assert record.update.step.metrics["group/used"] == 4
    assert record.num_samples == 12
