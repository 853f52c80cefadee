"""A run's own checkpoints, from the recipe's step to the disk and back; the learner is a fake."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from driver.checkpointer import RunCheckpointer, progress_of
from driver.errors import CheckpointFailed, RunFailed
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream
from driver.recipes.learning import Progress
from tests.checkpointed_run import CheckpointedRun
from tests.fakes import FakeLearner, a_problem, run

GROUPS_PER_STEP = 3
LAST_STEP = 5


@dataclass
class FailingLearner(FakeLearner):
    """Its disk is full at one save, or it dies."""

    failures: Iterator[Exception | None] = field(default_factory=lambda: iter(()))

    async def save(self, folder: str) -> None:
        await super().save(folder)
        if failure := next(self.failures, None):
            raise failure


def a_stream() -> ProblemStream:
    problems = [a_problem(name, language) for name in "abcdefgh" for language in ("de", "sw")]
    return ProblemStream(ListSource(problems, name="problems"), languages=("de", "sw"), seed=3)


@dataclass(kw_only=True)
class Stepping:
    """A loop that draws problems and calls the checkpointer, as a recipe's does."""

    folder: Path
    learner: FakeLearner = field(default_factory=FakeLearner)
    stream: ProblemStream = field(default_factory=a_stream)
    failed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run = CheckpointedRun(self.folder, every_steps=2, best_metric="", keep_last=5)

    def steps(self, first: int, last: int) -> None:
        checkpointer = RunCheckpointer(
            checkpoints=self.run.checkpoints,
            learner=self.learner,
            stream=self.stream,
            last_step=LAST_STEP,
            num_ranks=2,
            seed=3,
            calibration="{}",
            waiting=lambda what: None,
            failed=self.failed.append,
        )
        for step in range(first, last + 1):
            self.drawn += [next(self.stream).group_key for _ in range(GROUPS_PER_STEP)]
            progress = Progress(step=step, policy_version=step - 1, optimizer_steps=2 * step, skipped_in_a_row=1)
            run(checkpointer.after_step(progress))


def test_due_steps_are_saved_with_the_learners_state_and_the_place_in_the_stream(tmp_path: Path) -> None:
    stepping = Stepping(folder=tmp_path)
    stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2, 4, 5]
    found = stepping.run.find()
    assert found is not None
    assert (found.learner / "weights").read_text(encoding="utf-8") == "0"
    assert found.state.stream["position"] == 15
    assert (found.state.num_ranks, found.state.seed, found.state.calibration) == (2, 3, "{}")
    assert progress_of(found.state) == Progress(step=5, policy_version=4, optimizer_steps=10, skipped_in_a_row=1)
    assert stepping.failed == []


def test_a_run_that_was_killed_draws_every_problem_once_and_in_the_same_order(tmp_path: Path) -> None:
    whole = Stepping(folder=tmp_path / "whole")
    whole.steps(1, LAST_STEP)

    killed = Stepping(folder=tmp_path / "killed")
    killed.steps(1, 3)
    found = killed.run.find()
    assert found is not None
    again = Stepping(folder=tmp_path / "killed")
    again.stream.restore(found.state.stream)
    again.steps(found.state.step + 1, LAST_STEP)
    assert killed.drawn[: 2 * GROUPS_PER_STEP] + again.drawn == whole.drawn
    assert again.run.steps() == [2, 4, 5]


def test_a_checkpoint_that_could_not_be_written_is_told_of_and_the_run_goes_on(tmp_path: Path) -> None:
    full = CheckpointFailed("rank-1.pt: No space left on device (rank 1)")
    stepping = Stepping(folder=tmp_path, learner=FailingLearner(failures=iter((None, full))))
    stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2, 5]
    assert stepping.failed == [
        "the checkpoint of step 4 could not be written: rank-1.pt: No space left on device (rank 1); whole ones: step 2"
    ]


def test_a_learner_that_dies_while_saving_ends_the_run(tmp_path: Path) -> None:
    stepping = Stepping(folder=tmp_path, learner=FailingLearner(failures=iter((None, RunFailed("learner-1 died")))))
    with pytest.raises(RunFailed, match="learner-1 died"):
        stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2]
    assert Stepping(folder=tmp_path).run.find() is not None
