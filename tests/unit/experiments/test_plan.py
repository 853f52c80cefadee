"""Test that the experiments that there are can be run, and that results are not mixed."""

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.config.learning import SftConfig
from experiments.plan import PLAN, REFERENCE_ARM, Experiment, digest_of
from experiments.rows import append_row
from experiments.runner import run_all
from tests.refusals import refused
from tests.unit.experiments.test_comparison import row

NUMBERS = Experiment.read("numbers")


@pytest.mark.parametrize("arm", NUMBERS.arms)
def test_every_arm_has_a_config(arm: str) -> None:
    config = NUMBERS.load(NUMBERS.arms[arm], 3)
    assert config.run.seed == 3
    assert isinstance(config.algorithm, SftConfig) == arm.startswith("sft")


def test_the_reference_arm_is_the_config_itself() -> None:
    assert NUMBERS.arms[REFERENCE_ARM].overrides == ()


def test_another_size_changes_every_arm() -> None:
    larger = Experiment.read("numbers", ("policy.model=other", "algorithm.steps=7"))
    for arm in larger.arms.values():
        config = larger.load(arm, 1)
        assert (config.policy.model, config.algorithm.steps) == ("other", 7)


def test_an_unknown_experiment_and_an_unknown_arm_are_refused() -> None:
    with refused("EXPERIMENT", "nothing", "numbers"):
        Experiment.read("nothing")
    with refused("--arms", "nothing"):
        run_all(NUMBERS, arms=["nothing"], seeds=[1], any_commit=False, say=print)


@pytest.fixture
def copied(tmp_path: Path) -> Experiment:
    (tmp_path / PLAN).write_bytes((NUMBERS.folder / PLAN).read_bytes())
    return replace(NUMBERS, folder=tmp_path)


@pytest.mark.parametrize(("is_same_config", "key"), [(False, "config"), (True, "commit")])
def test_results_of_another_config_or_commit_are_not_added_to(
    copied: Experiment, is_same_config: bool, key: str
) -> None:
    config = copied.load(copied.arms[REFERENCE_ARM], 1)
    found = row(REFERENCE_ARM, 1, english=1, german=1, commit="another")
    append_row(copied.results, replace(found, digest=digest_of(config) if is_same_config else "another"))
    with refused(key, REFERENCE_ARM):
        run_all(copied, arms=[REFERENCE_ARM], seeds=[1], any_commit=False, say=print)


def test_what_is_done_is_not_run_again(copied: Experiment) -> None:
    config = copied.load(copied.arms[REFERENCE_ARM], 1)
    append_row(copied.results, replace(row(REFERENCE_ARM, 1, english=1, german=1), digest=digest_of(config)))
    said: list[str] = []
    assert run_all(copied, arms=[REFERENCE_ARM], seeds=[1], any_commit=True, say=said.append) == 0
    assert said == ["numbers: 1 of 1 runs are done"]
