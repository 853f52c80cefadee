"""Run `calibrate` as a person does: real scorer actors, from parallel solutions to a file that runs accept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.rollouts import ParallelSolution
from driver.problems.parallel import load_solutions
from quickstart import e5
from quickstart.__main__ import main
from rewards.calibration import from_json
from tests.commands import Finished, run_with_config
from tests.integration.conftest import TinyModels

MODELS = Path(__file__).resolve().parents[2] / ".cache" / "models"
CONFIG = """
[run]
folder = "{folder}/runs"
[policy]
model = "{policy}"
[pivot]
model = "{policy}"
[scorer]
model = "{encoder}"
num_cpus = 0.2
[reward.reasoning]
calibration = "{folder}/mine.json"
calibration_data = "{folder}/solutions.jsonl"
calibration_items = 12
[algorithm]
steps = 1
"""


def solutions(*languages: str) -> list[ParallelSolution]:
    return load_solutions("builtin", languages=languages, num_items=12, seed=5, split="train")


Calibrate = Callable[..., Finished]


@pytest.fixture
def calibrate(tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path) -> Calibrate:
    """Run the command on parallel solutions in a file, as a person would write it."""

    def run(items: Sequence[ParallelSolution], *words: str, encoder: Path = tiny_models.encoder) -> Finished:
        rows = [
            {"item_id": item.item_id, "language": item.language, "question": item.question, "solution": item.solution}
            for item in items
        ]
        (tmp_path / "solutions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        config = CONFIG.format(folder=tmp_path, policy=tiny_models.policy, encoder=encoder)
        return run_with_config("calibrate", config, *words, folder=tmp_path, environment=environment)

    return run


def test_calibration_is_written_shown_and_leaves_nothing_behind(calibrate: Calibrate, tmp_path: Path) -> None:
    assert main(["--cache", str(MODELS), e5.NAME]) == 0
    done = calibrate(solutions("en", "de", "th"), "run.name=calibrated", "--json", encoder=MODELS / e5.NAME)
    summary = done.summary
    calibration = from_json((tmp_path / "mine.json").read_text(encoding="utf-8"))
    assert summary["calibration"] == str(tmp_path / "mine.json")
    assert (summary["judge"], list(summary["languages"])) == (calibration.similarity, ["en", "de", "th"])
    for scale in calibration.languages.values():
        assert scale.faithful.num == 12
        assert scale.faithful.mean > scale.question.mean > scale.unrelated.mean
    # English is compared with itself.
    assert calibration.languages["en"].faithful.mean == pytest.approx(1.0, abs=1e-5)
    assert "German" in done.stderr and "Thai" in done.stderr
    assert json.loads((tmp_path / "runs" / "calibrated" / "summary.json").read_text(encoding="utf-8")) == summary


def test_solutions_that_say_no_more_than_their_questions_are_refused_in_one_line(
    calibrate: Calibrate, tmp_path: Path
) -> None:
    items = [replace(item, question=item.solution.rpartition("\n")[0]) for item in solutions("en", "th")]
    done = calibrate(items, "run.name=refused")
    assert done.code == 1
    assert done.errors[-1].startswith("failed: ") and "'en'" in done.errors[-1] and "0 of 12" in done.errors[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mine.json").exists()
    assert done.left_behind == ()


def test_wrong_data_is_refused_before_anything_starts(calibrate: Calibrate, tmp_path: Path) -> None:
    done = calibrate(solutions("en"), "reward.reasoning.calibration_data=nowhere.json")
    assert done.code == 2
    (line,) = done.errors
    assert "nowhere.json" in line
    assert not (tmp_path / "runs").exists()
