"""Train on questions in one language as a person has them: a CSV, its English questions by `translate`, one step."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import RUN, run_with_config
from tests.integration.conftest import TinyModels
from tests.models.tiny_translator import NLLB_CODES, build_translator

NUM_ROWS = 40
CONFIG = """
[run]
folder = "{folder}/runs"
[data]
languages = ["de"]
columns = {{question = "Frage", answer = "Antwort"}}
[policy]
model = "{policy}"
max_model_len = 512
max_response_tokens = 8
kv_cache_gib = 0.1
num_cpus = 0.3
[pivot]
model = "{policy}"
max_model_len = 512
max_response_tokens = 8
kv_cache_gib = 0.1
num_cpus = 0.2
cache = "off"
[scorer]
model = "{encoder}"
text_prefix = ""
num_cpus = 0.2
[translator]
model = "{translator}"
[reward.reasoning]
calibration = "off"
[algorithm]
steps = 1
groups_per_step = 1
group_size = 2
[learner]
num_cpus = 0.2
[evaluation]
before = false
after = false
"""


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_translator(tmp_path_factory.mktemp("translator") / "nllb", NLLB_CODES, seed=3)


@pytest.fixture
def config(tiny_models: TinyModels, translator: Path, tmp_path: Path) -> str:
    return CONFIG.format(folder=tmp_path, policy=tiny_models.policy, encoder=tiny_models.encoder, translator=translator)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Write a CSV with a byte order mark, a cell of two lines and quotes, and no English."""
    lines = [f'"Anna hat {number} ""rote"" Äpfel,\nund kauft 2. Wie viele?",{number + 2}' for number in range(NUM_ROWS)]
    path = tmp_path / "fragen.csv"
    path.write_text("\ufeffFrage,Antwort\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_questions_in_one_language_get_english_ones_and_are_trained_on(
    config: str, questions: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words = (str(questions), "run.name=english", "--json")
    done = run_with_config("translate", config, *words, folder=tmp_path, environment=environment)
    summary = done.summary
    assert (summary["texts"], summary["translated"], summary["failed"]) == (NUM_ROWS, NUM_ROWS, 0)
    assert -1 <= summary["similarity_p05"] <= summary["similarity"] <= 1
    file = tmp_path / "runs" / "english" / "questions.jsonl"
    rows = read_rows(file)
    assert [row["item_id"] for row in rows] == [f"row-{number}" for number in range(1, NUM_ROWS + 1)]
    assert {row["language"] for row in rows} == {"de"}
    assert rows[3]["question"] == 'Anna hat 3 "rote" Äpfel,\nund kauft 2. Wie viele?'
    assert rows[3]["answer"] == "5"
    assert all(row["question_en"] and row["back_translation"] for row in rows)
    assert "least similar" in done.stderr

    again = run_with_config("translate", config, *words, folder=tmp_path, environment=environment).summary
    assert (again["found"], again["translated"], again["rows"]) == (NUM_ROWS, 0, NUM_ROWS)
    assert read_rows(file) == rows

    overrides = ("data.source=jsonl", f"data.path={file}", "data.columns={}", "run.name=trained", "--json")
    trained = run_with_config("train", config, *overrides, folder=tmp_path, environment=environment).summary
    assert trained["status"] == "finished"


def test_a_translation_that_was_killed_goes_on_where_it_stopped(
    config: str, questions: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "translate.toml"
    path.write_text(config, encoding="utf-8")
    words = ("translate", str(path), str(questions), "run.name=killed", "translator.batch_size=1", "--json")
    file = tmp_path / "runs" / "killed" / "questions.jsonl"
    process = subprocess.Popen(
        [sys.executable, str(RUN), *words],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not (file.exists() and file.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    kept = read_rows(file) if file.read_bytes().endswith(b"\n") else []
    with file.open("ab") as torn:
        torn.write(b'{"item_id": "row-')
    done = run_with_config("translate", config, *words[2:], folder=tmp_path, environment=environment).summary
    rows = read_rows(file)
    assert rows[: len(kept)] == kept
    assert [row["item_id"] for row in rows] == [f"row-{number}" for number in range(1, NUM_ROWS + 1)]
    assert done["found"] + done["translated"] == NUM_ROWS


def test_another_set_is_not_written_into_the_same_folder(
    config: str, questions: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "taken"
    folder.mkdir(parents=True)
    (folder / "translation.json").write_text('{"problems": "others"}', encoding="utf-8")
    words = (str(questions), "run.name=taken")
    done = run_with_config("translate", config, *words, folder=tmp_path, environment=environment)
    assert done.code == 2
    assert "run.name" in done.errors[-1] and "problems" in done.errors[-1]
    assert [file.name for file in folder.iterdir()] == ["translation.json"]


def test_questions_in_another_language_are_made_from_english_ones_by_the_pivot(
    config: str, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "english.tsv"
    file.write_text("Frage\tAntwort\n1 + 2?\t3\n3 + 4?\t7\n", encoding="utf-8")
    words = (
        str(file),
        "translate.into=th",
        "translate.translator=pivot",
        "pivot.max_response_tokens=64",
        "run.name=thai",
        "--json",
    )
    summary = run_with_config("translate", config, *words, folder=tmp_path, environment=environment).summary
    assert summary["translated"] + summary["failed"] == 2  # a random model may never end a text
    rows = read_rows(tmp_path / "runs" / "thai" / "questions.jsonl")
    assert len(rows) == summary["translated"]
    assert all(row["language"] == "th" and row["question_en"] in ("1 + 2?", "3 + 4?") for row in rows)
