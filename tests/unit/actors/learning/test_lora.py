"""Test adapters on tiny random models: which layers have them, what they add, and their removal and merge."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from actors.learning.logprobs import HeadSettings
from actors.learning.lora import Adapter, adapter_tensors, adapters_off, add_adapters, base_parameters
from actors.learning.policy_model import PolicyModel
from contracts.config.learning import LoraConfig
from tests.models.row_inputs import whole_sequences
from tests.refusals import refused

TOKENS = torch.tensor([[3, 14, 15, 9, 26, 5, 35, 8]])
SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def tied_llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))


def untied_qwen() -> PreTrainedModel:
    """Return a Qwen model whose attention has biases and whose head is not tied."""
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=False))


def gpt2() -> PreTrainedModel:
    """Return a GPT-2, whose layers keep weights as [in, out] and compute queries, keys and values together."""
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    return GPT2LMHeadModel(config)


every_family = pytest.mark.parametrize("build", [tied_llama, untied_qwen, gpt2])


def built(build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return build().train()


def adapted(
    base: PreTrainedModel, *, targets: tuple[str, ...] | Literal["all"] = "all", seed: int = 1
) -> PreTrainedModel:
    return add_adapters(deepcopy(base), LoraConfig(rank=4, alpha=8, targets=targets), seed=seed)


def trained(base: PreTrainedModel) -> PreTrainedModel:
    """Return the model with adapters as training leaves them: B is no longer 0."""
    causal = adapted(base)
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in causal.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)
    return causal


def logits(causal: PreTrainedModel) -> Tensor:
    return causal(TOKENS).logits.detach()


def gradients(causal: PreTrainedModel) -> dict[str, Tensor]:
    causal(TOKENS).logits.square().mean().backward()
    return {name: parameter.grad for name, parameter in causal.named_parameters() if parameter.grad is not None}


@every_family
def test_the_first_forward_is_the_base_models(build: Callable[[], PreTrainedModel]) -> None:
    base = built(build)
    assert torch.equal(logits(adapted(base)), logits(base))


@every_family
def test_switched_off_adapters_leave_exactly_the_base_model(build: Callable[[], PreTrainedModel]) -> None:
    base = built(build)
    causal = trained(base)
    with_adapters = logits(causal)
    assert not torch.allclose(with_adapters, logits(base), atol=1e-3)
    with adapters_off(causal):
        assert torch.equal(logits(causal), logits(base))
    assert torch.equal(logits(causal), with_adapters)


def test_adapters_are_back_and_trainable_after_a_pass_without_them_that_failed() -> None:
    causal = trained(built(tied_llama))
    before = logits(causal)
    with pytest.raises(RuntimeError), adapters_off(causal):
        raise RuntimeError("in the pass")
    assert torch.equal(logits(causal), before)
    assert all(".lora_" in name for name in gradients(causal))
    assert len(gradients(causal)) == 2 * 7 * 2  # A and B of seven layers in each of two blocks


@every_family
def test_the_merged_model_computes_what_the_adapted_one_does(build: Callable[[], PreTrainedModel]) -> None:
    base = built(build)
    causal = trained(base)
    merged = deepcopy(base)
    own = dict(merged.named_parameters())
    with torch.no_grad():
        for parameter in base_parameters(causal):
            own[parameter.name].copy_(parameter.copied())
    torch.testing.assert_close(logits(merged), logits(causal), rtol=0, atol=1e-5)


@every_family
def test_merging_is_what_peft_merges(build: Callable[[], PreTrainedModel]) -> None:
    causal = trained(built(build))
    ours = {parameter.name: parameter.copied() for parameter in base_parameters(causal)}
    for layer in causal.modules():
        if isinstance(layer, peft.tuners.lora.Linear):
            layer.merge()
    for parameter in base_parameters(causal):
        torch.testing.assert_close(ours[parameter.name], parameter.weight.detach(), rtol=1e-6, atol=1e-7)


@every_family
def test_names_shapes_and_order_are_the_base_models(build: Callable[[], PreTrainedModel]) -> None:
    base = built(build)
    expected = [(name, parameter.shape) for name, parameter in base.named_parameters()]
    assert [(parameter.name, parameter.weight.shape) for parameter in base_parameters(adapted(base))] == expected
    assert [(parameter.name, parameter.weight.shape) for parameter in base_parameters(base)] == expected


@every_family
def test_every_linear_layer_but_the_head_learns_and_nothing_else(build: Callable[[], PreTrainedModel]) -> None:
    causal = adapted(built(build))
    for name, parameter in causal.named_parameters():
        assert parameter.requires_grad == (".lora_" in name), name
    with_adapter = {parameter.name for parameter in base_parameters(causal) if parameter.adapter is not None}
    matrices = {name for name, parameter in built(build).named_parameters() if parameter.dim() == 2}
    assert with_adapter == matrices - {
        "lm_head.weight",
        "model.embed_tokens.weight",
        "transformer.wte.weight",
        "transformer.wpe.weight",
    }


def test_the_model_stays_of_its_class_with_its_base_model_and_head() -> None:
    base = built(tied_llama)
    before = (type(base), base.base_model, base.get_output_embeddings())
    causal = add_adapters(base, LoraConfig(rank=2), seed=1)
    assert causal is base
    assert (type(causal), causal.base_model, causal.get_output_embeddings()) == before


def test_named_targets_alone_get_adapters() -> None:
    causal = adapted(built(tied_llama), targets=("v_proj", "layers.1.mlp.up_proj"))
    with_adapter = [parameter.name for parameter in base_parameters(causal) if parameter.adapter is not None]
    assert with_adapter == [
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.1.self_attn.v_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    ]


def test_a_merged_weight_is_the_sum_worked_by_hand() -> None:
    # scale B A = 0.5 [[1], [2]] [[1, 3]] = [[0.5, 1.5], [1, 3]]
    adapter = Adapter(
        a=nn.Parameter(torch.tensor([[1.0, 3.0]])),
        b=nn.Parameter(torch.tensor([[1.0], [2.0]])),
        scale=0.5,
        is_transposed=False,
    )
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert adapter.merged(weight).tolist() == [[1.5, 3.5], [4.0, 7.0]]
    assert weight.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    transposed = Adapter(a=adapter.a, b=adapter.b, scale=0.5, is_transposed=True)
    assert transposed.merged(weight).tolist() == [[1.5, 3.0], [4.5, 7.0]]


def test_half_precision_is_merged_in_fp32_and_rounded_once() -> None:
    # bf16 has 8 significant bits: 257 is none of its numbers. B A = 1 x 1 + 256 x 1 = 257; 257 - 1 = 256 is one.
    # A product rounded to bf16 on the way would be 256, and the sum 255.
    adapter = Adapter(
        a=nn.Parameter(torch.tensor([[1.0], [256.0]], dtype=torch.bfloat16)),
        b=nn.Parameter(torch.tensor([[1.0, 1.0]], dtype=torch.bfloat16)),
        scale=1.0,
        is_transposed=False,
    )
    merged = adapter.merged(torch.tensor([[-1.0]], dtype=torch.bfloat16))
    assert merged.dtype == torch.bfloat16
    assert merged.item() == 256.0


def test_adapters_have_the_bases_dtype() -> None:
    causal = adapted(built(untied_qwen).bfloat16())
    assert {parameter.dtype for parameter in causal.parameters()} == {torch.bfloat16}


def test_first_values_depend_on_the_seed_alone() -> None:
    base = built(tied_llama)
    torch.manual_seed(100)
    one = adapted(base, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(100)
    assert torch.rand(1) == drawn  # the process' own generator was left alone
    same, other = adapted(base, seed=3), adapted(base, seed=4)
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, same.get_parameter(name)), name
        assert torch.equal(parameter, other.get_parameter(name)) != (".lora_A." in name), name


@pytest.mark.parametrize("targets", ["all", ("down_proj",)])
def test_gradients_reach_the_adapters_through_checkpointed_layers(targets: tuple[str, ...] | Literal["all"]) -> None:
    base = built(tied_llama)
    expected = gradients(adapted(base, targets=targets))
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    found = gradients(adapted(base, targets=targets))
    assert found.keys() == expected.keys()
    assert len(found) == 2 * 2 * (7 if targets == "all" else len(targets))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-8)
    assert any(gradient.abs().max() > 0 for gradient in found.values())


def test_log_probabilities_teach_the_adapters_and_leave_the_frozen_head() -> None:
    causal = trained(built(tied_llama))
    policy = PolicyModel(causal, HeadSettings(temperature=1.0, chunk_tokens=4))
    logprobs, _ = policy(whole_sequences([TOKENS[0]], asked=[(3, 4, 5, 6, 7)]))
    logprobs.sum().backward()
    expected = trained(built(tied_llama))
    everything = expected(TOKENS).logits[0, :-1].log_softmax(-1).gather(1, TOKENS[0, 1:, None])[:, 0]
    everything[2:].sum().backward()
    torch.testing.assert_close(logprobs.detach(), everything[2:].detach(), rtol=0, atol=1e-5)
    for name, parameter in expected.named_parameters():
        found = causal.get_parameter(name).grad
        if parameter.grad is None or found is None:
            assert found is parameter.grad, name
        else:
            torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("targets", [("q_proj", "qproj"), ("embed_tokens",), ("lm_head",)])
def test_a_target_that_can_have_no_adapter_is_refused(targets: tuple[str, ...]) -> None:
    base = built(tied_llama)
    names = [name for name, _ in base.named_parameters()]
    with refused("learner.lora.targets", targets[-1]):
        add_adapters(base, LoraConfig(rank=4, targets=targets), seed=1)
    assert [name for name, _ in base.named_parameters()] == names


def test_an_adapter_that_cannot_be_merged_is_refused_by_name() -> None:
    causal = built(untied_qwen)
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["embed_tokens"]), causal)
    with refused("learner.lora", "model.embed_tokens"):
        base_parameters(causal)


@every_family
def test_adapters_alone_have_the_names_of_a_file_of_peft_and_b_has_the_scale(
    build: Callable[[], PreTrainedModel],
) -> None:
    causal = trained(built(build))
    alone = {tensor.name: tensor.copied() for tensor in adapter_tensors(causal)}
    saved = peft.get_peft_model_state_dict(causal, adapter_name="default")
    assert {f"base_model.model.{name}" for name in saved} == alone.keys()
    for name, tensor in saved.items():
        copied = alone[f"base_model.model.{name}"]
        assert torch.equal(copied, tensor * 2 if ".lora_B." in name else tensor)  # alpha 8 over rank 4
        assert copied.data_ptr() != tensor.data_ptr()


def test_a_model_without_adapters_has_none_to_send() -> None:
    assert adapter_tensors(built(tied_llama)) == []
