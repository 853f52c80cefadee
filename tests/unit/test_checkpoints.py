"""Checkpoints on a real disk: whole or not there, checked by every byte, the last and the best kept."""

import asyncio
import json
import resource
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from driver.checkpoint_files import Origin, RunState, read_manifest
from driver.checkpoints import Checkpoints, find_checkpoint, set_aside_later, whole_checkpoints
from driver.errors import BadInput, CheckpointFailed
from driver.learning_config import CheckpointConfig
from driver.metrics import MetricsLog

ORIGINS = {
    "policy.model": Origin(told="models/tiny (12ab)", digest="12ab"),
    "learner.lora": Origin(told="off", digest="off"),
}
STATE = RunState(
    step=10,
    policy_version=9,
    optimizer_steps=18,
    skipped_in_a_row=1,
    stream={"position": 40, "seed": 7, "languages": ["de", "sw"], "fingerprint": "abc"},
    num_ranks=2,
    seed=7,
    calibration='{"judge": "embedding"}',
)

Shards = dict[str, bytes]


def writer(shards: Shards) -> Callable[[Path], Awaitable[None]]:
    async def write(folder: Path) -> None:
        assert folder.is_dir()
        assert list(folder.iterdir()) == []
        for name, content in shards.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    return write


class Run:
    """Checkpoints of one folder, and what they had to say."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder / "checkpoints"
        self.metrics = folder / "metrics.jsonl"
        self.said: list[str] = []
        self.checkpoints = Checkpoints(
            self.folder,
            settings=CheckpointConfig.model_validate({"every_steps": 10, **settings}),
            origins=ORIGINS,
            metrics=self.metrics,
            note=self.said.append,
        )

    def save(self, step: int, shards: Shards | None = None) -> Path:
        write = writer(shards or {"policy/rank-0.pt": b"weights" * 1000, "policy/rank-1.pt": b"others" * 1000})
        return asyncio.run(self.checkpoints.save(replace(STATE, step=step), write))

    def log(self, **rewards: float) -> None:
        """s1=0.5 is step 1 with a mean reward of 0.5."""
        log = MetricsLog(self.metrics)
        for name, reward in rewards.items():
            log.append(int(name[1:]), {"reward/mean": reward})
        log.close()

    def steps(self) -> list[int]:
        return sorted(whole_checkpoints(self.folder))

    def pointer(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8").strip()

    def find(self, on_damage: str = "previous"):
        return find_checkpoint(self.folder, origins=ORIGINS, on_damage=on_damage)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, best_metric="")


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: the system refuses the write, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- saving and finding ---------------------------------------------------------------------------------------------


def test_what_was_saved_is_found_again(run: Run) -> None:
    path = run.save(10, {"policy/rank-0.pt": b"weights"})
    found = run.find()
    assert found is not None
    assert (found.path, found.notes) == (path, ())
    assert found.state == STATE
    assert (found.learner / "policy" / "rank-0.pt").read_bytes() == b"weights"
    assert path.name == run.pointer("latest") == "step-000010"


def test_a_run_without_a_checkpoint_has_none_to_find(run: Run) -> None:
    assert run.find() is None
    run.folder.mkdir()
    (run.folder / "final").mkdir()  # the exported policy lies beside them
    assert run.find() is None


@pytest.mark.parametrize(("step", "is_due"), [(9, False), (10, True), (20, True), (25, True), (24, False)])
def test_a_checkpoint_is_due_every_so_many_steps_and_after_the_last(run: Run, step: int, is_due: bool) -> None:
    assert run.checkpoints.is_due(step, last_step=25) is is_due


def test_without_an_interval_none_is_ever_due(tmp_path: Path) -> None:
    checkpoints = Run(tmp_path, every_steps=0).checkpoints
    assert not any(checkpoints.is_due(step, last_step=5) for step in range(1, 6))


def test_a_kill_while_saving_leaves_the_one_before_and_nothing_for_long(run: Run) -> None:
    run.save(10)
    shutil.copytree(run.folder / "step-000010", run.folder / "step-000020.partial")  # as a kill left it
    found = run.find()
    assert found is not None and found.state.step == 10
    run.save(20)
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010", "step-000020"]


def test_a_kill_before_the_pointer_moved_loses_nothing(run: Run) -> None:
    run.save(10)
    run.save(20)
    (run.folder / "latest").write_text("step-000010\n", encoding="utf-8")
    found = run.find()
    assert found is not None and found.state.step == 20


# --- damage -------------------------------------------------------------------------------------------------------


def test_a_shard_that_is_cut_off_is_named_and_the_checkpoint_before_it_is_used(run: Run) -> None:
    run.save(10)
    shard = run.save(20) / "learner" / "policy" / "rank-1.pt"
    shard.write_bytes(shard.read_bytes()[:5000])
    found = run.find()
    assert found is not None and found.state.step == 10
    assert found.notes == (f"checkpoint step-000020 is damaged and not used: {shard} has 5,000 bytes, expected 6,000",)


@pytest.mark.parametrize("name", ["learner/policy/rank-0.pt", "state.json", "manifest.json"])
def test_one_bit_that_flipped_is_found_in_every_file(run: Run, name: str) -> None:
    run.save(10)
    file = run.save(20) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = run.find()
    assert found is not None and found.state.step == 10
    assert str(file) in found.notes[0]


def test_a_missing_shard_is_named(run: Run) -> None:
    shard = run.save(10) / "learner" / "policy" / "rank-0.pt"
    shard.unlink()
    with pytest.raises(BadInput, match=rf"no checkpoint in .* is whole: .*{shard} is missing; choose another run.name"):
        run.find()


def test_a_run_may_be_told_to_stop_at_damage(run: Run) -> None:
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
    run = Run(tmp_path, best_metric="")
    path = run.save(10, {"a": b"0123456789", "b": b""})
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    file.write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        run.find("stop")


def test_a_checkpoint_of_another_format_is_not_guessed_at(run: Run) -> None:
    import driver.checkpoint_files as files

    manifest = run.save(10) / "manifest.json"
    record = json.loads(manifest.read_text(encoding="utf-8"))
    del record["checksum"]
    record["format"] = 99
    record["checksum"] = files._checksum(record)
    manifest.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(BadInput, match="another version of this project"):
        run.find()


@pytest.mark.parametrize(
    ("key", "now", "told"),
    [
        ("policy.model", Origin(told="models/larger (34cd)", digest="34cd"), "models/larger (34cd)"),
        ("critic.model", Origin(told="models/critic (56ef)", digest="56ef"), "models/critic (56ef)"),
        ("learner.lora", Origin(told="rank 8 and alpha 16 on q_proj", digest="8"), "rank 8 and alpha 16 on q_proj"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_with_both(run: Run, key: str, now: Origin, told: str) -> None:
    run.save(10)
    before = ORIGINS[key].told if key in ORIGINS else "none"
    with pytest.raises(BadInput) as refusal:
        find_checkpoint(run.folder, origins={**ORIGINS, key: now}, on_damage="previous")
    assert f"{key} was {before} and is {told} now" in str(refusal.value)


def test_a_model_that_was_moved_is_the_same(run: Run) -> None:
    run.save(10)
    moved = {**ORIGINS, "policy.model": replace(ORIGINS["policy.model"], told="/elsewhere/tiny (12ab)")}
    assert find_checkpoint(run.folder, origins=moved, on_damage="previous") is not None


# --- a disk that fills up -------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_the_old_checkpoint_and_no_trace_of_the_new(run: Run) -> None:
    run.save(10)
    with full_disk(20_000), pytest.raises(CheckpointFailed) as failure:
        run.save(20, {"policy/rank-0.pt": b"x" * 50_000})
    assert "the checkpoint of step 20 could not be written" in str(failure.value)
    assert "File too large" in str(failure.value)
    assert str(failure.value).endswith("whole ones: step 10")
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010"]
    found = run.find("stop")
    assert found is not None and found.state.step == 10
    run.save(30, {"policy/rank-0.pt": b"x" * 50_000})  # there is room again
    assert run.steps() == [10, 30]


def test_a_manifest_that_does_not_fit_fails_the_same_way(run: Run) -> None:
    with full_disk(4_000), pytest.raises(CheckpointFailed, match=r"whole ones: none$"):
        run.save(10, {f"policy/rank-{rank}.pt": b"x" for rank in range(100)})
    assert list(run.folder.iterdir()) == []


def test_a_learner_that_could_not_write_is_a_failed_checkpoint(run: Run) -> None:
    run.save(10)

    async def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise CheckpointFailed("rank-1.pt: No space left on device (rank 1)")

    with pytest.raises(CheckpointFailed, match=r"of step 20 could not be written: rank-1\.pt: No space left"):
        asyncio.run(run.checkpoints.save(replace(STATE, step=20), fail))
    assert run.steps() == [10]
    assert not (run.folder / "step-000020.partial").exists()


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_the_last_ones_are_kept(run: Run) -> None:
    for step in (10, 20, 30, 40):
        run.save(step)
    assert run.steps() == [30, 40]
    assert run.pointer("latest") == "step-000040"


def test_the_best_is_kept_beside_the_last(tmp_path: Path) -> None:
    run = Run(tmp_path, keep_last=1)
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
    assert run.said == []


def test_a_metric_that_nothing_logs_is_told_of_once(tmp_path: Path) -> None:
    run = Run(tmp_path, keep_last=1, best_metric="reward/meen")
    run.log(s1=0.2, s2=0.4)
    run.save(1)
    run.save(2)
    assert run.steps() == [2]
    assert not (run.folder / "best").exists()
    assert run.said == [
        "checkpoint.best_metric 'reward/meen' is not among the metrics of steps 1 to 1 (reward/mean, ...): no checkpoint "
        "is kept as the best by it"
    ]


def test_saving_a_step_again_replaces_it(run: Run) -> None:
    run.save(10, {"a": b"first"})
    run.save(10, {"a": b"second"})
    assert (run.folder / "step-000010" / "learner" / "a").read_bytes() == b"second"
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010"]


def test_damaged_ones_are_set_aside_until_the_next_is_whole(run: Run) -> None:
    run.save(10)
    (run.save(20) / "state.json").write_text("{}", encoding="utf-8")
    set_aside_later(run.folder, 10)
    assert run.steps() == [10]
    assert run.pointer("latest") == "step-000010"
    assert (run.folder / "step-000020.damaged").is_dir()
    run.save(20)
    assert sorted(path.name for path in run.folder.iterdir()) == ["latest", "step-000010", "step-000020"]
