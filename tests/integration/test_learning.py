"""Test that the whole system learns: a short run of the quickstart's models, with real engines, gets clearly better.

The same problems are drawn once in each quarter of the run, so that first and last quarter are compared problem by
problem. The reward is the pivot's answer alone, behind all gates: no sentence is encoded, and two minutes are enough.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev

import pyarrow.parquet as pq
import pytest

from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import RunFolder
from quickstart.__main__ import KEPT
from quickstart.numbers.build import PIVOT, POLICY
from tests.commands import ROOT, run_project
from tests.integration.conftest import TinyModels

LANGUAGES = ("de", "fr", "ru", "zh")
NUM_ITEMS = 30
STEPS_AN_EPOCH = len(LANGUAGES) * NUM_ITEMS // 15  # the quickstart has 15 problems a step
NUM_STEPS = 4 * STEPS_AN_EPOCH
NUM_ERRORS = 4  # of the mean difference: chance alone exceeds that once in 30,000 runs
SETTINGS = (
    f"algorithm.steps={NUM_STEPS}",
    f"data.languages={','.join(LANGUAGES)}",
    f"data.num_items={NUM_ITEMS}",
    "reward.weights.answer=1",
    "reward.weights.reasoning=0",
    "reward.weights.numbers=0",
    "reward.reasoning.calibration=off",
    "pivot.cache=off",
    "evaluation.before=false",
    "evaluation.after=false",
    "evaluation.every_steps=off",
)
Problem = tuple[str, str]  # item and language


@pytest.fixture(scope="module")
def folder(tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("learning")
    models = (
        f"policy.model={KEPT / POLICY}",
        f"pivot.model={KEPT / PIVOT}",
        f"scorer.model={tiny_models.encoder}",  # its part of the reward has no weight
    )
    words = ("train", str(ROOT / "configs" / "quickstart.toml"), f"run.folder={place}", "run.name=run")
    done = run_project(*words, *models, *SETTINGS, cwd=place, environment=environment)
    assert done.code == 0, done.stderr
    return RunFolder(place / "run")


def means(samples: Path, column: str, *, epoch: int) -> Mapping[Problem, float]:
    """Return the mean of a column over the responses to each problem, in one epoch (from 0)."""
    found: dict[Problem, list[float]] = {}
    for row in pq.read_table(samples, columns=["step", "item_id", "language", column]).to_pylist():
        if (row["step"] - 1) // STEPS_AN_EPOCH == epoch:
            found.setdefault((row["item_id"], row["language"]), []).append(float(row[column]))
    return {problem: fmean(values) for problem, values in found.items()}


@pytest.mark.parametrize("column", ["reward", "gate_language"])
def test_the_last_quarter_is_far_better_than_the_first_at_the_same_problems(folder: RunFolder, column: str) -> None:
    first, last = (means(folder.samples, column, epoch=epoch) for epoch in (0, 3))
    assert first.keys() == last.keys()
    assert len(first) == len(LANGUAGES) * NUM_ITEMS
    gained = [last[problem] - first[problem] for problem in first]
    error = stdev(gained) / len(gained) ** 0.5
    assert fmean(gained) > max(NUM_ERRORS * error, 0.08)


def test_engine_and_learner_stay_the_same_model(folder: RunFolder) -> None:
    """In float32 both compute nearly the same probabilities, after every weight push."""
    steps = read_metrics(folder.metrics)
    assert len(steps) == NUM_STEPS
    assert max(step.metrics["policy/mismatch_kl"] for step in steps) < 1e-4
