"""Test that settings which an actor would refuse after minutes are refused at once, by their key."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.layout import ROLES
from cluster.settings import check_settings, weight_backend
from contracts.config.device_defaults import Device
from tests.builders import a_config
from tests.refusals import refused


def a_model(folder: Path, **facts: object) -> str:
    """Write the config.json of a model with the sizes of Llama-3.1-8B, but for `facts`."""
    sizes = {
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "intermediate_size": 14336,
        **facts,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    return str(folder)


def check(device: Device, **sections: Mapping[str, object]) -> None:
    check_settings(a_config(sections), device, roles=ROLES)


@pytest.mark.parametrize(("key", "value"), [("learner.attention", "flash_attention_2"), ("weights.backend", "nccl")])
def test_a_setting_that_needs_a_gpu_is_refused_without_one(key: str, value: str) -> None:
    section, name = key.split(".")
    with refused(key, 'cluster.device = "cuda"'):
        check("cpu", **{section: {name: value}})


def test_nccl_is_taken_on_gpus() -> None:
    check("cuda", weights={"backend": "nccl"}, policy={"tensor_parallel_size": 2})
    check("cuda", weights={"backend": "auto"}, policy={"tensor_parallel_size": 2})


def test_flash_attention_that_is_not_installed_is_refused_on_gpus_too() -> None:
    with refused("learner.attention", "flash-attn"):
        check("cuda", learner={"attention": "flash_attention_2"})


@pytest.mark.parametrize(
    ("device", "backend", "key"),
    [
        ("cuda", "object_store", "weights.backend"),
        ("cpu", "object_store", "policy.tensor_parallel_size"),
        ("cpu", "auto", "policy.tensor_parallel_size"),
    ],
)
def test_the_object_store_reaches_engines_of_one_process_only(device: Device, backend: str, key: str) -> None:
    with refused(key):
        check(device, weights={"backend": backend}, policy={"tensor_parallel_size": 2})
    check(device, weights={"backend": backend}, policy={"tensor_parallel_size": 1})
    check(device, weights={"backend": backend}, pivot={"tensor_parallel_size": 2})  # no weights go there


@pytest.mark.parametrize(
    ("facts", "size", "named"),
    [
        ({}, 3, "32 attention heads"),
        ({"num_attention_heads": 36, "num_key_value_heads": 4, "vocab_size": 127999}, 6, "128000 rows"),
        ({"num_attention_heads": 36, "num_key_value_heads": 4, "vocab_size": 384}, 6, "14336 values"),
        ({"num_attention_heads": 36, "num_key_value_heads": 4, "vocab_size": 384, "intermediate_size": 6}, 6, "4 key"),
        ({"text_config": {"num_attention_heads": 6}}, 4, "6 attention heads"),
    ],
)
@pytest.mark.parametrize("role", ["policy", "pivot"])
def test_a_model_that_so_many_gpus_cant_divide_is_refused(
    role: str, facts: Mapping[str, object], size: int, named: str, tmp_path: Path
) -> None:
    model = a_model(tmp_path / "model", **facts)
    with refused(f"{role}.tensor_parallel_size", named):
        check("cuda", **{role: {"model": model, "tensor_parallel_size": size}})


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32])
def test_key_and_value_heads_may_be_divided_or_shared(size: int, tmp_path: Path) -> None:
    check("cuda", policy={"model": a_model(tmp_path / "model"), "tensor_parallel_size": size})


def test_a_model_that_is_not_here_is_left_to_its_engine() -> None:
    check("cuda", policy={"model": "owner/name", "tensor_parallel_size": 7})


def test_colocation_needs_gpus_and_sends_weights_within_them() -> None:
    turns: Mapping[str, Mapping[str, object]] = {
        "cluster": {"colocate": True},
        "algorithm": {"groups_per_step": 4, "max_staleness": 0},
    }
    check("cuda", **turns)
    with refused("cluster.colocate"):
        check("cpu", **turns)
    assert weight_backend(a_config(turns), "cuda") == "ipc"
    assert weight_backend(a_config(), "cuda") == "nccl"
