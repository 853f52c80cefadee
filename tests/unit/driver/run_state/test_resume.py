"""Starting on a folder that holds a run: what goes on, what is refused, and what is left of its record."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput
from driver.run_state.checkpoint_files import LEARNER
from driver.run_state.model_fingerprints import run_origins
from driver.run_state.resume import MAY_CHANGE, OpenedRun, enter_run, open_run
from driver.tracking.metrics import Event, EventLog, MetricsLog, read_events, read_metrics
from driver.tracking.run_folder import RunFolder, sole_writer
from tests.runs.checkpointed import CheckpointedRun

Sections = dict[str, dict[str, object]]


def config(folder: Path, **sections: dict[str, object]) -> Config:
    """A run in `folder` on a policy that is there, whose weights are `policy/model.safetensors`."""
    base: Sections = {
        "run": {"folder": str(folder), "name": "mine"},
        "policy": {"model": str(folder / "policy")},
        "pivot": {"model": "owner/pivot"},
        "scorer": {"model": "owner/scorer"},
        "algorithm": {"steps": 6},
        "checkpoint": {"every_steps": 2, "best_metric": "", "keep_last": 3},
    }
    return Config.model_validate({name: base.get(name, {}) | sections.get(name, {}) for name in base | sections})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def start(given: Config) -> RunFolder:
    with enter_run(open_run(given, "mine"), given) as folder:
        return folder


def live(given: Config, *, steps: int, status: str = "", saves: tuple[int, ...] = ()) -> RunFolder:
    """A run of the config that has done some steps, saved after some, and ended with a status or by a kill."""
    folder = start(given)
    metrics, events = MetricsLog(folder.metrics), EventLog(folder.events)
    run = CheckpointedRun(folder.path, origins=run_origins(given), **given.checkpoint.model_dump())
    for step in range(1, steps + 1):
        metrics.append(step, {"reward/mean": step / 10})
        events.append(Event(kind="group_dropped", reason="no_signal", step=step, group_id=f"{step}/0/a/de"))
        if step in saves:
            run.save(step)
    metrics.close()
    events.close()
    folder.evaluation.write_text(json.dumps({"before": {"a": 1}, "after": {"a": 2}}), encoding="utf-8")
    if status:
        folder.write_summary({"status": status, "steps": steps})
    return folder


def refusal(given: Config) -> str:
    """Why a start is refused; nothing in the folder is touched by it."""
    path = Path(given.run.folder)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(BadInput) as refused:
        open_run(given, "mine")
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    return str(refused.value)


# --- a new run ----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_a_new_run(place: Path) -> None:
    opened = open_run(config(place), "mine")
    assert opened == OpenedRun(path=place / "mine", is_new=True)
    assert not (place / "mine").exists()
    with enter_run(opened, config(place)) as folder:
        assert load_config(folder.config) == config(place)
        assert folder.checkpoints.is_dir() and folder.logs.is_dir()
    assert read_events(folder.events) == []


def test_empty_folders_of_a_start_that_failed_are_no_run(place: Path) -> None:
    (place / "mine" / "logs").mkdir(parents=True)
    assert open_run(config(place), "mine").is_new


def test_a_folder_without_a_config_is_left_alone(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "notes.txt").write_text("precious", encoding="utf-8")
    assert "holds a run already, and has no config.toml to continue it by" in refusal(config(place))


def test_a_name_that_deepspeed_reads_as_a_pattern_is_refused_before_anything_is_trained(place: Path) -> None:
    with pytest.raises(BadInput, match=r"has a '\[' in its name"):
        open_run(config(place), "run[1]")
    assert open_run(config(place, checkpoint={"every_steps": 0}), "run[1]").is_new


# --- one that goes on ---------------------------------------------------------------------------------------------


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint_with_each_step_once(place: Path) -> None:
    given = config(place)
    folder = live(given, steps=5, saves=(2, 4))
    opened = open_run(given, "mine")
    assert opened.checkpoint is not None
    assert (opened.step, opened.changed) == (4, ())
    assert opened.notes == ("the run goes on after step 4, from step-000004; 1 later step is done again",)
    assert opened.checkpoint.learner == folder.checkpoints / "step-000004" / LEARNER
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2, 3, 4, 5]  # only looked at so far
    with enter_run(opened, given):
        pass
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2, 3, 4]
    *dropped, resumed = read_events(folder.events)
    assert [event.step for event in dropped] == [1, 2, 3, 4]
    assert (resumed.kind, resumed.reason, resumed.detail) == ("resumed", "after step 4", opened.notes[0])
    assert json.loads(folder.evaluation.read_text(encoding="utf-8")) == {"before": {"a": 1}}
    assert not (folder.path / "config.1.toml").exists()


def test_a_run_that_died_before_its_first_checkpoint_starts_again_in_its_folder(place: Path) -> None:
    given = config(place)
    folder = live(given, steps=1, status="failed: policy-0 died")
    opened = open_run(given, "mine")
    assert (opened.checkpoint, opened.step) == (None, 0)
    assert opened.notes == ("the run starts again from the beginning: its 1 steps came before the first checkpoint",)
    with enter_run(opened, given):
        pass
    assert read_metrics(folder.metrics) == []
    assert not folder.evaluation.exists()
    assert not folder.summary.exists()
    assert [(event.kind, event.reason) for event in read_events(folder.events)] == [("resumed", "after step 0")]


def test_a_run_that_failed_after_its_last_step_has_only_the_rest_to_do(place: Path) -> None:
    given = config(place)
    live(given, steps=6, saves=(2, 4, 6), status="failed: no room for the export")
    assert open_run(given, "mine").step == 6


def test_a_finished_run_says_so_and_goes_on_when_asked_for_more(place: Path) -> None:
    folder = live(config(place), steps=6, saves=(2, 4, 6), status="finished")
    assert refusal(config(place)) == (
        f"{folder.path} is finished, with 6 steps; ask for more with algorithm.steps, or choose another run.name"
    )
    longer = config(place, algorithm={"steps": 9})
    opened = open_run(longer, "mine")
    assert (opened.step, opened.changed) == (6, ("algorithm.steps was 6 and is 9 now",))
    with enter_run(opened, longer):
        assert load_config(folder.config) == longer
        assert load_config(folder.path / "config.1.toml") == config(place)
    assert read_events(folder.events)[-1].detail.endswith("changed: algorithm.steps was 6 and is 9 now")


def test_a_run_goes_on_with_other_sizes(place: Path) -> None:
    live(config(place), steps=2, saves=(2,))
    given = config(place, learner={"num_ranks": 2}, policy={"num_workers": 2}, evaluation={"after": False})
    assert open_run(given, "mine").step == 2


def test_the_newest_checkpoint_is_passed_over_when_it_is_damaged_or_the_start_is_refused(place: Path) -> None:
    given = config(place)
    folder = live(given, steps=5, saves=(2, 4))
    (folder.checkpoints / "step-000004" / "state.json").unlink()
    stopping = config(place, checkpoint={"every_steps": 2, "on_damage": "stop"})
    assert "checkpoint step-000004 is damaged" in refusal(stopping)
    opened = open_run(given, "mine")
    assert opened.step == 2
    assert "step-000004 is damaged and not used" in opened.notes[0]
    with enter_run(opened, given):
        pass
    assert (folder.checkpoints / "step-000004.damaged").is_dir()
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2]


def test_a_run_that_did_nothing_yet_may_be_started_with_another_config(place: Path) -> None:
    live(config(place), steps=0, status="failed: no such tensor")
    given = config(place, learner={"learning_rate": 1e-4})
    with enter_run(open_run(given, "mine"), given) as folder:
        assert load_config(folder.config) == given
    assert len(list(folder.path.glob("config.*.toml"))) == 1


# --- one that can't -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"run": {"seed": 2}}, "run.seed was 1 and is 2 now"),
        ({"learner": {"dtype": "float32"}}, "learner.dtype was 'bfloat16' and is 'float32' now"),
        ({"learner": {"lora": {"rank": 8}}}, "learner.lora.rank was 0 and is 8 now"),
        ({"learner": {"learning_rate": 1e-4}}, "learner.learning_rate was 1e-06 and is 0.0001 now"),
        ({"algorithm": {"steps": 6, "group_size": 4}}, "algorithm.group_size was 8 and is 4 now"),
        ({"data": {"languages": ["th"]}}, "data.languages was ['de', 'fr', 'es'] and is ['th'] now"),
        ({"reward": {"gates": {"language": False}}}, "reward.gates.language was True and is False now"),
    ],
)
def test_what_makes_it_another_run_is_refused_by_its_key(place: Path, change: Sections, told: str) -> None:
    folder = live(config(place), steps=2, saves=(2,))
    assert refusal(config(place, **change)) == (
        f"{folder.path} holds a run of another config: {told}; set it back, or choose another run.name"
    )


def test_a_long_list_of_changes_is_counted(place: Path) -> None:
    live(config(place), steps=2, saves=(2,))
    learner: dict[str, object] = {"learning_rate": 1e-4, "weight_decay": 0.1, "max_grad_norm": 2.0, "warmup_steps": 3}
    assert "(and 1 more); set it back" in refusal(config(place, learner=learner))


def test_other_weights_under_the_same_name_are_refused(place: Path) -> None:
    live(config(place), steps=2, saves=(2,))
    (place / "policy" / "model.safetensors").write_bytes(b"others!")
    line = refusal(config(place))
    assert "step-000002 is of another run: policy.model was" in line
    assert line.count(str(place / "policy")) == 2


def test_a_model_that_was_moved_goes_on(place: Path) -> None:
    live(config(place), steps=2, saves=(2,))
    (place / "policy").rename(place / "moved")
    assert open_run(config(place, policy={"model": str(place / "moved")}), "mine").step == 2


def test_a_run_that_kept_no_checkpoints_is_not_thrown_away(place: Path) -> None:
    given = config(place, checkpoint={"every_steps": 0})
    live(given, steps=5)
    assert "holds a run of 5 steps without a checkpoint (checkpoint.every_steps is 0)" in refusal(given)
    assert "without a checkpoint" in refusal(config(place))  # asking for checkpoints now brings none back


def test_fewer_steps_than_a_checkpoint_has_are_refused(place: Path) -> None:
    live(config(place), steps=5, saves=(2, 4))
    assert "has a checkpoint of step 4, and algorithm.steps is 3" in refusal(config(place, algorithm={"steps": 3}))


def test_what_another_command_measured_is_left_alone(place: Path) -> None:
    folder = start(config(place))
    folder.write_summary({"run_folder": "x", "seconds": 3})
    assert "holds what another command measured, not a training run" in refusal(config(place))


def test_a_config_of_another_version_is_named(place: Path) -> None:
    folder = live(config(place), steps=2, saves=(2,))
    folder.config.write_text(folder.config.read_text(encoding="utf-8") + "\n[gone]\nkey = 1\n", encoding="utf-8")
    assert "can't be continued by this version of the project: " in refusal(config(place))


@pytest.mark.parametrize("enter", [lambda given: open_run(given, "mine"), start])
def test_a_run_that_is_still_going_is_left_to_it(place: Path, enter: Callable[[Config], object]) -> None:
    folder = live(config(place), steps=2, saves=(2,))
    with sole_writer(folder.path), pytest.raises(BadInput, match="holds a run that is still going"):
        enter(config(place))
    assert open_run(config(place), "mine").step == 2


def test_of_two_starts_of_one_name_the_slower_is_refused(place: Path) -> None:
    opened = open_run(config(place), "mine")
    start(config(place))
    with pytest.raises(BadInput, match="was taken by another run a moment ago"), enter_run(opened, config(place)):
        pass


def test_every_key_that_may_change_is_one_that_there_is(place: Path) -> None:
    keys: set[str] = set()

    def collect(values: dict[str, object], prefix: str) -> None:
        for key, value in values.items():
            keys.add(f"{prefix}{key}")
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}.")

    collect(config(place).model_dump(mode="json"), "")
    assert set(MAY_CHANGE) <= keys
    assert len(set(MAY_CHANGE)) == len(MAY_CHANGE)
