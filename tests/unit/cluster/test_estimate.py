"""Test how much memory the actors of a run are expected to need."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.estimate import GIB, PROCESS_OVERHEAD_GIB, estimate, num_parameters
from contracts.config.device_defaults import with_device_defaults
from contracts.config.run import Config
from tests.builders import a_config


def config(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": "policy-model", "num_workers": 2, "num_cpus": 0.5},
        "pivot": {"model": "pivot-model", "num_cpus": 1},
        "scorer": {"model": "scorer-model", "num_cpus": 2.5},
        "learner": {"num_ranks": 4, "num_cpus": 3},
        "algorithm": {"steps": 5, "groups_per_step": 6, "group_size": 4},
    }
    return with_device_defaults(a_config(base, sections), "cpu")


def a_model(folder: Path, *, parameters: int) -> str:
    """Write a model folder in two shards, with the headers of real weights and without the weights."""
    folder.mkdir()
    shape = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 100}
    (folder / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    for shard, size in enumerate((parameters // 2, parameters - parameters // 2)):
        entry = {"dtype": "BF16", "shape": [size], "data_offsets": [0, 2 * size]}
        header = json.dumps({"__metadata__": {"format": "pt"}, f"weight-{shard}": entry}).encode()
        (folder / f"model-{shard}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return str(folder)


def test_parameters_are_counted_from_the_headers_of_all_shards(tmp_path: Path) -> None:
    assert num_parameters(a_model(tmp_path / "model", parameters=1001)) == 1001
    assert num_parameters("some/hub-name") is None


def test_the_estimate_follows_parameters_cache_and_ranks(tmp_path: Path) -> None:
    """2^30 parameters: 2 GiB in bf16; ZeRO-3 over 4 ranks keeps 16 bytes of each, 4 GiB a rank.

    More than learner.keep_whole_mib: a rank has a quarter of the weights, and 50 million gathered ahead (0.09 GiB).
    """
    model = a_model(tmp_path / "model", parameters=1 << 30)
    memory = estimate(config(policy={"model": model, "kv_cache_gib": 3}), "cpu")
    policy, learner = memory["policy"], memory["learner"]
    assert "weights 2.00 + kv cache 3.00 + process" in policy.formula
    assert policy.total_gib == pytest.approx(2 + 3 + 1.4, abs=0.6)
    assert "gathered weights 0.59 + optimizer shard 4.00" in learner.formula
    # 1024 tokens x 2 layers x 8 wide x 16 kept x 2 bytes, and a chunk of 256 x 100 words x 4 bytes: next to none.
    rest = (1024 * 2 * 8 * 16 * 2 + 256 * 100 * 4) / GIB
    assert learner.total_gib == pytest.approx(0.5 + 50e6 * 2 / GIB + 4 + rest + PROCESS_OVERHEAD_GIB, abs=0.01)


def test_a_model_that_is_not_here_has_no_estimate() -> None:
    assert estimate(config(), "cpu")["policy"].total_gib is None


def learner_formula(model: str, **sections: Mapping[str, object]) -> str:
    return estimate(config(policy={"model": model}, **sections), "cpu")["learner"].formula


def test_a_small_model_stays_whole_and_its_reference_and_critic_are_counted(tmp_path: Path) -> None:
    """2^28 parameters: 0.5 GiB in bf16, whole on every rank; 16 bytes each over 4 ranks are 1 GiB."""
    model = a_model(tmp_path / "model", parameters=1 << 28)
    algorithm = {"steps": 1, "groups_per_step": 8, "group_size": 4}
    assert "gathered weights 0.50 + optimizer shard 1.00" in learner_formula(model)
    with_reference = learner_formula(model, algorithm=algorithm | {"kl": "loss"})
    assert "gathered weights 1.00 + optimizer shard 1.00" in with_reference
    ppo = learner_formula(model, algorithm=algorithm | {"name": "ppo"})
    assert "gathered weights 1.00 + optimizer shard 2.00" in ppo


def test_adapters_need_no_second_model_and_few_optimizer_states(tmp_path: Path) -> None:
    model = a_model(tmp_path / "model", parameters=1 << 28)
    algorithm = {"steps": 1, "groups_per_step": 8, "group_size": 4, "kl": "loss"}
    formula = learner_formula(model, algorithm=algorithm, learner={"num_ranks": 4, "lora": {"rank": 8}})
    assert "gathered weights 0.50 + optimizer shard 0.00" in formula
