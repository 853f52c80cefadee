"""Test on-policy distillation on fakes: a teacher with a prompt of its own judges the tokens that the policy drew."""

from functools import partial

import pytest

from contracts.batches import TokenMeasures, TrainBatch
from contracts.config.learning import OpdConfig
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.recipes.opd import train_opd
from tests.builders import a_problem, a_score
from tests.fakes.ports import FakeLearner
from tests.runs.recipe import RecipeRun, all_rows

PROBLEMS = [a_problem("a"), a_problem("b")]
POLICY, TEACHER = -1.5, -0.25
REFUSED = 4  # a length with which the second problem is refused


class TwoPrompts(FakeLearner):
    """Give the tokens behind the teacher's prompt, which begins with 99, another log-probability."""

    teacher = TEACHER

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        is_informed = any((row.token_ids == 99).any() for row in all_rows(batch))
        self.logprob = self.teacher if is_informed else POLICY
        return await super().measure(batch)


def teacher_prompt(problem: Problem, solution: str, *, length: int = 3) -> tuple[int, ...]:
    assert solution  # the pivot's
    if problem.item_id == "b" and length == REFUSED:
        raise BadInput("the chat template refuses it")
    return (99,) * length


def opd(*, length: int = 3, learner: FakeLearner | None = None, **changed: object) -> RecipeRun:
    """Distil on two problems with two responses each, of equal rewards."""
    keys = {"name": "opd", "steps": 1, "groups_per_step": 2, "group_size": 2, **changed}
    return RecipeRun(
        PROBLEMS,
        OpdConfig.model_validate(keys),
        recipe=partial(train_opd, teacher_prompt=partial(teacher_prompt, length=length)),
        learner=learner or TwoPrompts(),
        scores={problem.question: (a_score(0.5), a_score(0.5)) for problem in PROBLEMS},
    )


def advantages(done: RecipeRun) -> list[float]:
    return [float(value) for row in all_rows(done.learner.batches[-1]) for value in row.advantages[row.loss_mask]]


def test_the_advantage_is_how_much_more_the_teacher_expects_a_token() -> None:
    """log q - log p = -0.25 - (-1.5) = 1.25, for each of the four one-token responses."""
    done = opd()
    assert done.learner.calls == ["measure", "measure", "step", "push"]
    assert advantages(done) == pytest.approx([1.25] * 4)
    assert done.records[0].metrics["distillation/kl"] == pytest.approx(-1.25)
    assert done.records[0].dropped == [] and done.records[0].num_samples == 4


def test_what_is_learned_stands_behind_the_policys_own_prompt() -> None:
    done = opd()
    assert any((row.token_ids == 99).any() for row in all_rows(done.learner.measured[1]))
    assert not any((row.token_ids == 99).any() for row in all_rows(done.learner.batches[0]))


@pytest.mark.parametrize(("clip", "expected"), [(1.0, -1.0), (5.0, -2.5), ("off", -2.5)])
def test_an_advantage_is_cut_at_the_clip(clip: object, expected: float) -> None:
    learner = TwoPrompts()
    learner.teacher = -4.0  # log q - log p = -4 + 1.5
    assert advantages(opd(learner=learner, advantage_clip=clip)) == pytest.approx([expected] * 4)


def test_mini_batches_learn_from_the_same_log_probabilities_of_the_policy() -> None:
    done = opd(mini_batches=2)
    assert done.learner.calls == ["measure", "measure", "step", "step", "push"]
    for batch in done.learner.batches:
        for row in all_rows(batch):
            assert row.old_logprobs[row.loss_mask].tolist() == [POLICY] * int(row.loss_mask.sum())


def test_a_group_without_a_teacher_is_dropped_with_a_reason() -> None:
    assert opd(length=REFUSED).drops(1) == [("b", "bad_prompt")]
    done = opd(length=1024)  # one more token than a row holds
    assert done.drops(1) == [("a", "too_long"), ("b", "too_long")]
    assert done.learner.calls == []
    assert "distillation/kl" not in done.records[0].metrics
