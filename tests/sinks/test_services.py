"""Read with each service's own package what a run has passed on to it, also a run that was continued.

`make sinks-check` runs this in an environment that has the packages.
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from contracts.config.sinks import SinksConfig
from driver.sinks.opened import TENSORBOARD, check_sinks, open_sinks

ROOT = Path(__file__).resolve().parents[2]
WANDB_START = """
import sys
from pathlib import Path
from contracts.config.sinks import SinksConfig
from driver.sinks.opened import open_sinks
folder, first, after = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sinks = open_sinks(SinksConfig(wandb_project="languages"), folder, after_step=first - 1, tell=sys.exit)
for step in range(first, after):
    for sink in sinks:
        sink.step(step, {"reward/mean": step / 10})
for sink in sinks:
    sink.close()
"""


def start(config: SinksConfig, folder: Path, steps: range) -> None:
    """Pass steps on, as one start of a run does."""
    check_sinks(config)
    sinks = open_sinks(config, folder, after_step=steps.start - 1, tell=lambda text: pytest.fail(text))
    for step in steps:
        for sink in sinks:
            sink.step(step, {"reward/mean": step / 10, "lang/sw/accuracy": 0.5})
    for sink in sinks:
        sink.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a-run"
    path.mkdir()
    return path


def test_tensorboard_shows_every_step_once_and_those_that_were_done_again_in_their_last_form(folder: Path) -> None:
    start(SinksConfig(), folder, range(1, 6))
    start(SinksConfig(), folder, range(4, 8))
    shown = EventAccumulator(str(folder / TENSORBOARD))
    shown.Reload()
    assert set(shown.Tags()["scalars"]) == {"reward/mean", "lang/sw/accuracy"}
    values = shown.Scalars("reward/mean")
    assert [value.step for value in values] == [1, 2, 3, 4, 5, 6, 7]
    assert [value.value for value in values] == pytest.approx([step / 10 for step in range(1, 8)])


def test_mlflow_has_one_run_with_the_steps_of_both_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder.parent / 'store.db'}")
    config = SinksConfig(mlflow_experiment="languages")
    start(config, folder, range(1, 4))
    start(config, folder, range(4, 6))
    client = MlflowClient()
    experiment = client.get_experiment_by_name("languages")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("a-run", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "reward/mean")
    assert [(point.step, point.value) for point in history] == [(step, step / 10) for step in range(1, 6)]


def test_wandb_has_one_record_with_the_steps_of_both_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for first, after in ((1, 4), (4, 6)):  # each start in a process of its own: the file is whole when that has ended
        words = [sys.executable, "-c", WANDB_START, str(folder), str(first), str(after)]
        subprocess.run(words, cwd=ROOT, check=True)
    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    found = [record for file in files for record in wandb_records(file)]
    runs = {(record.run.run_id, record.run.project) for record in found if record.HasField("run")}
    assert len(files) == 2
    assert {project for _, project in runs} == {"languages"}
    assert len(runs) == 1
    steps = [
        item.value_json for record in found for item in record.history.item if "_step" in (item.key, *item.nested_key)
    ]
    assert [int(step) for step in steps] == [1, 2, 3, 4, 5]


def wandb_records(file: Path) -> Iterator[Record]:
    """Yield the records of an offline run, which `wandb sync` would send.

    After a header of 7 bytes the file is a log in the format of LevelDB:
    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # too short for a header: the rest of the block is padding
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""
