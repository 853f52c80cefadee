"""Checkpoints on a real disk: whole or not there, and checked by every byte."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contracts.errors import BadInput
from driver.run_state import checkpoint_files
from driver.run_state.checkpoint_files import Origin
from driver.run_state.checkpoints import find_checkpoint
from tests.runs.checkpointed import ORIGINS, STATE, CheckpointedRun


@pytest.fixture
def run(tmp_path: Path) -> CheckpointedRun:
    return CheckpointedRun(tmp_path, best_metric="")


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
    checkpoints = CheckpointedRun(tmp_path, every_steps=0).checkpoints
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
    assert found.notes == (f"checkpoint step-000020 is damaged and not used: {shard} has 5,000 bytes, expected 6,000",)


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
    with pytest.raises(BadInput, match=rf"no checkpoint in .* is whole: .*{shard} is missing; choose another run.name"):
        run.find()


def test_a_run_may_be_told_to_stop_at_damage(run: CheckpointedRun) -> None:
    run.save(10)
    shard = run.save(20) / "learner" / "policy" / "rank-0.pt"
    shard.write_bytes(b"x" * 7000)
    with pytest.raises(BadInput) as refusal:
        run.find("stop")
    assert str(refusal.value).startswith(f"checkpoint step-000020 is damaged: {shard} has changed since it was written")
    assert "SHA-256" in str(refusal.value) and "expected" in str(refusal.value)
    assert 'set checkpoint.on_damage to "previous"' in str(refusal.value)


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_to_any_byte_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
    run = CheckpointedRun(tmp_path, best_metric="")
    path = run.save(10, {"a": b"0123456789", "b": b""})
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    file.write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        run.find("stop")


def test_a_checkpoint_of_another_format_is_not_guessed_at(
    run: CheckpointedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "FORMAT", 99)  # as a later version would write
    run.save(10)
    monkeypatch.undo()
    with pytest.raises(BadInput, match="another version of this project, which reads format 2 only"):
        run.find()


@pytest.mark.parametrize(
    ("key", "now", "told"),
    [
        ("policy.model", Origin(told="models/larger (34cd)", digest="34cd"), "models/larger (34cd)"),
        ("critic.model", Origin(told="models/critic (56ef)", digest="56ef"), "models/critic (56ef)"),
        ("learner.lora", Origin(told="rank 8 and alpha 16 on q_proj", digest="8"), "rank 8 and alpha 16 on q_proj"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_with_both(
    run: CheckpointedRun, key: str, now: Origin, told: str
) -> None:
    run.save(10)
    before = ORIGINS[key].told if key in ORIGINS else "none"
    with pytest.raises(BadInput) as refusal:
        find_checkpoint(run.folder, origins={**ORIGINS, key: now}, on_damage="previous")
    assert f"{key} was {before} and is {told} now" in str(refusal.value)


def test_a_model_that_was_moved_is_the_same(run: CheckpointedRun) -> None:
    run.save(10)
    moved = {**ORIGINS, "policy.model": replace(ORIGINS["policy.model"], told="/elsewhere/tiny (12ab)")}
    assert find_checkpoint(run.folder, origins=moved, on_damage="previous") is not None
