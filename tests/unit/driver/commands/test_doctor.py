"""Test `doctor`: it reports all mistakes and warnings together, and starts nothing without being asked for samples."""

import json
from pathlib import Path

import pytest

from contracts.config.run import Config
from driver.cli import main
from driver.diagnosis.samples import Sample, lessons
from driver.diagnosis.warnings import reward_notes
from quickstart.tiny import build_tiny_encoder, build_tiny_model
from tests.builders import a_config

CONFIG = """
[run]
folder = "{folder}/runs"
[data]
languages = ["de"]
levels = [1]
num_items = 20
[policy]
model = "{model}"
max_model_len = 512
[pivot]
model = "{model}"
max_model_len = 512
cache = "{folder}/references"
[scorer]
model = "{encoder}"
[algorithm]
steps = 3
[evaluation]
num_items = 200
levels = [1]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    model, encoder = build_tiny_model(folder / "tiny"), build_tiny_encoder(folder / "encoder")
    path = folder / "mine.toml"
    path.write_text(CONFIG.format(folder=folder, model=model, encoder=encoder), encoding="utf-8")
    return path


def mistakes(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> list[str]:
    """Return the lines of the mistakes that `doctor` finds."""
    assert main(["doctor", str(config), "--samples", "0", *words]) == 2
    return [line.removeprefix("error: ") for line in capsys.readouterr().err.splitlines()]


def test_a_config_without_a_mistake_ends_with_exit_code_0(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(config), "--samples", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"warnings": [], "samples": []}
    assert not (config.parent / "runs").exists()


def test_mistakes_of_models_data_and_reward_are_reported_together(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = mistakes(
        capsys,
        config,
        "policy.model=./nowhere",
        "data.source=jsonl",
        "data.path=/nowhere/mine.jsonl",
        "reward.custom.path=/nowhere/reward.py",
        "reward.reasoning.calibration=/nowhere/calibration.json",
    )
    for named in ("policy.model", "/nowhere/mine.jsonl", "/nowhere/reward.py", "/nowhere/calibration.json"):
        assert sum(named in line for line in found) == 1, named


def test_a_context_that_is_too_short_is_reported_with_a_model_that_is_not_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = mistakes(capsys, config, "policy.max_response_tokens=505", "scorer.model=./nowhere")
    assert sum("scorer.model" in line for line in found) == 1
    assert any("policy.max_model_len" in line for line in found)


def test_what_is_often_not_meant_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["algorithm.steps=500", "evaluation.num_items=4", "policy.chat_template_arguments.unread=true"]
    assert main(["doctor", str(config), "--samples", "0", "--json", *words]) == 0
    said = json.loads(capsys.readouterr().out)["warnings"]
    for key in ("checkpoint.every_steps", "evaluation.num_items", "policy.chat_template_arguments"):
        assert sum(line.startswith(key) for line in said) == 1


@pytest.mark.parametrize(("weight", "num"), [(0.0, 1), (0.4, 0)])
def test_a_reward_of_the_user_s_own_without_weight_is_said(weight: float, num: int) -> None:
    weights = {"answer": 0.6, "reasoning": 0.4 - weight, "numbers": 0.0, "custom": weight}
    reward = a_config(reward={"custom": {"path": "mine.py"}, "weights": weights}).reward
    assert len(list(reward_notes(reward))) == num


# --- what samples teach -----------------------------------------------------------------------------------------------


def taught(samples: list[Sample], config: Config | None = None) -> str:
    return " | ".join(lessons(samples, config or a_config()))


def test_samples_that_are_cut_off_name_the_limit() -> None:
    cut, whole = (Sample(language="de", text="x", reward=0.5, is_truncated=cut) for cut in (True, False))
    assert "policy.max_response_tokens" in taught([cut, cut, whole])
    assert taught([cut, whole]) == ""


def test_references_that_can_t_be_used_name_the_key_to_change() -> None:
    found = taught([Sample(language="de", text="x", reward=None, why="reference_truncated")])
    assert "pivot.max_response_tokens" in found and "1 of 1" in found


def test_a_gate_that_shuts_most_samples_out_is_named() -> None:
    shut = Sample(language="de", text="x", reward=0.0, closed=("format",))
    earns = Sample(language="de", text="x", reward=0.5)
    assert "'format'" in taught([shut, shut, earns])
    assert "'format'" not in taught([shut, earns])


def test_samples_without_any_reward_are_said() -> None:
    nothing = Sample(language="de", text="x", reward=0.0)
    assert taught([nothing, nothing]) != ""
    assert taught([nothing, Sample(language="de", text="x", reward=0.1)]) == ""
