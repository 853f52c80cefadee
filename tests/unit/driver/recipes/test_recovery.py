"""Test the recovery of a lost learner: what is restored, in which order, from where, and when the run ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from contracts.batches import PushResult
from contracts.config.learning import GrpoConfig
from contracts.errors import BadInput, CheckpointFailed, FleetLost, LearnerLost, RunFailed
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.problems.draws import OpenDraws
from driver.recipes.loop import Loop
from driver.recipes.recovery import Recovery
from driver.run_state.checkpoints import FoundCheckpoint
from driver.run_state.state import RunPosition
from driver.run_state.stopping import Stopped
from tests.fakes.ports import FakeLearner, FakeRecorder, run
from tests.runs.checkpointed import STATE
from tests.runs.recipe import settings

CHECKPOINT = FoundCheckpoint(
    path=Path("step-000010"), state=replace(STATE, step=10, policy_version=9, optimizer_steps=18, skipped_in_a_row=1)
)
LOST = LearnerLost("learner-1 died: SIGKILL")
STOOD = RunPosition(step=14, policy_version=13, optimizer_steps=26)


@dataclass
class RunParts:
    """Hold the parts of a run, which note all their calls in one list."""

    recipe_ends: Sequence[Exception | None]  # of each call of the recipe
    checkpoint: FoundCheckpoint | BadInput | None = CHECKPOINT
    makes_checkpoints: bool = True
    waits_s: Iterator[float | None] = field(default_factory=lambda: iter([0.0] * 9))
    restart_fails: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    is_asked_to_stop: bool = False  # when the learner is lost
    load_fails: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    push_fails: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    settles: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = Loop(
            learner=Learner(parts=self),
            checkpointer=Checkpointer(parts=self),
            recorder=FakeRecorder(),
            settings=settings(GrpoConfig(steps=20)),
            position=STOOD,
            last_version=14,  # of the running push
            is_between_steps=False,
        )
        self.recovery = Recovery(
            loop=self.loop,
            buffer=Buffer(self.calls),
            record=Record(self.calls),
            next_wait_s=lambda: next(self.waits_s),
            restart=self.restart,
            last_checkpoint=self.find if self.makes_checkpoints else None,
        )

    def find(self) -> FoundCheckpoint | None:
        if isinstance(self.checkpoint, BadInput):
            raise self.checkpoint
        return self.checkpoint

    async def restart(self) -> None:
        self.calls.append("restart")
        if failure := next(self.restart_fails, None):
            raise failure

    def train(self) -> None:
        ends = iter(self.recipe_ends)

        async def recipe() -> None:
            self.calls.append(f"recipe after step {self.loop.position.step}")
            if self.is_asked_to_stop:
                self.loop.stop.ask()
            if failure := next(ends):
                raise failure

        run(self.recovery.train(recipe))


@dataclass(kw_only=True)
class Checkpointer:
    """Have nothing to write, or fail as the test says each time the run waits for a checkpoint."""

    parts: RunParts

    async def after_step(self, position: RunPosition) -> None:
        raise AssertionError("no step is made here")

    async def settle(self) -> None:
        for failure in self.parts.settles:
            self.parts.calls.append("settled")
            if failure is not None:
                raise failure
            return


@dataclass(kw_only=True)
class Learner(FakeLearner):
    parts: RunParts

    async def load(self, folder: str) -> None:
        self.parts.calls.append(f"load {folder}")
        if failure := next(self.parts.load_fails, None):
            raise failure

    async def push_weights(self, policy_version: int) -> PushResult:
        self.parts.calls.append(f"push {policy_version}")
        if failure := next(self.parts.push_fails, None):
            raise failure
        return await super().push_weights(policy_version)


@dataclass
class Buffer:
    calls: list[str]

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        raise AssertionError("nothing is saved on the way back")

    def checkpointed(self, step: int) -> None:
        raise AssertionError("nothing is saved on the way back")

    def step_back(self, *, step: int, version: int) -> None:
        self.calls.append(f"buffer back to step {step}, version {version}")

    async def close(self) -> Sequence[DroppedGroup]:
        return ()


@dataclass
class Record:
    calls: list[str]

    def event(self, kind: str, reason: str, detail: str = "") -> None:
        self.calls.append(f"{kind}: {reason}{' from ' + detail if detail else ''}")

    def note(self, text: str) -> None:
        self.calls.append(f"said: {text}")

    def waiting(self, what: str) -> None:
        self.calls.append(f"waits: {what}")

    def cut_back(self, step: int) -> None:
        self.calls.append(f"record back to step {step}")


BACK = [
    "restart",
    "load step-000010/learner",
    "record back to step 10",
    "push 15",
    "buffer back to step 10, version 15",
]


def test_a_run_that_loses_nothing_is_left_alone() -> None:
    parts = RunParts([None])
    parts.train()
    assert parts.calls == ["recipe after step 14"]
    assert parts.loop.last_version == 14


def test_everything_is_restored_before_the_recipe_goes_on_and_the_weights_get_a_new_version() -> None:
    """14 was being pushed when the learner was lost: some workers may have it."""
    parts = RunParts([LOST, None])
    parts.train()
    assert parts.calls == [
        "recipe after step 14",
        "learner_lost: learner-1 died: SIGKILL",
        "said: learner-1 died: SIGKILL; restarting the learner to go on after step 10",
        *BACK,
        "learner_restarted: after step 10 from step-000010",
        "recipe after step 10",
    ]
    assert parts.loop.position == RunPosition(step=10, policy_version=15, optimizer_steps=18, skipped_in_a_row=1)
    assert parts.loop.last_version == 15
    assert parts.loop.is_between_steps


@pytest.mark.parametrize("failure", [None, LOST])
def test_a_checkpoint_that_is_being_written_is_finished_or_given_up_before_the_last_one_is_looked_for(
    failure: Exception | None,
) -> None:
    parts = RunParts([LOST, None], settles=iter([failure]))
    parts.train()
    found = [call for call in parts.calls if not call.startswith(("said", "learner"))]
    assert found == ["recipe after step 14", "settled", *BACK, "recipe after step 10"]


def test_a_learner_that_is_lost_while_it_writes_the_last_checkpoint_is_restarted() -> None:
    parts = RunParts([None, None], settles=iter([LOST, LOST, None]))
    parts.train()
    found = [call for call in parts.calls if not call.startswith(("said", "learner"))]
    assert found == ["recipe after step 14", "settled", "settled", *BACK, "recipe after step 10", "settled"]


def test_before_the_first_checkpoint_it_starts_at_the_first_step_with_the_first_weights() -> None:
    parts = RunParts([LOST, None], checkpoint=None)
    parts.train()
    assert [call for call in parts.calls if not call.startswith(("said", "learner"))] == [
        "recipe after step 14",
        "restart",
        "record back to step 0",
        "push 15",
        "buffer back to step 0, version 15",
        "recipe after step 0",
    ]
    assert parts.loop.position == RunPosition(step=0, policy_version=15)


def test_a_run_without_checkpoints_can_not_go_on() -> None:
    parts = RunParts([LOST], makes_checkpoints=False)
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert error.value.key == "checkpoint.every_steps"
    assert error.value.__cause__ is LOST
    assert "restart" not in parts.calls


def test_a_run_without_a_whole_checkpoint_fails_and_is_not_bad_input() -> None:
    damaged = BadInput("no checkpoint in checkpoints is whole: step-000010/state.json is missing")
    parts = RunParts([LOST], checkpoint=damaged)
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert (error.value.key, error.value.__cause__) == ("learner", damaged)
    assert not parts.loop.is_between_steps


def test_restarts_have_a_budget() -> None:
    parts = RunParts([LOST, LOST, LOST], waits_s=iter([0.0, 0.0, None]))
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert (error.value.key, error.value.__cause__) == ("fleet.max_restarts", LOST)
    assert parts.calls.count("restart") == 2
    assert parts.loop.last_version == 16  # each time another


@pytest.mark.parametrize("where", ["load", "push"])
def test_a_learner_that_is_lost_in_a_restart_is_restarted_again(where: str) -> None:
    hangs: Iterator[Exception | None] = iter([LearnerLost("learner-0 hangs")])
    parts = RunParts([LOST, None])
    if where == "load":
        parts.load_fails = hangs
    else:
        parts.push_fails = hangs
    parts.train()
    assert parts.calls.count("restart") == 2
    pushed = [call for call in parts.calls if call.startswith("push")]
    assert pushed == (["push 15"] if where == "load" else ["push 15", "push 16"])
    backs = [call for call in parts.calls if call.startswith("buffer back")]
    assert backs == [f"buffer back to step 10, version {15 if where == 'load' else 16}"]
    assert "learner_lost: learner-0 hangs" in parts.calls


def test_ranks_that_do_not_start_are_tried_again_within_the_budget() -> None:
    slow = RunFailed("learner-1 did not start in 600 s")
    parts = RunParts([LOST, None], restart_fails=iter([slow]))
    parts.train()
    assert parts.calls.count("restart") == 2
    assert "learner_lost: the learner could not be restarted: learner-1 did not start in 600 s" in parts.calls
    given_up = RunParts([LOST], restart_fails=iter([slow]), waits_s=iter([0.0, None]))
    with pytest.raises(RunFailed) as error:
        given_up.train()
    assert error.value.key == "fleet.max_restarts"


def test_a_loss_in_a_restart_counts_as_a_restart_too() -> None:
    parts = RunParts([LOST], waits_s=iter([0.0, None]), load_fails=iter([LearnerLost("learner-0 hangs")]))
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert error.value.key == "fleet.max_restarts"


@pytest.mark.parametrize("failure", [RunFailed("optimizer.pt can't be read"), FleetLost("no policy worker is left")])
def test_a_failed_restart_leaves_no_learner_that_looks_like_one_of_a_finished_step(
    failure: RunFailed,
) -> None:
    """A learner that is lost between two steps (while it saves) holds its first weights after the restart: saved as
    step 14 they would be a checkpoint of nothing."""
    is_load = not isinstance(failure, FleetLost)
    parts = RunParts(
        [LOST], load_fails=iter([failure] if is_load else []), push_fails=iter([] if is_load else [failure])
    )
    parts.loop.is_between_steps = True
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert error.value is failure
    assert not parts.loop.is_between_steps


def test_a_run_that_was_asked_to_stop_ends_at_its_last_checkpoint_and_starts_no_ranks() -> None:
    parts = RunParts([LOST], is_asked_to_stop=True, waits_s=iter([3600.0]))
    parts.loop.is_between_steps = True
    with pytest.raises(Stopped):
        parts.train()
    assert parts.calls == [
        "recipe after step 14",
        "learner_lost: learner-1 died: SIGKILL",
        "said: learner-1 died: SIGKILL; the run was asked to stop: it ends after step 10",
        "record back to step 10",
    ]
    assert parts.loop.position == RunPosition(step=10, policy_version=9, optimizer_steps=18, skipped_in_a_row=1)
    assert not parts.loop.is_between_steps  # there is nothing to save


def test_one_without_a_checkpoint_is_put_back_first_so_that_it_can_be_saved() -> None:
    parts = RunParts([LOST, None], is_asked_to_stop=True, checkpoint=None)
    parts.train()
    assert parts.calls[-1] == "recipe after step 0"
    assert parts.loop.is_between_steps


@pytest.mark.parametrize("where", ["restart", "load"])
@pytest.mark.parametrize("damage", [BadInput("optimizer.pt is damaged"), CheckpointFailed("no space left")])
def test_damaged_files_in_a_restart_are_a_failure_and_not_bad_input(where: str, damage: Exception) -> None:
    """Exit code 2 would tell a script that nothing was started."""
    fails: Iterator[Exception | None] = iter([damage])
    parts = RunParts([LOST])
    parts.loop.is_between_steps = True
    if where == "restart":
        parts.restart_fails = fails
    else:
        parts.load_fails = fails
    with pytest.raises(RunFailed) as error:
        parts.train()
    assert (error.value.key, error.value.__cause__) == ("learner", damage)
    assert not parts.loop.is_between_steps


def test_any_other_failure_of_the_recipe_is_the_runs() -> None:
    parts = RunParts([FleetLost("no policy worker is left")])
    with pytest.raises(FleetLost):
        parts.train()
    assert parts.calls == ["recipe after step 14"]


def test_it_waits_as_long_as_the_budget_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("driver.recipes.recovery.asyncio.sleep", sleep)
    RunParts([LOST, LOST, None], waits_s=iter([1.5, 3.0])).train()
    assert waited == [1.5, 3.0]
