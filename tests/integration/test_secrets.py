"""Plant keys and passwords in the environment of a run, and look for them in everything that it writes or shows."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.secrets import secret_values
from driver.tracking.run_folder import RunFolder
from tests.commands import Finished, run_project
from tests.integration.conftest import TinyModels, prepare_tiny

PLANTED = {
    "HF_TOKEN": "hf_planted0token1of2the3hub",
    "HUGGING_FACE_HUB_TOKEN": "hf_planted4older5name6of7it",
    "WANDB_API_KEY": "planted8key9of0weights1and2biases",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-of-mlflow",
    "AWS_SECRET_ACCESS_KEY": "planted/secret/of/object/storage",
    "HTTPS_PROXY": "http://me:planted-proxy-password@127.0.0.1:9",
}
WORDS = (*secret_values(PLANTED), "planted-proxy-password")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Hold what a run with planted secrets wrote, printed and offered to Prometheus."""

    command: Finished
    folder: Path
    pages: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("secrets")
    prepared = prepare_tiny(tiny_models, folder=folder)
    place, pages, is_over = folder / "runs" / "planted", list[str](), threading.Event()

    def look() -> None:
        while not is_over.wait(0.5):
            if (targets := RunFolder(place).targets).exists():
                pages.append(metric_page(json.loads(targets.read_text(encoding="utf-8"))[0]["targets"][0]))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        words = (str(prepared.path), "run.name=planted", "algorithm.steps=1", "fleet.heartbeat_s=0.5")
        quick = {"RAY_metrics_report_interval_ms": "1000"}
        command = run_project("train", *words, cwd=folder, environment=environment | quick | PLANTED)
    finally:
        is_over.set()
        looking.join()
    assert command.code == 0, command.stderr
    yield Watched(command=command, folder=place, pages=pages)


def metric_page(address: str) -> str:
    """Return the page that Ray's agent offers to Prometheus; empty where it is not there yet, or no longer."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{address}/metrics", timeout=10
        ) as answer:
            return answer.read().decode("utf-8")
    except OSError:
        return ""


def found_in(content: bytes) -> list[str]:
    return [word for word in WORDS if word.encode() in content]


def test_every_planted_word_is_looked_for() -> None:
    assert len(WORDS) == len(PLANTED)
    assert found_in(f"... {WORDS[0]} ...".encode()) == [WORDS[0]]


def test_no_file_of_the_run_holds_a_secret(run: Watched) -> None:
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert {"config.toml", "report.html", "driver.log", "events.jsonl"} <= {path.name for path in files}
    assert {str(path): found for path in files if (found := found_in(path.read_bytes()))} == {}


def test_nothing_that_is_printed_holds_a_secret(run: Watched) -> None:
    assert found_in((run.command.stdout + run.command.stderr).encode()) == []


def test_the_metrics_hold_no_secret(run: Watched) -> None:
    assert any("ray_pb_rlsvr_actor_serving" in page for page in run.pages)
    assert [found for page in run.pages if (found := found_in(page.encode()))] == []


def test_ray_writes_no_secret_into_its_logs(run: Watched, ray_folder: Path) -> None:
    logs = [path for path in ray_folder.rglob("logs/**/*") if path.is_file() and not path.is_symlink()]
    assert logs
    assert {str(path): found for path in logs if (found := found_in(path.read_bytes()))} == {}
