"""Test on fakes what all recipes share: skipped optimiser steps, the run's position, and going on from it."""

import pytest

from contracts.config.learning import GrpoConfig
from driver.run_state.state import RunPosition
from tests.builders import a_problem
from tests.fakes.ports import FakeLearner
from tests.runs.recipe import RecipeRun

PROBLEMS = [a_problem(name) for name in "abcdef"]


def algorithm(*, steps: int, groups_per_step: int = 2, mini_batches: int = 1, epochs: int = 1) -> GrpoConfig:
    return GrpoConfig(
        steps=steps, groups_per_step=groups_per_step, group_size=2, mini_batches=mini_batches, epochs=epochs
    )


def test_a_skipped_step_changes_no_version_pushes_nothing_and_drops_its_groups() -> None:
    done = RecipeRun(PROBLEMS, algorithm(steps=3), learner=FakeLearner(skips={1: ()}))
    assert done.learner.calls == ["step", "push", "step", "step", "push"]
    assert done.learner.pushed == [1, 2]
    assert [batch.policy_version for batch in done.learner.batches] == [0, 1, 1]
    assert done.drops(2) == [("c", "not_finite"), ("d", "not_finite")]
    record = done.records[1]
    assert (record.num_samples, len(record.groups)) == (0, 2)
    assert record.update is not None and record.update.push is None
    assert record.update.step.metrics["learner/skipped_steps"] == 1
    assert record.update.step.metrics["group/used"] == 0
    assert "policy/loss" not in record.update.step.metrics  # it was not finite
    (skipped,) = record.update.skipped
    assert (skipped.optimizer_step, skipped.group_ids) == (2, ("2/c/de", "3/d/de"))
    assert done.failure is None


class WatchedEvaluations:
    """Note what the learner had done when an evaluation began, and when it had to be over."""

    def __init__(self, learner: FakeLearner) -> None:
        self.learner = learner
        self.begun: dict[int, list[int]] = {}
        self.awaited: list[list[int]] = []

    async def after_step(self, step: int) -> None:
        self.begun[step] = list(self.learner.pushed)

    async def finished(self) -> None:
        self.awaited.append(list(self.learner.pushed))


def test_an_evaluation_begins_with_the_weights_of_its_step_and_is_over_before_the_next_are_pushed() -> None:
    learner = FakeLearner()
    evaluations = WatchedEvaluations(learner)
    RecipeRun(PROBLEMS, algorithm(steps=3), learner=learner, evaluations=evaluations)
    assert evaluations.begun == {1: [1], 2: [1, 2], 3: [1, 2, 3]}
    assert evaluations.awaited == [[], [1], [1, 2]]


def test_the_groups_that_were_not_finite_are_named() -> None:
    """The batch holds a's two responses, then b's: sequence 2 is b's first."""
    done = RecipeRun(PROBLEMS[:2], algorithm(steps=1), learner=FakeLearner(skips={0: (3, 2)}))
    assert done.records[0].update is not None
    assert [skipped.group_ids for skipped in done.records[0].update.skipped] == [("1/b/de",)]


def test_a_group_that_one_mini_batch_lost_is_dropped_and_the_others_are_learned_from() -> None:
    done = RecipeRun(
        PROBLEMS, algorithm(steps=1, groups_per_step=6, mini_batches=3), learner=FakeLearner(skips={1: ()})
    )
    lost = set(done.learner.batches[1].group_ids)
    assert {group.group_id for group in done.records[0].dropped} == lost
    assert done.records[0].num_samples == 12 - 4
    assert done.learner.pushed == [1]
    assert done.records[0].update is not None
    assert done.records[0].update.step.metrics["group/used"] == 4


def test_a_group_that_a_second_epoch_saves_is_learned_from() -> None:
    done = RecipeRun(PROBLEMS[:2], algorithm(steps=1, epochs=2), learner=FakeLearner(skips={0: ()}))
    assert done.records[0].dropped == []
    assert done.records[0].num_samples == 4
    assert done.records[0].update is not None
    assert len(done.records[0].update.skipped) == 1


def test_too_many_skipped_steps_in_a_row_end_the_run_after_they_were_recorded() -> None:
    learner = FakeLearner(skips={0: (), 1: (0,), 2: ()})
    done = RecipeRun(PROBLEMS, algorithm(steps=6, groups_per_step=1), learner=learner, max_skipped_steps=2)
    assert [record.step for record in done.records] == [1, 2]
    assert done.drops(2) == [("b", "not_finite")]
    assert [position.step for position in done.checkpointer.kept] == [1]  # the last good one stays the last
    assert done.failure is not None
    assert done.failure.key == "learner.max_skipped_steps"
    assert "1/b/de" in str(done.failure)  # the groups of the last skipped step


def test_a_step_that_was_taken_starts_the_count_again() -> None:
    learner = FakeLearner(skips={0: (), 2: (), 4: ()})
    done = RecipeRun(PROBLEMS, algorithm(steps=6, groups_per_step=1), learner=learner, max_skipped_steps=2)
    assert done.failure is None
    assert [position.skipped_in_a_row for position in done.checkpointer.kept] == [1, 0, 1, 0, 1, 0]


def test_mini_batches_of_one_step_count_one_by_one_and_the_rest_of_the_batch_is_left() -> None:
    learner = FakeLearner(skips=dict.fromkeys(range(1, 9), ()))
    done = RecipeRun(
        PROBLEMS, algorithm(steps=1, groups_per_step=6, mini_batches=6), learner=learner, max_skipped_steps=3
    )
    assert learner.calls == ["measure", *["step"] * 4, "push"]  # one was taken, so the workers get it
    assert done.failure is not None
    assert len(done.records[0].dropped) == 5  # three skipped, two never reached


def test_progress_says_where_the_run_stands_after_every_step() -> None:
    learner = FakeLearner(skips={1: ()})
    done = RecipeRun(PROBLEMS, algorithm(steps=3, mini_batches=2), learner=learner)
    assert done.checkpointer.kept == [
        RunPosition(step=1, policy_version=1, optimizer_steps=2, skipped_in_a_row=1),
        RunPosition(step=2, policy_version=2, optimizer_steps=4, skipped_in_a_row=0),
        RunPosition(step=3, policy_version=3, optimizer_steps=6, skipped_in_a_row=0),
    ]
    assert done.loop.position == done.checkpointer.kept[-1]


@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_goes_on_does_what_the_one_that_never_stopped_did(after: int) -> None:
    whole = RecipeRun(PROBLEMS, algorithm(steps=3))
    stood = whole.checkpointer.kept[after - 1]
    learner = FakeLearner(policy_version=stood.policy_version)
    resumed = RecipeRun(PROBLEMS, algorithm(steps=3), learner=learner, start=stood, drawn=2 * after)
    assert [record.step for record in resumed.records] == list(range(after + 1, 4))
    assert resumed.learner.pushed == whole.learner.pushed[after:]
    assert resumed.checkpointer.kept == whole.checkpointer.kept[after:]
    for ours, theirs in zip(resumed.learner.batches, whole.learner.batches[after:], strict=True):
        assert (ours.group_ids, ours.policy_version) == (theirs.group_ids, theirs.policy_version)


def test_a_finished_run_takes_no_step() -> None:
    done = RecipeRun(PROBLEMS, algorithm(steps=3), start=RunPosition(step=3, policy_version=3))
    assert (done.records, done.learner.calls) == ([], [])
