"""Test what `plan` says about a batch."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from benchmarks.published import E5_LARGE, LLAMA_8B, published_model
from cluster.layout import layout
from contracts.config.device_defaults import with_device_defaults
from contracts.config.learning import LoraConfig
from contracts.config.run import Config
from contracts.config.workers import ClusterConfig
from driver.commands.plan import batch_arithmetic, run
from driver.commands.planned_memory import memory_lines
from tests.builders import a_config
from tests.refusals import refused


def config(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": "policy-model", "num_workers": 2, "num_cpus": 0.5},
        "pivot": {"model": "pivot-model", "num_cpus": 1},
        "scorer": {"model": "scorer-model", "num_cpus": 2.5},
        "learner": {"num_ranks": 4, "num_cpus": 3},
        "algorithm": {"steps": 5, "groups_per_step": 6, "group_size": 4},
    }
    return with_device_defaults(a_config(base, sections), "cpu")


def test_the_plan_does_the_arithmetic_of_a_batch() -> None:
    """6 problems x 4 responses = 24 a step; 24 x 128 new tokens; 24 / 4 ranks; 5 steps."""
    text = "\n".join(batch_arithmetic(config()))
    assert "6 problems x 4 responses = 24 responses, at most 3,072 response tokens" in text
    assert "6 responses per step on each of 4" in text
    assert "120 responses to 30 problems" in text


def test_the_plan_tells_how_many_ranks_split_a_row() -> None:
    text = "\n".join(batch_arithmetic(config(learner={"num_ranks": 4, "sequence_parallel_size": 2})))
    assert "1/2 of the tokens of 12 responses per step on each of 4" in text


def test_the_plan_tells_shares_replacements_and_workers_that_may_come() -> None:
    """10 % and 30 % of 0.4; 2 workers of whom 5 may come; 3 replacements."""
    text = "\n".join(
        batch_arithmetic(
            config(
                data={"languages": ["de", "sw"], "shares": [0.1, 0.3]},
                policy={"max_workers": 5},
                algorithm={"max_replacements": 3},
            )
        )
    )
    assert "30 problems in de 25%, sw 75%" in text
    assert "over 2 to 5 policy worker(s); on-policy" in text
    assert text.count("at most 3 more") == 1


def test_the_plan_names_what_each_role_needs_of_memory_and_disk(tmp_path: Path) -> None:
    """8B on 8 GPUs: a checkpoint of 14 bytes a parameter, 112 GB; a push of 16.1 GB."""
    model = published_model(tmp_path, LLAMA_8B)
    given = a_config(
        policy={"model": model},
        pivot={"model": model},
        scorer={"model": published_model(tmp_path / "encoder", E5_LARGE)},
        learner={"num_ranks": 8, "gradient_checkpointing": True},
        cluster={"gpu_memory_gib": 79.6},
    )
    resolved = with_device_defaults(given, "cuda")
    text = "\n".join(memory_lines(resolved, layout(resolved, "cuda")))
    assert "a checkpoint: 112 GB, about 112 s at 1 GB/s" in text
    assert "a weight push: 16.1 GB in buckets of 512 MiB" in text
    assert "policy, GiB: on each GPU weights 14.96 +" in text
    assert "learner, GiB: on each GPU weight shards 1.87 +" in text
    assert "cluster.gpu_memory_gib" not in text
    lora = given.learner.model_copy(update={"lora": LoraConfig(rank=16)})
    adapted = with_device_defaults(given.model_copy(update={"learner": lora}), "cuda")
    assert "a weight push: 83.9 MB" in "\n".join(memory_lines(adapted, layout(adapted, "cuda")))  # 41.9e6 parameters
    unknown = with_device_defaults(given.model_copy(update={"cluster": ClusterConfig()}), "cuda")
    assert "cluster.gpu_memory_gib" in "\n".join(memory_lines(unknown, layout(unknown, "cuda")))


def test_a_plan_that_cannot_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `train` would refuse on such GPUs; the plan is printed all the same."""
    model = published_model(tmp_path / "policy", LLAMA_8B)
    file = tmp_path / "run.toml"
    file.write_text(
        f'[policy]\nmodel = "{model}"\n[pivot]\nmodel = "{model}"\ncache = "off"\n'
        f'[scorer]\nmodel = "{published_model(tmp_path / "encoder", E5_LARGE)}"\n[algorithm]\nsteps = 1\n',
        encoding="utf-8",
    )
    sizes = ["cluster.device=cuda", "cluster.gpu_memory_gib=79.6", "learner.gradient_checkpointing=true"]
    with refused("learner.num_ranks", "79.6"):
        run(argparse.Namespace(config=file, overrides=[*sizes, "learner.num_ranks=2"], json=False, check=False))
    assert "learner-1" in capsys.readouterr().out
    plan = run(argparse.Namespace(config=file, overrides=[*sizes, "learner.num_ranks=4"], json=False, check=False))
    by_device = cast("dict[str, int]", plan["by_device"])
    assert (by_device["policy.max_num_seqs"], by_device["learner.row_tokens"]) == (256, 16384)
    actors = {str(actor["name"]): actor for actor in cast("list[dict[str, object]]", plan["actors"])}
    assert actors["policy-0"]["gpu_memory_gib"] == pytest.approx(0.85 * 79.6, abs=0.01)
    assert actors["learner-3"]["gpu_memory_gib"] == pytest.approx(46.8, rel=0.02)
