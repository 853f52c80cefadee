"""A run folder with files that no run writes is refused by the file's name and line, and stays as it is."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver.evaluation.results import read_evaluations
from driver.run_state.resume import open_run
from driver.tracking.line_logs import Event, EventLog, MetricsLog, read_events, read_metrics
from driver.tracking.run_folder import RunFolder, create
from driver.tracking.samples_file import check_samples
from tests.builders import a_config
from tests.refusals import refused

DIGITS = "9" * 5000
LINES = [
    "{}",
    '{"step": "one", "time": 0.0, "metrics": {}}',
    '{"step": 1, "time": 0.0, "metrics": []}',
    '{"step": 1, "time": 0.0, "metrics": {"reward/mean": "high"}}',
    '{"step": 1.5, "time": 0.0, "metrics": {}}',
    '{"step": true, "time": 0.0, "metrics": {}}',
    '{"kind": "restart"}',
    '{"kind": "restart", "reason": "why", "step": "one"}',
    '{"kind": "restart", "reason": 3}',
    '{"kind": "restart", "reason": "why", "unknown": 1}',
    f'{{"step": {DIGITS}}}',
    '{"a":' * 100_000,
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("read", [read_metrics, read_events])
def test_a_foreign_line_is_refused_with_its_number(
    tmp_path: Path, line: str, read: Callable[[Path], list[object]]
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"torn": \n{line}\n', encoding="utf-8")
    with refused("lines.jsonl", f"{path}, line 2:"):
        read(path)


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_run_with_a_foreign_line_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    config = a_config({"run": {"folder": str(tmp_path), "name": "mine"}})
    folder = a_run(tmp_path / "mine", config)
    path = folder.path / name
    with path.open("a", encoding="utf-8") as file:
        file.write('{"epoch": 1, "loss": 0.5}\n')
    with refused(name, f"{path}, line 2:"):
        open_run(config, "mine")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbled" * 100, "other columns"])
def test_a_run_with_garbled_samples_is_refused_before_anything_starts(tmp_path: Path, content: bytes | str) -> None:
    config = a_config({"run": {"folder": str(tmp_path), "name": "mine"}})
    folder = a_run(tmp_path / "mine", config)
    if isinstance(content, bytes):
        folder.samples.write_bytes(content)
    else:
        pq.write_table(pa.table({"a": [1]}), folder.samples)
    before = folder.samples.read_bytes()
    with refused("samples.parquet", str(folder.samples)):
        open_run(config, "mine")
    assert folder.samples.read_bytes() == before


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize("read", [read_metrics, read_events, read_evaluations, check_samples])
def test_a_path_that_is_no_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    path = tmp_path / "record"
    make(path)
    with refused("record", str(path)):
        read(path)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'"text"', b"\xff", b'{"before": {}}', b'{"before": 1}', b"[" * 100_000]
)
def test_a_foreign_file_of_evaluations_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(content)
    with refused("evaluation.json", str(path)):
        read_evaluations(path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"\x00\x01\x02\xff", None),
        (b"format = 2\n[run]\nname = 3\n", "run.name"),
        (b'format = 2\nrun = "mine"\n', "run"),
        (b"format = 2\n[algorithm]\nsteps = " + b"9" * 5000, None),
        (b"format = 2\na = " + b"[" * 20_000, None),
        (b"format = []\n", "format"),
    ],
)
def test_a_run_with_a_foreign_config_is_refused(tmp_path: Path, content: bytes, key: str | None) -> None:
    config = a_config({"run": {"folder": str(tmp_path), "name": "mine"}})
    path = a_run(tmp_path / "mine", config).config
    path.write_bytes(content)
    with refused(key or str(path), str(path)):
        open_run(config, "mine")


def a_run(path: Path, config: object) -> RunFolder:
    folder = create(path, config)  # pyright: ignore[reportArgumentType]
    metrics, events = MetricsLog(folder.metrics), EventLog(folder.events)
    metrics.append(1, {"reward/mean": 0.5})
    events.append(Event(kind="restart", reason="a worker died"))
    metrics.close()
    events.close()
    assert json.loads(folder.metrics.read_text(encoding="utf-8"))["step"] == 1
    return folder
