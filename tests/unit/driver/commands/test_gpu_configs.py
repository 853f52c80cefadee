"""Test the plans of the configs for GPUs, with models of their published sizes: nothing is downloaded or started."""

import argparse
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from benchmarks.published import PUBLISHED, published_model
from contracts.config.load import load_config
from contracts.paths import ROOT
from driver.commands.plan import run
from tests.refusals import refused

LLAMA, QWEN = (ROOT / "configs" / f"{name}.toml" for name in ("llama-3.1-8b-8gpu", "qwen3-32b-32gpu"))
Actor = dict[str, float | str]


def planned(config: Path, folder: Path, *overrides: str) -> list[Actor]:
    """Plan a config whose models are folders of their published sizes; return its actors."""
    given = load_config(config)
    models = {"policy": given.policy.model, "pivot": given.pivot.model, "scorer": given.scorer.model}
    local = [
        f"{section}.model={published_model(folder / section, PUBLISHED[name])}" for section, name in models.items()
    ]
    words = [*local, f"pivot.cache={folder / 'none'}", *overrides]
    plan = run(argparse.Namespace(config=config, overrides=words, json=True, check=False))
    return cast("list[Actor]", plan["actors"])


def by_role(actors: list[Actor]) -> Counter[str]:
    return Counter(str(actor["name"]).partition("-")[0] for actor in actors)


def gpu_gib(actors: list[Actor], name: str) -> float:
    return next(float(actor["gpu_memory_gib"]) for actor in actors if actor["name"] == name)


def test_llama_8b_takes_all_eight_gpus_and_fits(tmp_path: Path) -> None:
    """A rank of four with rows of 16,384 needs 46.8 GiB by hand, one of five 6.7 less: 18 bytes x 8.03e9 x (1/4 - 1/5).

    Pivot and scorer have 0.75 and 0.25 of 79.6 GiB.
    """
    actors = planned(LLAMA, tmp_path)
    assert by_role(actors) == {"policy": 2, "pivot": 1, "scorer": 1, "learner": 5}
    assert sum(float(actor["gpus"]) for actor in actors) == 8
    assert gpu_gib(actors, "learner-0") == pytest.approx(46.8 - 6.7, rel=0.01)
    assert gpu_gib(actors, "pivot-0") == pytest.approx(0.75 * 0.85 * 79.6, abs=0.01)
    assert gpu_gib(actors, "scorer-0") < 0.25 * 79.6


def test_qwen3_32b_takes_all_thirty_two_gpus_and_fits(tmp_path: Path) -> None:
    """By hand 48.9 GiB at rows of 8,192; at 16,384 activations double from 7.6 to 15.2."""
    actors = planned(QWEN, tmp_path)
    assert by_role(actors) == {"policy": 5, "pivot": 1, "scorer": 8, "learner": 16}
    assert sum(float(actor["gpus"]) for actor in actors) == 32
    assert gpu_gib(actors, "learner-15") == pytest.approx(48.9 + 7.6, rel=0.01)
    shorter = planned(QWEN, tmp_path, "learner.row_tokens=8192")
    assert gpu_gib(shorter, "learner-15") == pytest.approx(48.9, rel=0.01)


def test_thinking_is_one_key(tmp_path: Path) -> None:
    thinking = "policy.chat_template_arguments.enable_thinking=true"
    assert load_config(QWEN).policy.chat_template_arguments == {"enable_thinking": False}
    assert load_config(QWEN, [thinking]).policy.chat_template_arguments == {"enable_thinking": True}
    assert planned(QWEN, tmp_path, thinking) == planned(QWEN, tmp_path)


def test_smaller_gpus_are_refused(tmp_path: Path) -> None:
    with refused("pivot.num_gpus"):
        planned(LLAMA, tmp_path, "cluster.gpu_memory_gib=44")
    with refused("learner.num_ranks", "learner.row_tokens = 8192"):
        planned(LLAMA, tmp_path, "cluster.gpu_memory_gib=39", "pivot.num_gpus=auto", "scorer.num_gpus=0")
    with refused("policy.tensor_parallel_size"):
        planned(QWEN, tmp_path, "cluster.gpu_memory_gib=39")
