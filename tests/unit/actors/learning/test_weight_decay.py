"""Test which parameters decay: those that Hugging Face's Trainer lets decay, in every family and for every model."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.trainer_pt_utils import get_parameter_names

from actors.learning.lora import add_adapters
from actors.learning.value_model import load_value_model
from actors.learning.weight_decay import parameter_groups
from contracts.config.learning import LoraConfig
from tests.models.random_models import GPT2_SHAPE, SHAPE, save_random_model

FAMILIES: dict[str, tuple[type[PretrainedConfig], dict[str, object]]] = {
    "llama": (LlamaConfig, SHAPE),
    "qwen2 (biases)": (Qwen2Config, SHAPE),
    "qwen3 (norms of heads)": (Qwen3Config, SHAPE | {"head_dim": 6}),
    "gemma3 (norms after a layer)": (Gemma3TextConfig, SHAPE | {"head_dim": 6}),
    "gpt2 (layer norms, biases)": (GPT2Config, GPT2_SHAPE),
}
LEFT_OUT_BY_NAME = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
"""The names that Trainer.get_decay_parameter_names leaves out, beside those of torch's layer norms."""


def by_decay(model: nn.Module, weight_decay: float) -> dict[float, set[str]]:
    """Return the names of the parameters that learn, by their weight decay."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[float, set[str]] = {}
    for group in parameter_groups(model, weight_decay=weight_decay):
        parameters, decay = group["params"], group["weight_decay"]
        assert isinstance(parameters, list) and isinstance(decay, float)
        found[decay] = {names[parameter] for parameter in parameters}
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parameters_that_decay_are_those_of_hugging_faces_trainer(tmp_path: Path, family: str) -> None:
    kind, shape = FAMILIES[family]
    save_random_model(tmp_path, kind, shape)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    decaying = set(get_parameter_names(model, [nn.LayerNorm], LEFT_OUT_BY_NAME))
    found = by_decay(model, 0.1)
    assert found[0.1] == decaying & {name for name, _ in model.named_parameters()}
    assert found[0.1] | found[0.0] == {name for name, _ in model.named_parameters()}


def test_the_critics_bias_does_not_decay_and_its_head_does(tmp_path: Path) -> None:
    save_random_model(tmp_path, LlamaConfig, SHAPE)
    found = by_decay(load_value_model(str(tmp_path), dtype=torch.float32, device="cpu"), 0.1)
    assert "head.weight" in found[0.1]
    assert "head.bias" in found[0.0]


def test_adapters_decay_and_frozen_parameters_are_in_no_group(tmp_path: Path) -> None:
    save_random_model(tmp_path, LlamaConfig, SHAPE)
    model = add_adapters(AutoModelForCausalLM.from_pretrained(tmp_path), LoraConfig(rank=2), seed=1)
    found = by_decay(model, 0.1)
    assert set(found) == {0.1}
    assert all(".lora_" in name for name in found[0.1])


def test_a_piece_of_a_sharded_matrix_is_no_vector() -> None:
    piece = nn.Parameter(torch.zeros(0))
    setattr(piece, "ds_shape", torch.Size((4, 3)))  # noqa: B010 - as ZeRO-3 marks it; torch declares no such attribute
    (group,) = parameter_groups(nn.ParameterList([piece]), weight_decay=0.1)
    assert group["weight_decay"] == 0.1


def test_without_decay_there_is_one_group() -> None:
    assert len(parameter_groups(nn.Linear(2, 2), weight_decay=0.0)) == 1
