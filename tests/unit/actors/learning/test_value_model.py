"""Test the critic on tiny random models: the state of each value, packed rows, its start and its gradients."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from actors.learning.value_model import ValueHead, ValueModel, load_value_model
from tests.models.row_inputs import whole_sequences

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
MODELS = {"llama": (LlamaForCausalLM, LlamaConfig), "qwen2": (Qwen2ForCausalLM, Qwen2Config)}
PARTS = (torch.tensor([3, 8, 20, 41]), torch.tensor([7, 9, 11, 30, 2, 44]))
ROW = whole_sequences(PARTS, asked=[(2, 3), (1, 5)])  # positions 2, 3, 5 and 9 of the row


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(5)
    made, config = MODELS[request.param]
    model = made(config.from_dict(SHAPE)).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(tmp_path)
    return tmp_path


def critic(folder: Path, *, dtype: torch.dtype = torch.float32, gradient_checkpointing: bool = False) -> ValueModel:
    return load_value_model(str(folder), dtype=dtype, device="cpu", gradient_checkpointing=gradient_checkpointing)


def with_random_head(model: ValueModel) -> ValueModel:
    torch.manual_seed(9)
    with torch.no_grad():
        model.head.weight.normal_()
        model.head.bias.fill_(0.5)
    return model


def states(backbone: PreTrainedModel) -> torch.Tensor:
    """Return the hidden state right before each response token, by plain transformers, one sequence at a time."""
    first, second = (backbone(input_ids=part[None]).last_hidden_state[0] for part in PARTS)
    return torch.stack([first[1], first[2], second[0], second[4]])


def test_all_first_values_are_zero(folder: Path) -> None:
    values = critic(folder)(ROW)
    assert values.tolist() == [0.0] * 4


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_value_is_read_off_the_state_before_its_token(folder: Path, gradient_checkpointing: bool) -> None:
    plain = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model = with_random_head(critic(folder, gradient_checkpointing=gradient_checkpointing))
    expected = (states(plain) * model.head.weight.detach()).sum(dim=-1) + 0.5
    scale = torch.tensor([1.0, -2.0, 0.5, 3.0])
    (expected * scale).sum().backward()

    values = model(ROW)
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)
    (values * scale).sum().backward()
    for (name, found), wanted in zip(model.backbone.named_parameters(), plain.parameters(), strict=True):
        assert found.grad is not None and wanted.grad is not None, name
        torch.testing.assert_close(found.grad, wanted.grad, atol=1e-4, rtol=1e-4, msg=name)
    # d sum(scale x value) / d bias = sum(scale), and / d weight = sum(scale x state).
    assert model.head.bias.grad is not None and model.head.bias.grad.tolist() == pytest.approx([2.5])
    assert model.head.weight.grad is not None
    torch.testing.assert_close(model.head.weight.grad[0], scale @ states(plain), atol=1e-4, rtol=1e-4)


def test_no_positions_still_lead_back_to_every_parameter(folder: Path) -> None:
    model = critic(folder)
    values = model(whole_sequences(PARTS, asked=[(), ()]))
    assert values.shape == (0,)
    values.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.eq(0).all(), name


def test_half_precision_weights_still_give_fp32_values() -> None:
    head = ValueHead(2, dtype=torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 1.0]]))
    # In bf16, whose numbers from 256 on are 2 apart, 256 + 1 would be 256.
    assert head(torch.tensor([[256.0, 1.0]], dtype=torch.bfloat16)).tolist() == [257.0]


def test_the_output_head_is_left_out(folder: Path) -> None:
    names = [name for name, _ in critic(folder).named_parameters()]
    assert {"head.weight", "head.bias"} < set(names)
    assert not [name for name in names if "lm_head" in name]
