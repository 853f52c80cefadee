"""Test that policy and critic create every tensor on the row's device, by a device that is not the CPU: `meta`.

A tensor that stays on the CPU would be found on a GPU only. Operators refuse to mix devices on `meta` as well.
"""

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, MistralConfig, PretrainedConfig, PreTrainedModel

from actors.learning.attention import PACKED_SDPA, VARLEN
from actors.learning.logprobs import HeadSettings
from actors.learning.policy_model import PolicyModel, prepared
from actors.learning.rows import RowTensors
from actors.learning.value_model import ValueModel
from contracts.batches import PackedRow
from tests.models.random_models import SHAPE, TEMPERATURE
from tests.models.shared_prompts import all_rows, packed, samples

META = torch.device("meta")
CONFIGS = {
    "llama": LlamaConfig.from_dict(SHAPE | {"head_dim": 8}),
    "with a window": MistralConfig.from_dict(SHAPE | {"head_dim": 8, "sliding_window": 4}),
}
CASES = [
    (family, attention, gradient_checkpointing)
    for family in CONFIGS
    for attention in (PACKED_SDPA, VARLEN)
    for gradient_checkpointing in (False, True)
]


def on_meta(
    kind: type[AutoModelForCausalLM] | type[AutoModel],
    config: PretrainedConfig,
    *,
    attention: str,
    gradient_checkpointing: bool,
) -> PreTrainedModel:
    with META:
        model = kind.from_config(config, attn_implementation=attention)
    return prepared(model, gradient_checkpointing=gradient_checkpointing)


def rows(*, shares: bool) -> list[PackedRow]:
    found = all_rows(packed(samples(measured=True), shares=shares))
    assert any(segment.prompt_length for row in found for segment in row.segments) == shares
    return found


def check_gradients(model: torch.nn.Module, result: Tensor) -> None:
    assert result.device == META
    result.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.device == META for parameter in model.parameters())


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize(("family", "attention", "gradient_checkpointing"), CASES)
def test_a_policy_runs_forward_and_backward_on_one_device(
    family: str, attention: str, gradient_checkpointing: bool, shares: bool
) -> None:
    causal = on_meta(
        AutoModelForCausalLM, CONFIGS[family], attention=attention, gradient_checkpointing=gradient_checkpointing
    )
    model = PolicyModel(causal, HeadSettings(temperature=TEMPERATURE, chunk_tokens=5, entropy_gradient=True))
    for row in rows(shares=shares):
        tensors = RowTensors(row, META)
        logprobs, entropy = model(tensors.inputs)
        assert logprobs.shape == tensors.of(row.advantages).shape == (int(row.loss_mask.sum()),)
        check_gradients(model, logprobs * tensors.of(row.advantages) + entropy)


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("attention", [PACKED_SDPA, VARLEN])
def test_a_critic_runs_forward_and_backward_on_one_device(attention: str, shares: bool) -> None:
    backbone = on_meta(AutoModel, CONFIGS["llama"], attention=attention, gradient_checkpointing=False)
    with META:
        model = ValueModel(backbone)
    for row in rows(shares=shares):
        tensors = RowTensors(row, META)
        check_gradients(model, model(tensors.inputs) - tensors.of(row.returns))
