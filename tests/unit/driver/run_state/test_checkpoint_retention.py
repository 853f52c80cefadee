"""Check what happens to checkpoints that can't be written, and which old ones are removed."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import CheckpointFailed
from contracts.sealed_folder import SummedFile
from driver.run_state.checkpoint_files import read_manifest
from driver.run_state.checkpoints import set_aside_later
from tests.refusals import raised
from tests.runs.checkpointed import STATE, CheckpointedRun


@pytest.fixture
def run(tmp_path: Path) -> CheckpointedRun:
    return CheckpointedRun(tmp_path, best_metric="off")


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this size: the system refuses the write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- a disk that fills up -------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_the_old_checkpoint_and_no_trace_of_the_new(run: CheckpointedRun) -> None:
    run.save(10)
    with full_disk(20_000), raised(CheckpointFailed, "step 20", "File too large", "step 10"):
        run.save(20, {"policy/rank-0.pt": b"x" * 50_000})
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010"]
    found = run.find("stop")
    assert found is not None and found.state.step == 10
    run.save(30, {"policy/rank-0.pt": b"x" * 50_000})  # there is room again
    assert run.steps() == [10, 30]


def test_a_manifest_that_does_not_fit_fails_the_same_way(run: CheckpointedRun) -> None:
    with full_disk(4_000), pytest.raises(CheckpointFailed):
        run.save(10, {f"policy/rank-{rank}.pt": b"x" for rank in range(100)})
    assert list(run.folder.iterdir()) == []


def test_a_checkpoint_that_is_given_up_leaves_nothing(run: CheckpointedRun) -> None:
    run.save(10)
    begun = run.checkpoints.begin(replace(STATE, step=20))
    (begun.learner / "half").write_bytes(b"x")
    full = CheckpointFailed("rank-1.pt: No space left on device (rank 1)")
    with raised(CheckpointFailed, "step 20", "rank-1.pt", "step 10"):
        raise run.checkpoints.give_up(20, full)
    assert run.steps() == [10]
    assert not begun.path.exists()


def test_a_file_that_is_cut_off_after_it_was_summed_fails_the_checkpoint(run: CheckpointedRun) -> None:
    begun = run.checkpoints.begin(replace(STATE, step=10))
    with SummedFile(begun.learner / "shard") as file:
        file.write(b"weights")
    (begun.learner / "shard").write_bytes(b"weigh")
    with pytest.raises(OSError, match="shard"):
        run.checkpoints.finish(begun, {str(begun.learner / "shard"): file.sum})
    assert run.steps() == []


def test_a_pointer_that_cannot_be_written_leaves_a_checkpoint_that_is_whole(run: CheckpointedRun) -> None:
    run.save(10)
    (run.folder / "latest.writing").mkdir()
    run.save(20)
    assert run.steps() == [10, 20]
    (note,) = run.notes
    assert "step-000020" in note and "latest" in note
    found = run.find("stop")
    assert found is not None and found.state.step == 20


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_the_last_ones_are_kept(run: CheckpointedRun) -> None:
    for step in (10, 20, 30, 40):
        run.save(step)
    assert run.steps() == [30, 40]
    assert run.pointer("latest") == "step-000040"


def test_the_best_is_kept_beside_the_last(tmp_path: Path) -> None:
    run = CheckpointedRun(tmp_path, keep_last=1)
    # Means since the checkpoint before: (0.2 + 0.4) / 2 = 0.3, then 0.9, then (0.8 + 0.6) / 2 = 0.7, then 0.5.
    run.log(s1=0.2, s2=0.4)
    run.save(2)
    assert read_manifest(run.folder / "step-000002").score == pytest.approx(0.3)
    run.log(s3=0.9)
    run.save(3)
    run.log(s4=0.8, s5=0.6)
    run.save(5)
    assert read_manifest(run.folder / "step-000005").score == pytest.approx(0.7)
    run.log(s6=0.5)
    run.save(6)
    assert run.steps() == [3, 6]
    assert (run.pointer("best"), run.pointer("latest")) == ("step-000003", "step-000006")
    assert run.notes == []


def test_scores_of_another_metric_are_not_compared(tmp_path: Path) -> None:
    by_reward = CheckpointedRun(tmp_path, keep_last=2)
    by_reward.log(s1=9.0)
    by_reward.save(1)
    by_accuracy = CheckpointedRun(tmp_path, keep_last=2, best_metric="other")
    by_accuracy.save(2)
    assert by_accuracy.steps() == [1, 2]
    assert not (by_accuracy.folder / "best").exists()


def test_a_best_metric_that_nothing_logs_is_noted_once(tmp_path: Path) -> None:
    run = CheckpointedRun(tmp_path, keep_last=1, best_metric="reward/meen")
    run.log(s1=0.2, s2=0.4)
    run.save(1)
    run.save(2)
    assert run.steps() == [2]
    assert not (run.folder / "best").exists()
    (note,) = run.notes
    assert "reward/meen" in note and "reward/mean" in note


def test_saving_a_step_again_replaces_it(run: CheckpointedRun) -> None:
    run.save(10, {"a": b"first"})
    run.save(10, {"a": b"second"})
    assert (run.folder / "step-000010" / "learner" / "a").read_bytes() == b"second"
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010"]


def test_damaged_ones_are_set_aside_until_the_next_is_whole(run: CheckpointedRun) -> None:
    run.save(10)
    (run.save(20) / "state.json").write_text("{}", encoding="utf-8")
    set_aside_later(run.folder, 10)
    assert run.steps() == [10]
    assert run.pointer("latest") == "step-000010"
    assert (run.folder / "step-000020.damaged").is_dir()
    run.save(20)
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010", "step-000020"]
