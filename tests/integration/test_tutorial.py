"""Run every command of docs/tutorial.md as it stands there, in a folder where tiny models have the page's names."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from driver.evaluation.results import read_evaluations
from driver.tracking.run_folder import RunFolder
from tests.commands import ROOT, run_marked
from tests.integration.conftest import TinyModels
from tests.models.tiny_translator import build_translator

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
NUM_ROWS = len(re.findall(r'^".*",\d+$', PAGE, flags=re.MULTILINE))


@pytest.fixture
def home(tiny_models: TinyModels, tmp_path: Path) -> Path:
    """Make a folder that stands for a checkout: relative paths start there, and the models of the page are in it."""
    models = tmp_path / ".cache" / "models"
    models.mkdir(parents=True)
    (models / "SmolLM2-135M-Instruct").symlink_to(tiny_models.policy)
    (models / "multilingual-e5-small").symlink_to(tiny_models.encoder)
    build_translator(tmp_path / "facebook" / "nllb-200-distilled-600M", ("eng_Latn", "ita_Latn"), seed=3)
    (tmp_path / "driver").symlink_to(ROOT / "driver")
    return tmp_path


def test_every_command_of_the_tutorial_does_what_the_page_says(home: Path, environment: dict[str, str]) -> None:
    binaries = Path(sys.executable).parent
    variables = environment | {"PATH": f"{binaries}{os.pathsep}{environment['PATH']}", "PB_RLSVR_HOME": str(home)}
    assert len(BLOCKS) >= 8
    for block in BLOCKS:
        done = run_marked(["bash", "-euo", "pipefail", "-c", block], cwd=home, environment=variables)
        assert done.code == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert done.left_behind == ()
    runs = home / "runs"
    rows = [json.loads(line) for line in (runs / "domande-english" / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == NUM_ROWS >= 10
    assert all(row["language"] == "it" and row["question_en"] for row in rows)
    trained = RunFolder(runs / "domande")
    assert json.loads(trained.summary.read_text(encoding="utf-8"))["status"] == "finished"
    found = read_evaluations(trained.evaluation)
    assert {moment: {one.language for one in found[moment].languages} for moment in ("before", "after")} == {
        "before": {"en", "it"},
        "after": {"en", "it"},
    }
    assert (trained.checkpoints / "final" / "README.md").is_file()
    assert (runs / "domande-both" / "comparison").is_dir()
