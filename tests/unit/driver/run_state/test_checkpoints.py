"""Check that checkpoints on a real disk are whole or not there, and that every byte of them is compared."""

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.errors import BadInput
from contracts.files import swap_folders
from driver.run_state import checkpoint_files
from driver.run_state.buffered_groups import read_groups
from driver.run_state.checkpoint_files import seal
from driver.run_state.checkpoints import find_checkpoint, set_aside_later
from driver.run_state.model_fingerprints import Fingerprint
from driver.run_state.state import write_state
from tests.refusals import refused
from tests.runs.checkpointed import FINGERPRINTS, STATE, CheckpointedRun


@pytest.fixture
def run(tmp_path: Path) -> CheckpointedRun:
    return CheckpointedRun(tmp_path, best_metric="off")


# --- saving and finding ---------------------------------------------------------------------------------------------


def test_what_was_saved_is_found_again(run: CheckpointedRun) -> None:
    path = run.save(10, {"policy/rank-0.pt": b"weights"})
    found = run.find()
    assert found is not None
    assert (found.path, found.notes) == (path, ())
    assert found.state == STATE
    assert (found.learner / "policy" / "rank-0.pt").read_bytes() == b"weights"
    assert path.name == run.pointer("latest") == "step-000010"


def test_a_run_without_a_checkpoint_has_none_to_find(run: CheckpointedRun) -> None:
    assert run.find() is None
    run.folder.mkdir()
    (run.folder / "final").mkdir()  # the exported policy lies beside them
    assert run.find() is None


@pytest.mark.parametrize(("step", "is_due"), [(9, False), (10, True), (20, True), (25, True), (24, False)])
def test_a_checkpoint_is_due_every_so_many_steps_and_after_the_last(
    run: CheckpointedRun, step: int, is_due: bool
) -> None:
    assert run.checkpoints.is_due(step, last_step=25) is is_due


def test_without_an_interval_none_is_ever_due(tmp_path: Path) -> None:
    checkpoints = CheckpointedRun(tmp_path, every_steps="off").checkpoints
    assert not any(checkpoints.is_due(step, last_step=5) for step in range(1, 6))


def test_a_kill_while_saving_leaves_the_one_before_and_nothing_for_long(run: CheckpointedRun) -> None:
    run.save(10)
    shutil.copytree(run.folder / "step-000010", run.folder / "step-000020.partial")  # as a kill left it
    found = run.find()
    assert found is not None and found.state.step == 10
    run.save(20)
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010", "step-000020"]


def test_a_kill_before_the_pointer_moved_loses_nothing(run: CheckpointedRun) -> None:
    run.save(10)
    run.save(20)
    (run.folder / "latest").write_text("step-000010\n", encoding="utf-8")
    found = run.find()
    assert found is not None and found.state.step == 20


# --- damage -------------------------------------------------------------------------------------------------------


def test_a_shard_that_is_cut_off_is_named_and_the_checkpoint_before_it_is_used(run: CheckpointedRun) -> None:
    run.save(10)
    shard = run.save(20) / "learner" / "policy" / "rank-1.pt"
    shard.write_bytes(shard.read_bytes()[:5000])
    found = run.find()
    assert found is not None and found.state.step == 10
    (note,) = found.notes
    assert all(word in note for word in ("step-000020", str(shard), "5,000", "6,000"))


@pytest.mark.parametrize("name", ["learner/policy/rank-0.pt", "state.json", "manifest.json"])
def test_one_bit_that_flipped_is_found_in_every_file(run: CheckpointedRun, name: str) -> None:
    run.save(10)
    file = run.save(20) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = run.find()
    assert found is not None and found.state.step == 10
    assert str(file) in found.notes[0]


def test_a_missing_shard_is_named(run: CheckpointedRun) -> None:
    shard = run.save(10) / "learner" / "policy" / "rank-0.pt"
    shard.unlink()
    with pytest.raises(BadInput) as refusal:
        run.find()
    assert refusal.value.key == "step-000010/learner/policy/rank-0.pt"


def test_a_run_may_be_set_to_stop_at_damage(run: CheckpointedRun) -> None:
    run.save(10)
    shard = run.save(20) / "learner" / "policy" / "rank-0.pt"
    shard.write_bytes(b"x" * 7000)
    with pytest.raises(BadInput) as refusal:
        run.find("stop")
    assert refusal.value.key == "step-000020/learner/policy/rank-0.pt"


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_to_any_byte_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
    run = CheckpointedRun(tmp_path, best_metric="off")
    path = run.save(10, {"a": b"0123456789", "b": b""})
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    file.write_bytes(content)
    with pytest.raises(BadInput) as refusal:
        run.find("stop")
    assert refusal.value.key == f"step-000010/{file.relative_to(path)}"


# --- what a run did not write ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_damage", ["previous", "stop"])
@pytest.mark.parametrize(
    "name",
    [
        "learner/policy/rank-0009.pt",
        "learner/other/policy/rank-0000.pt",
        "policy/modeling_tiny.py",
        ".hidden",
    ],
)
def test_a_file_that_the_manifest_does_not_list_is_refused_by_name(
    run: CheckpointedRun, name: str, on_damage: str
) -> None:
    run.save(10)
    stranger = run.save(20) / name
    stranger.parent.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"anything")
    with refused(f"step-000020/{name}", str(stranger)):
        run.find(on_damage)
    assert stranger.exists()
    stranger.unlink()
    found = run.find(on_damage)
    assert found is not None and found.state.step == 20


def test_a_link_to_another_folder_is_refused_by_name(run: CheckpointedRun, tmp_path: Path) -> None:
    path = run.save(10)
    (path / "learner").rename(tmp_path / "elsewhere")
    (path / "learner").symlink_to(tmp_path / "elsewhere")
    with refused("step-000010/learner"):
        run.find()


def test_checkpoints_whose_names_were_exchanged_are_refused(run: CheckpointedRun) -> None:
    older, newer = run.save(10), run.save(20)
    swap_folders(older, newer)
    with refused("step-000020/manifest.json", str(newer), "step 10"):
        run.find()
    assert run.steps() == [10, 20]


def test_a_checkpoint_by_another_name_is_refused_and_not_set_aside(run: CheckpointedRun) -> None:
    run.save(10)
    run.save(20).rename(run.folder / "step-000030")
    (run.folder / "latest").write_text("step-000030\n", encoding="utf-8")
    with refused("step-000030/manifest.json", "step 20"):
        run.find()


def test_a_state_of_another_step_is_refused(run: CheckpointedRun) -> None:
    path = run.save(10)
    write_state(path, replace(STATE, step=9))
    seal(path, step=10, metric="off", score=None, fingerprints=FINGERPRINTS, sums={})
    with refused("step-000010/state.json", "step 9"):
        run.find()


@pytest.mark.parametrize("state", ["{}", '{"format": 3, "step": 10}', "[" * 100])
def test_a_state_that_is_none_is_damage_and_no_crash(run: CheckpointedRun, state: str) -> None:
    path = run.save(10)
    (path / "state.json").write_text(state, encoding="utf-8")
    seal(path, step=10, metric="off", score=None, fingerprints=FINGERPRINTS, sums={})
    with refused("step-000010/state.json"):
        run.find()


class Code:
    """Create a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["state.json", "manifest.json"])
def test_a_pickle_in_place_of_a_file_is_damage_and_runs_nothing(
    run: CheckpointedRun, tmp_path: Path, name: str
) -> None:
    path = run.save(10)
    (path / name).write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    if name != "manifest.json":  # a manifest that lists the pickle, as that of a folder from elsewhere may
        seal(path, step=10, metric="off", score=None, fingerprints=FINGERPRINTS, sums={})
    with refused(f"step-000010/{name}"):
        run.find("stop")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_in_place_of_the_groups_is_refused_and_runs_nothing(run: CheckpointedRun, tmp_path: Path) -> None:
    path = run.save(10)
    (path / "groups.parquet").write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    seal(path, step=10, metric="off", score=None, fingerprints=FINGERPRINTS, sums={})
    found = run.find("stop")
    assert found is not None
    with refused("groups.parquet", str(found.groups)):
        read_groups(found.groups)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["step-000030", "../elsewhere/step-000020", "", "\0"])
def test_a_pointer_to_no_checkpoint_of_the_run_is_refused(run: CheckpointedRun, name: str) -> None:
    run.save(20)
    (run.folder / "latest").write_text(name, encoding="utf-8")
    with refused("latest", "step-000020"):
        run.find()
    (run.folder / "latest").unlink()
    assert run.find() is not None


def test_a_kill_while_a_damaged_checkpoint_is_set_aside_leaves_a_run_that_goes_on(run: CheckpointedRun) -> None:
    run.save(10)
    damaged = run.save(20)
    (run.folder / "step-000020.damaged").write_bytes(b"in the way of the renaming, which therefore fails")
    with pytest.raises(OSError):
        set_aside_later(run.folder, 10)
    damaged.rename(run.folder / "step-000020.partial")  # what the renaming would have done
    found = run.find()
    assert found is not None and found.state.step == 10


def test_no_pointer_names_a_checkpoint_that_was_set_aside(tmp_path: Path) -> None:
    run = CheckpointedRun(tmp_path, best_metric="reward/mean")
    run.log(s10=0.1, s20=0.9)
    run.save(10)
    run.save(20)
    assert run.pointer("best") == "step-000020"
    set_aside_later(run.folder, 10)
    assert run.pointer("latest") == "step-000010"
    assert not (run.folder / "best").exists()


def test_a_step_that_is_saved_twice_has_the_later_state_and_one_folder(run: CheckpointedRun) -> None:
    run.save(10, {"shard": b"first"})
    run.save(10, {"shard": b"second"})
    found = run.find()
    assert found is not None and (found.learner / "shard").read_bytes() == b"second"
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010"]


def test_a_checkpoint_of_another_format_is_not_guessed_at(
    run: CheckpointedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "FORMAT", 99)  # as a later version would write
    run.save(10)
    monkeypatch.undo()
    with pytest.raises(BadInput) as refusal:
        run.find()
    assert refusal.value.key == "step-000010/manifest.json"


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("policy.model", Fingerprint(label="models/larger (34cd)", digest="34cd")),
        ("critic.model", Fingerprint(label="models/critic (56ef)", digest="56ef")),
        ("learner.lora", Fingerprint(label="rank 8 and alpha 16 on q_proj", digest="8")),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(run: CheckpointedRun, key: str, now: Fingerprint) -> None:
    run.save(10)
    with pytest.raises(BadInput) as refusal:
        find_checkpoint(run.folder, fingerprints={**FINGERPRINTS, key: now}, on_damage="previous")
    assert refusal.value.key == key


def test_a_model_that_was_moved_is_the_same(run: CheckpointedRun) -> None:
    run.save(10)
    moved = {**FINGERPRINTS, "policy.model": replace(FINGERPRINTS["policy.model"], label="/elsewhere/tiny (12ab)")}
    assert find_checkpoint(run.folder, fingerprints=moved, on_damage="previous") is not None
