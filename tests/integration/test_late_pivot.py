"""Test runs on a cache that has every reference: no pivot, until a reference turns out to be damaged."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from driver.tracking.line_logs import read_events
from driver.tracking.run_folder import RunFolder
from tests.commands import run_project
from tests.integration.conftest import PreparedRun, TinyModels, prepare_tiny

ONE_STEP = ("algorithm.steps=1", "evaluation.before=false", "evaluation.after=false")


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start commands on a prepared run."""

    prepared: PreparedRun
    environment: dict[str, str]

    def plan(self) -> dict[str, object]:
        return self._result("plan", *ONE_STEP)

    def train(self, name: str) -> RunFolder:
        self._result("train", *ONE_STEP, f"run.name={name}")
        return RunFolder(Path(self.prepared.config.run.folder) / name)

    def _result(self, command: str, *words: str) -> dict[str, object]:
        path = self.prepared.path
        done = run_project(command, str(path), *words, "--json", cwd=path.parent, environment=self.environment)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def start(tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Start:
    prepared = prepare_tiny(tiny_models, folder=tmp_path_factory.mktemp("late"))
    return Start(prepared=prepared, environment=environment)


def pivots_of(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.logs.iterdir() if path.name.startswith("pivot"))


def num_pivots(plan: dict[str, object]) -> int:
    actors = plan["actors"]
    assert isinstance(actors, list)
    return sum(actor["name"].startswith("pivot") for actor in actors)


def test_a_run_whose_references_are_all_there_starts_no_pivot_and_plan_says_so(start: Start) -> None:
    planned = start.plan()
    assert (planned["late"], num_pivots(planned)) == (["pivot"], 0)
    folder = start.train("without")
    assert pivots_of(folder) == []
    assert json.loads(folder.summary.read_text(encoding="utf-8"))["status"] == "finished"


def test_a_damaged_reference_starts_the_pivot_during_the_run(start: Start) -> None:
    cache = Path(start.prepared.config.pivot.cache)
    for file in cache.glob("*.parquet"):
        _damage_texts(file)
    folder = start.train("damaged")
    assert pivots_of(folder) == ["pivot-0.err", "pivot-0.out"]
    assert "pivot: started" in {event.reason for event in read_events(folder.events) if event.kind == "fleet"}
    planned = start.plan()  # the damaged file was renamed, and the answers of the tiny pivot are in another one
    assert (planned["late"], num_pivots(planned)) == (["pivot"], 0)
    shutil.rmtree(cache)
    planned = start.plan()
    assert (planned["late"], num_pivots(planned)) == ([], 1)


def _damage_texts(file: Path) -> None:
    """Write over the texts of a file; its keys can still be read."""
    group = pq.ParquetFile(file).metadata.row_group(0)
    (column,) = [group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == "text"]
    content = bytearray(file.read_bytes())
    end = column.data_page_offset + column.total_compressed_size
    content[end - 8 : end] = bytes(byte ^ 0xFF for byte in content[end - 8 : end])
    file.write_bytes(content)
