"""Check a run's checkpoints from the recipe's step to the disk and back; the learner is a fake."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import CheckpointFailed, RunFailed
from contracts.sealed_folder import FileSum
from driver.problems.draws import Draws
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream
from driver.rollouts.prompt_buffer import PromptBuffer
from driver.run_state.buffered_groups import read_groups
from driver.run_state.checkpointer import Buffer, RunCheckpointer
from driver.run_state.state import RunPosition
from tests.builders import a_problem
from tests.fakes.ports import FakeLearner, run
from tests.refusals import raised
from tests.runs.buffer import BufferHarness, algorithm
from tests.runs.checkpointed import CheckpointedRun

GROUPS_PER_STEP = 3
LAST_STEP = 5


@dataclass
class FailingLearner(FakeLearner):
    """Fail at one save because its disk is full, or die."""

    failures: Iterator[Exception | None] = field(default_factory=lambda: iter(()))

    async def saved(self) -> Mapping[str, FileSum]:
        if failure := next(self.failures, None):
            raise failure
        return await super().saved()


@dataclass
class SlowLearner(FakeLearner):
    """Write until the test lets it end."""

    writes: asyncio.Event = field(default_factory=asyncio.Event)

    async def save(self, folder: str, *, policy: str) -> None:
        self.calls.append("save")
        await super().save(folder, policy=policy)

    async def saved(self) -> Mapping[str, FileSum]:
        await self.writes.wait()
        self.calls.append("saved")
        return await super().saved()


def a_stream() -> ProblemStream:
    problems = [a_problem(name, language) for name in "abcdefgh" for language in ("de", "sw")]
    return ProblemStream(ListSource(problems, name="problems"), languages=("de", "sw"), seed=3)


def checkpointer(
    kept: CheckpointedRun, buffer: Buffer, *, learner: FakeLearner | None = None, failed: list[str] | None = None
) -> RunCheckpointer:
    return RunCheckpointer(
        checkpoints=kept.checkpoints,
        learner=learner or FakeLearner(),
        buffer=buffer,
        last_step=LAST_STEP,
        num_ranks=2,
        seed=3,
        calibration="{}",
        on_wait=lambda what: None,
        on_failure=(failed if failed is not None else []).append,
    )


@dataclass(kw_only=True)
class Stepping:
    """Draw problems and call the checkpointer, as the loop of a recipe does."""

    folder: Path
    learner: FakeLearner = field(default_factory=FakeLearner)
    draws: Draws = field(default_factory=lambda: Draws(a_stream()))
    failed: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    every_steps: int = 2

    def __post_init__(self) -> None:
        self.run = CheckpointedRun(self.folder, every_steps=self.every_steps, best_metric="off", keep_last=5)
        self.buffer = PromptBuffer(self.draws, per_step=GROUPS_PER_STEP)

    def steps(self, first: int, last: int) -> None:
        writing = checkpointer(self.run, self.buffer, learner=self.learner, failed=self.failed)

        async def take_steps() -> None:
            for step in range(first, last + 1):
                self.drawn += [draw.group_id for draw in self.buffer.take_batch(step)]
                self.buffer.finish()
                await writing.after_step(
                    RunPosition(step=step, policy_version=step - 1, optimizer_steps=2 * step, skipped_in_a_row=1)
                )
            await writing.settle()

        run(take_steps())


def test_due_steps_are_saved_with_the_learners_state_and_the_place_in_the_stream(tmp_path: Path) -> None:
    stepping = Stepping(folder=tmp_path)
    stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2, 4, 5]
    found = stepping.run.find()
    assert found is not None
    assert (found.learner / "weights").read_text(encoding="utf-8") == "0"
    assert (found.state.open["stream"]["number"], found.state.open["again"]) == (15, [])
    assert read_groups(found.groups) == []
    assert (found.state.num_ranks, found.state.seed, found.state.calibration) == (2, 3, "{}")
    assert found.state.position == RunPosition(step=5, policy_version=4, optimizer_steps=10, skipped_in_a_row=1)
    assert stepping.failed == []


def test_a_run_that_was_killed_draws_every_problem_once_and_in_the_same_order(tmp_path: Path) -> None:
    whole = Stepping(folder=tmp_path / "whole")
    whole.steps(1, LAST_STEP)

    killed = Stepping(folder=tmp_path / "killed")
    killed.steps(1, 3)
    found = killed.run.find()
    assert found is not None
    again = Stepping(folder=tmp_path / "killed")
    again.draws.restore(found.state.open)
    again.steps(found.state.step + 1, LAST_STEP)
    assert killed.drawn[: 2 * GROUPS_PER_STEP] + again.drawn == whole.drawn
    assert again.run.steps() == [2, 4, 5]


def test_a_checkpoint_that_could_not_be_written_is_reported_and_the_run_goes_on(tmp_path: Path) -> None:
    full = CheckpointFailed("rank-1.pt: No space left on device (rank 1)")
    stepping = Stepping(folder=tmp_path, learner=FailingLearner(failures=iter((None, full))))
    stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2, 5]
    (failure,) = stepping.failed
    assert "step 4" in failure and str(full) in failure


def test_a_learner_that_dies_while_saving_ends_the_run(tmp_path: Path) -> None:
    stepping = Stepping(
        folder=tmp_path, learner=FailingLearner(failures=iter((None, RunFailed("died", key="learner-1"))))
    )
    with raised(RunFailed, key="learner-1"):
        stepping.steps(1, LAST_STEP)
    assert stepping.run.steps() == [2]
    assert Stepping(folder=tmp_path).run.find() is not None


def test_groups_that_are_ready_and_draws_that_are_open_are_part_of_it(tmp_path: Path) -> None:
    """Draw 0 is ready when step 1 is kept, draw 1 still under way."""

    async def watch() -> None:
        harness = BufferHarness(algorithm(max_staleness=1))
        await harness.begin(1)
        await harness.finish(0)
        kept = CheckpointedRun(tmp_path, every_steps=1)
        assert await checkpointer(kept, harness.buffer).save(RunPosition())
        found = kept.find()
        assert found is not None
        ((draw, group),) = read_groups(found.groups)
        assert (draw.number, group.group.group_id) == (0, "0/a0/de")
        assert [open_draw["number"] for open_draw in found.state.open["again"]] == [1, 2, 3]
        await harness.buffer.close()

    run(watch())


def test_a_run_that_ends_after_a_due_step_does_not_write_its_checkpoint_twice(tmp_path: Path) -> None:
    learner = FakeLearner()
    kept = CheckpointedRun(tmp_path, every_steps=2)
    writing = checkpointer(kept, PromptBuffer(Draws(a_stream()), per_step=1), learner=learner)

    async def end() -> None:
        await writing.after_step(RunPosition(step=2))
        assert await writing.save_if_lacking(RunPosition(step=2))
        written = (kept.folder / "step-000002" / "manifest.json").stat()
        assert await writing.save_if_lacking(RunPosition(step=2))
        assert (kept.folder / "step-000002" / "manifest.json").stat() == written
        assert await writing.save_if_lacking(RunPosition(step=3))

    run(end())
    assert kept.steps() == [2, 3]


def test_the_run_goes_on_while_a_checkpoint_is_written_and_it_holds_the_state_of_its_own_step(tmp_path: Path) -> None:
    """Step 3 draws and finishes before the files of step 2 are on the disk; its draws are not in that checkpoint."""

    async def watch() -> None:
        learner, draws = SlowLearner(), Draws(a_stream())
        kept, buffer = CheckpointedRun(tmp_path, every_steps=2), PromptBuffer(draws, per_step=GROUPS_PER_STEP)
        writing = checkpointer(kept, buffer, learner=learner)
        for step in (1, 2, 3):
            buffer.take_batch(step)
            buffer.finish()
            await writing.after_step(RunPosition(step=step))
        assert kept.steps() == [] and (kept.folder / "step-000002.partial").is_dir()
        learner.writes.set()
        await writing.settle()
        found = kept.find()
        assert found is not None
        assert (found.state.step, found.state.open["stream"]["number"]) == (2, 2 * GROUPS_PER_STEP)
        buffer.step_back(step=2, version=9)
        again = [draw.number for draw in buffer.take_batch(3)]
        assert again == [6, 7, 8]  # step 3's draws were not forgotten with those of the checkpoint

    run(watch())


def test_only_one_checkpoint_is_written_at_a_time(tmp_path: Path) -> None:
    async def watch() -> None:
        learner = SlowLearner()
        kept = CheckpointedRun(tmp_path, every_steps=1)
        writing = checkpointer(kept, PromptBuffer(Draws(a_stream()), per_step=1), learner=learner)
        await writing.after_step(RunPosition(step=1))
        second = asyncio.ensure_future(writing.after_step(RunPosition(step=2)))
        await asyncio.to_thread(list, kept.folder.iterdir())  # time for a second one to begin
        learner.writes.set()
        await second
        await writing.settle()
        assert learner.calls == ["save", "saved", "save", "saved"]
        assert kept.steps() == [1, 2]

    run(watch())


def test_a_run_that_ends_without_its_checkpoint_reports_it(tmp_path: Path) -> None:
    full = CheckpointFailed("No space left on device")
    failed: list[str] = []
    buffer = PromptBuffer(Draws(a_stream()), per_step=1)
    learner = FailingLearner(failures=iter((full,)))
    writing = checkpointer(CheckpointedRun(tmp_path), buffer, learner=learner, failed=failed)
    assert not run(writing.save_if_lacking(RunPosition(step=1)))
    assert len(failed) == 1


class CountingBuffer(PromptBuffer):
    """Count the calls that say that a checkpoint holds everything."""

    def __init__(self) -> None:
        super().__init__(Draws(a_stream()), per_step=1)
        self.num_calls = 0

    def checkpointed(self, step: int) -> None:
        self.num_calls += 1
        super().checkpointed(step)


def test_the_buffer_forgets_only_what_a_whole_checkpoint_holds(tmp_path: Path) -> None:
    buffer = CountingBuffer()
    full = CheckpointFailed("No space left on device")
    kept = CheckpointedRun(tmp_path, every_steps=2)
    writing = checkpointer(kept, buffer, learner=FailingLearner(failures=iter((full, None))))
    counts = []

    async def take_steps() -> None:
        for step in (1, 2, 3, 4):
            await writing.after_step(RunPosition(step=step))
            await writing.settle()
            counts.append(buffer.num_calls)

    run(take_steps())
    assert counts == [0, 0, 0, 1]


def test_a_run_that_never_steps_back_keeps_nothing_for_it(tmp_path: Path) -> None:
    buffer = CountingBuffer()
    writing = checkpointer(CheckpointedRun(tmp_path, every_steps="off"), buffer)
    for step in (1, 2):
        run(writing.after_step(RunPosition(step=step)))
    assert buffer.num_calls == 2
