"""Check which runs are continued, which are refused, and what is left in the folder of a continued run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput
from driver.run_state.checkpoint_files import LEARNER
from driver.run_state.model_fingerprints import run_fingerprints
from driver.run_state.resume import OpenedRun, enter_run, open_run
from driver.tracking.line_logs import Event, EventLog, MetricsLog, read_events, read_metrics
from driver.tracking.run_folder import RunFolder, sole_writer
from tests.builders import a_config
from tests.runs.checkpointed import CheckpointedRun

Sections = dict[str, dict[str, object]]


def config(folder: Path, **sections: dict[str, object]) -> Config:
    """Return the config of a run in `folder` whose policy's weights are `policy/model.safetensors`."""
    base: Sections = {
        "run": {"folder": str(folder), "name": "mine"},
        "policy": {"model": str(folder / "policy")},
        "algorithm": {"steps": 6},
        "checkpoint": {"every_steps": 2, "best_metric": "off", "keep_last": 3},
    }
    return a_config(base, sections)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def start(given: Config) -> RunFolder:
    with enter_run(open_run(given, "mine"), given) as folder:
        return folder


def a_run_of(given: Config, *, steps: int, status: str = "", saves: tuple[int, ...] = ()) -> RunFolder:
    """Leave a run of the config that did some steps, saved after some, and ended with a status or by a kill."""
    folder = start(given)
    metrics, events = MetricsLog(folder.metrics), EventLog(folder.events)
    run = CheckpointedRun(folder.path, fingerprints=run_fingerprints(given), **given.checkpoint.model_dump())
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


def refusal(given: Config) -> BadInput:
    """Return why a start is refused, which must leave every file in the folder as it is."""
    path = Path(given.run.folder)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(BadInput) as refused:
        open_run(given, "mine")
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    return refused.value


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
    assert refusal(config(place)).key == "config.toml"


def test_a_name_that_deepspeed_reads_as_a_pattern_is_refused_before_anything_is_trained(place: Path) -> None:
    with pytest.raises(BadInput) as refused:
        open_run(config(place), "run[1]")
    assert refused.value.key == "run.name"
    assert open_run(config(place, checkpoint={"every_steps": "off"}), "run[1]").is_new


# --- one that goes on ---------------------------------------------------------------------------------------------


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint_with_each_step_once(place: Path) -> None:
    given = config(place)
    folder = a_run_of(given, steps=5, saves=(2, 4))
    opened = open_run(given, "mine")
    assert opened.checkpoint is not None
    assert opened.step == 4
    assert len(opened.notes) == 1
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
    folder = a_run_of(given, steps=1, status="failed: policy-0 died")
    opened = open_run(given, "mine")
    assert (opened.checkpoint, opened.step) == (None, 0)
    assert len(opened.notes) == 1
    with enter_run(opened, given):
        pass
    assert read_metrics(folder.metrics) == []
    assert not folder.evaluation.exists()
    assert not folder.summary.exists()
    assert [(event.kind, event.reason) for event in read_events(folder.events)] == [("resumed", "after step 0")]


def test_a_run_that_failed_after_its_last_step_has_only_the_rest_to_do(place: Path) -> None:
    given = config(place)
    a_run_of(given, steps=6, saves=(2, 4, 6), status="failed: no room for the export")
    assert open_run(given, "mine").step == 6


def test_a_finished_run_is_refused_and_goes_on_when_asked_for_more(place: Path) -> None:
    folder = a_run_of(config(place), steps=6, saves=(2, 4, 6), status="finished")
    assert refusal(config(place)).key == "algorithm.steps"
    longer = config(place, algorithm={"steps": 9})
    opened = open_run(longer, "mine")
    assert opened.step == 6
    with enter_run(opened, longer):
        assert load_config(folder.config) == longer
        assert load_config(folder.path / "config.1.toml") == config(place)
    *_, change = read_events(folder.events)[-1].detail.splitlines()
    assert change.startswith("changed: algorithm.steps ")


def test_what_the_device_decides_is_no_change_of_a_config_that_leaves_it_open(place: Path) -> None:
    """The config is read before the cluster, and so before the device, is known; the run keeps the numbers."""
    given = config(place)
    folder = a_run_of(with_device_defaults(given, "cpu"), steps=5, saves=(2, 4))
    opened = open_run(given, "mine")
    with enter_run(opened, with_device_defaults(given, "cpu")):
        assert not (folder.path / "config.1.toml").exists()
    with enter_run(open_run(given, "mine"), with_device_defaults(given, "cuda")):
        assert load_config(folder.path / "config.1.toml") == with_device_defaults(given, "cpu")
    changes = read_events(folder.events)[-1].detail.splitlines()
    assert any(change.startswith("changed: learner.row_tokens was ") for change in changes)


@pytest.mark.parametrize("name", ["model.safetensors", "generation_config.json", "tokenizer.json"])
def test_a_run_whose_model_has_another_file_is_refused_and_one_with_another_readme_is_not(
    place: Path, name: str
) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    (place / "policy" / "README.md").write_text("Corrected.", encoding="utf-8")
    assert open_run(config(place), "mine").step == 2
    (place / "policy" / name).write_bytes(b"another")
    assert refusal(config(place)).key == "policy.model"


def test_a_run_goes_on_with_other_sizes(place: Path) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    given = config(place, learner={"num_ranks": 2}, policy={"num_workers": 2}, evaluation={"after": False})
    assert open_run(given, "mine").step == 2


def test_the_newest_checkpoint_is_passed_over_when_it_is_damaged_or_the_start_is_refused(place: Path) -> None:
    given = config(place)
    folder = a_run_of(given, steps=5, saves=(2, 4))
    (folder.checkpoints / "step-000004" / "state.json").unlink()
    stopping = config(place, checkpoint={"every_steps": 2, "on_damage": "stop"})
    assert refusal(stopping).key == "step-000004/state.json"
    opened = open_run(given, "mine")
    assert opened.step == 2
    assert "step-000004" in opened.notes[0]
    with enter_run(opened, given):
        pass
    assert (folder.checkpoints / "step-000004.damaged").is_dir()
    assert [step.step for step in read_metrics(folder.metrics)] == [1, 2]


def test_a_run_that_did_nothing_yet_may_be_started_with_another_config(place: Path) -> None:
    a_run_of(config(place), steps=0, status="failed: no such tensor")
    given = config(place, learner={"learning_rate": 1e-4})
    with enter_run(open_run(given, "mine"), given) as folder:
        assert load_config(folder.config) == given
    assert len(list(folder.path.glob("config.*.toml"))) == 1


# --- one that can't -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"run": {"seed": 2}}, "run.seed"),
        ({"learner": {"dtype": "float32"}}, "learner.dtype"),
        ({"learner": {"lora": {"rank": 8}}}, "learner.lora.rank"),
        ({"learner": {"learning_rate": 1e-4}}, "learner.learning_rate"),
        ({"algorithm": {"steps": 6, "group_size": 4}}, "algorithm.group_size"),
        ({"data": {"languages": ["th"]}}, "data.languages"),
        ({"reward": {"gates": {"language": False}}}, "reward.gates.language"),
    ],
)
def test_a_change_that_makes_it_another_run_is_refused_by_its_key(place: Path, change: Sections, key: str) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    assert refusal(config(place, **change)).key == key


def test_a_long_list_of_changes_is_cut(place: Path) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    learner: dict[str, object] = {"learning_rate": 1e-4, "weight_decay": 0.1, "max_grad_norm": 2.0, "warmup_steps": 3}
    message = str(refusal(config(place, learner=learner)))
    assert sum(f"learner.{key} " in message for key in learner) == 3


def test_other_weights_under_the_same_name_are_refused(place: Path) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    (place / "policy" / "model.safetensors").write_bytes(b"others!")
    assert refusal(config(place)).key == "policy.model"


def test_a_model_that_was_moved_goes_on(place: Path) -> None:
    a_run_of(config(place), steps=2, saves=(2,))
    (place / "policy").rename(place / "moved")
    assert open_run(config(place, policy={"model": str(place / "moved")}), "mine").step == 2


def test_a_run_that_kept_no_checkpoints_is_not_thrown_away(place: Path) -> None:
    given = config(place, checkpoint={"every_steps": "off"})
    a_run_of(given, steps=5)
    assert refusal(given).key == "checkpoint.every_steps"
    assert refusal(config(place)).key == "checkpoint.every_steps"  # asking for checkpoints now brings none back


def test_fewer_steps_than_a_checkpoint_has_are_refused(place: Path) -> None:
    a_run_of(config(place), steps=5, saves=(2, 4))
    assert refusal(config(place, algorithm={"steps": 3})).key == "algorithm.steps"


def test_the_results_of_another_command_are_not_overwritten(place: Path) -> None:
    folder = start(config(place))
    folder.write_summary({"run_folder": "x", "seconds": 3})
    assert refusal(config(place)).key == "summary.json"


def test_a_config_of_another_version_is_refused_by_its_folder_and_key(place: Path) -> None:
    folder = a_run_of(config(place), steps=2, saves=(2,))
    folder.config.write_text(folder.config.read_text(encoding="utf-8") + "\n[gone]\nkey = 1\n", encoding="utf-8")
    error = refusal(config(place))
    assert error.key == "gone"
    assert str(folder.path) in str(error)


@pytest.mark.parametrize("enter", [lambda given: open_run(given, "mine"), start])
def test_a_run_that_is_still_going_is_refused(place: Path, enter: Callable[[Config], object]) -> None:
    folder = a_run_of(config(place), steps=2, saves=(2,))
    with sole_writer(folder.path), pytest.raises(BadInput) as refused:
        enter(config(place))
    assert refused.value.key == "run.name"
    assert open_run(config(place), "mine").step == 2


def test_of_two_starts_of_one_name_the_slower_is_refused(place: Path) -> None:
    opened = open_run(config(place), "mine")
    start(config(place))
    with pytest.raises(BadInput) as refused, enter_run(opened, config(place)):
        pass
    assert refused.value.key == "run.name"
