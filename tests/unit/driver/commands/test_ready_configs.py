"""Test the configs that a user starts from: each is planned on GPUs of 80 GB, with models of their published sizes."""

from pathlib import Path

import pytest

from contracts.config.load import load_config
from contracts.paths import ROOT
from tests.unit.driver.commands.test_gpu_configs import Actor, by_role, gpu_gib, planned

CONFIGS = ROOT / "configs"
GPU_GIB = 79.6


def gpus(actors: list[Actor], *, without: str = "") -> float:
    return sum(float(actor["gpus"]) for actor in actors if without == "" or not str(actor["name"]).startswith(without))


@pytest.mark.parametrize("name", ["one-gpu", "own-data", "lora"])
def test_one_gpu_is_enough_once_the_references_are_in_the_cache(name: str, tmp_path: Path) -> None:
    """Without the pivot, which `train` does not start then, policy and learner share the only GPU."""
    actors = planned(CONFIGS / f"{name}.toml", tmp_path)
    assert by_role(actors) == {"policy": 1, "pivot": 1, "scorer": 1, "learner": 1}
    assert gpus(actors, without="pivot") == 1
    assert gpu_gib(actors, "policy-0") + gpu_gib(actors, "learner-0") < GPU_GIB
    assert gpu_gib(actors, "pivot-0") < GPU_GIB


def test_a_model_that_thinks_fits_on_eight_gpus(tmp_path: Path) -> None:
    actors = planned(CONFIGS / "thinking.toml", tmp_path)
    assert by_role(actors) == {"policy": 2, "pivot": 1, "scorer": 1, "learner": 5}
    assert gpus(actors) == 8
    assert gpu_gib(actors, "learner-0") < GPU_GIB
    config = load_config(CONFIGS / "thinking.toml")
    assert config.policy.chat_template_arguments == {"enable_thinking": True}
    assert (
        config.policy.max_response_tokens
        > 4 * load_config(CONFIGS / "llama-3.1-8b-8gpu.toml").policy.max_response_tokens
    )


def test_own_data_changes_nothing_but_data_and_evaluation() -> None:
    own, base = (load_config(CONFIGS / f"{name}.toml").model_dump() for name in ("own-data", "one-gpu"))
    assert {section for section in own if own[section] != base[section]} == {"data", "evaluation"}
    assert own["data"]["path"] == "data/train.jsonl"


def test_adapters_make_the_learner_of_an_8b_model_fit(tmp_path: Path) -> None:
    """All weights of 8.03e9 parameters need 18 bytes each on one rank, 134 GiB; adapters need no optimiser for them."""
    assert gpu_gib(planned(CONFIGS / "lora.toml", tmp_path), "learner-0") < 30
    assert load_config(CONFIGS / "lora.toml").learner.lora is not None
