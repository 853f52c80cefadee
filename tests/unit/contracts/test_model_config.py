"""What a model's config.json says before anything is loaded: its context, and whether it can be a policy."""

import json
from pathlib import Path

import pytest

from contracts.model_config import (
    check_heads,
    check_trainable,
    longest_context,
    read_model_config,
    why_untrainable,
)
from tests.refusals import refused

DENSE: dict[str, object] = {"model_type": "llama", "max_position_embeddings": 64, "quantization_config": None}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, None),
        ({"max_position_embeddings": "long"}, None),
        ({"max_position_embeddings": True}, None),
        ({"n_positions": 32}, 32),
        (DENSE, 64),
        (DENSE | {"rope_scaling": None}, 64),
        (DENSE | {"rope_scaling": "yarn"}, 64),
        (DENSE | {"rope_scaling": {"type": "linear", "factor": 2.0}}, 128),
        (DENSE | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}}, 256),
        (DENSE | {"rope_parameters": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 16}}, 64),
        (DENSE | {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, 64),
        (DENSE | {"rope_parameters": {"rope_type": "yarn", "factor": None}}, 64),
        (DENSE | {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8}}}, 512),
        (DENSE | {"rope_parameters": {"rope_type": "llama3", "factor": 8, "original_max_position_embeddings": 8}}, 64),
    ],
)
def test_a_context_is_as_long_as_its_scaling_makes_it(facts: dict[str, object], expected: int | None) -> None:
    assert longest_context(facts) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"num_experts": 4},
        {"num_local_experts": 8},
        {"n_routed_experts": 64},
        {"moe_num_experts": [64, 64]},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"quant_method": "awq"}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"quantization_config": {"quant_method": "fp8"}},
        {"quantization_config": {"quant_method": "compressed-tensors"}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"text_config": {"hidden_size": 8}},
        {"logit_scale": 0.0625},
        {"final_logit_softcapping": 30.0},
        {"layer_types": ["full_attention", "linear_attention"]},
    ],
)
def test_a_model_that_can_t_be_trained_is_refused_by_its_key(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE | change), encoding="utf-8")
    with refused("policy.model", str(tmp_path)):
        check_trainable(str(tmp_path), key="policy.model")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_experts": 1},
        {"n_routed_experts": None},
        {"num_experts": False},
        {"logit_scale": 1.0, "final_logit_softcapping": None},
        {"layer_types": ["sliding_attention", "full_attention"]},
        {"layer_types": None},
    ],
)
def test_a_dense_model_of_full_weights_can_be_trained(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE | change), encoding="utf-8")
    check_trainable(str(tmp_path), key="policy.model")
    assert why_untrainable(DENSE | change) is None


def test_the_settings_file_of_older_gptq_models_is_known(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DENSE), encoding="utf-8")
    (tmp_path / "quantize_config.json").write_text('{"bits": 4}', encoding="utf-8")
    with refused("policy.model", "quantize_config.json"):
        check_trainable(str(tmp_path), key="policy.model")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"a": ' + b"9" * 5000 + b"}", b'{"a":' * 100_000])
def test_a_damaged_config_is_refused_by_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with refused("pivot.model", str(tmp_path / "config.json")):
        read_model_config(str(tmp_path), key="pivot.model")


def test_a_folder_without_config_is_refused_and_a_hub_name_is_left_to_the_library(tmp_path: Path) -> None:
    with refused("policy.model", "config.json"):
        read_model_config(str(tmp_path), key="policy.model")
    assert read_model_config("someone/some-model", key="policy.model") is None
    check_trainable("someone/some-model", key="policy.model")
    assert read_model_config("no name: of a hub", key="policy.model") is None


def test_the_config_of_a_downloaded_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--someone--some-model"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "config.json").write_text(json.dumps(DENSE | {"num_experts": 8}), encoding="utf-8")
    with refused("policy.model", "someone/some-model"):
        check_trainable(f"someone/some-model@{commit}", key="policy.model")


@pytest.mark.parametrize(
    ("facts", "num_ranks", "possible"),
    [
        ({"num_attention_heads": 14, "num_key_value_heads": 2}, 4, "1, 2, 14"),
        ({"num_attention_heads": 12, "num_key_value_heads": 4}, 6, "1, 2, 4, 12"),
        ({"num_attention_heads": 12}, 8, "1, 2, 3, 4, 6, 12"),
        ({"n_head": 6}, 5, "1, 2, 3, 6"),
    ],
)
def test_heads_that_ranks_can_t_divide_are_refused(facts: dict[str, object], num_ranks: int, possible: str) -> None:
    with refused("learner.sequence_parallel_size", "some/model", possible):
        check_heads(facts, "some/model", num_ranks=num_ranks)


def test_values_of_another_width_than_queries_are_not_exchanged() -> None:
    facts: dict[str, object] = {"num_attention_heads": 16, "v_head_dim": 128}
    check_heads(facts, "some/model", num_ranks=1)
    with refused("learner.sequence_parallel_size", "some/model", "v_head_dim"):
        check_heads(facts, "some/model", num_ranks=2)


@pytest.mark.parametrize(
    ("facts", "num_ranks"),
    [
        ({}, 7),
        ({"num_attention_heads": 14, "num_key_value_heads": 2}, 1),
        ({"num_attention_heads": 14, "num_key_value_heads": 2}, 14),  # seven ranks read each key head
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, 4),
        ({"num_attention_heads": 32, "num_key_value_heads": None}, 16),
        ({"n_head": 12}, 4),
    ],
)
def test_heads_are_divided_or_key_heads_repeated(facts: dict[str, object], num_ranks: int) -> None:
    check_heads(facts, "some/model", num_ranks=num_ranks)
