"""Test packed rows in tiny random models of several families, against plain transformers on each sequence alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DogeConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    ModernBertDecoderConfig,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_outputs import BaseModelOutputWithPast

from actors.learning.logprobs import HeadSettings
from actors.learning.policy_model import PolicyModel, load_causal_model, load_model_config, num_drawable_tokens
from actors.learning.rows import RowInputs
from quickstart.tiny import tiny_tokenizer
from tests.models.random_models import GPT2_SHAPE, SHAPE, TEMPERATURE, VOCABULARY, save_random_model
from tests.models.row_inputs import whole_sequences
from tests.refusals import refused

WINDOW = {"sliding_window": 4}
TWO_KINDS = {"layer_types": ["sliding_attention", "full_attention"], "head_dim": 6}
FAMILIES: Mapping[str, tuple[type[PretrainedConfig], Mapping[str, object]]] = {
    "llama": (LlamaConfig, SHAPE),
    "qwen2": (Qwen2Config, SHAPE),
    "qwen3": (Qwen3Config, SHAPE | {"head_dim": 6}),
    "mistral": (MistralConfig, SHAPE | WINDOW),
    "gemma3": (Gemma3TextConfig, SHAPE | WINDOW | TWO_KINDS),
    "gpt2": (GPT2Config, GPT2_SHAPE),
}
CASES = [(family, tied) for family in ("llama", "qwen2", "qwen3", "mistral") for tied in (True, False)]
CASES += [("gemma3", True), ("gpt2", True)]  # always tied; gpt2 has positions of its own and a dropout of 0.1

PROMPT_TOKENS = (3, 1, 5)
RESPONSE_TOKENS = (6, 2, 4)


def write_model(folder: Path, family: str, *, tied: bool) -> PreTrainedModel:
    """Random weights that are large enough for every position to matter to every later one."""
    made, settings = FAMILIES[family]
    save_random_model(folder, made, {**settings, "tie_word_embeddings": tied})
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def sequences(*, seed: int = 1) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    lengths = [prompt + response for prompt, response in zip(PROMPT_TOKENS, RESPONSE_TOKENS, strict=True)]
    return [torch.randint(3, VOCABULARY, (length,), generator=random) for length in lengths]


def packed(parts: list[torch.Tensor]) -> RowInputs:
    """The response tokens are asked for."""
    asked = [range(num_prompt, len(part)) for part, num_prompt in zip(parts, PROMPT_TOKENS, strict=True)]
    return whole_sequences(parts, asked=asked)


def plain_logprobs(model: PreTrainedModel, parts: list[torch.Tensor]) -> torch.Tensor:
    """Return the response tokens' log-probabilities, sequence by sequence, at an engine's temperature: logits / T."""
    found = []
    for part, num_prompt in zip(parts, PROMPT_TOKENS, strict=True):
        logprobs = (model(part[None]).logits[0, :-1] / TEMPERATURE).log_softmax(dim=-1)
        found.append(logprobs.gather(1, part[1:, None])[num_prompt - 1 :, 0])
    return torch.cat(found)


def learner_model(folder: Path, *, attention: str = "auto", gradient_checkpointing: bool = False) -> PolicyModel:
    causal = load_causal_model(
        str(folder),
        dtype=torch.float32,
        device="cpu",
        attention=attention,
        gradient_checkpointing=gradient_checkpointing,
    )
    return PolicyModel(causal, HeadSettings(temperature=TEMPERATURE, chunk_tokens=5))


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(("family", "tied"), CASES)
def test_packed_rows_give_the_logprobs_and_gradients_of_the_separate_sequences(
    tmp_path: Path, family: str, tied: bool
) -> None:
    plain = write_model(tmp_path, family, tied=tied)
    parts, scale = sequences(), torch.linspace(-1, 2, sum(RESPONSE_TOKENS))
    expected = plain_logprobs(plain, parts)
    (expected * scale).sum().backward()

    model = learner_model(tmp_path)
    logprobs, _ = model(packed(parts))
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)
    (logprobs * scale).sum().backward()
    found, wanted = gradients(model.causal), gradients(plain)
    assert found.keys() == wanted.keys() and ("lm_head.weight" in found) != tied
    for name, gradient in wanted.items():
        error = (found[name] - gradient).norm() / gradient.norm().clamp_min(1e-3)
        assert error < 1e-5, name


@pytest.mark.parametrize(("attention", "gradient_checkpointing"), [("sdpa", False), ("auto", True), ("sdpa", True)])
def test_other_attention_and_checkpointing_change_nothing(
    tmp_path: Path, attention: str, gradient_checkpointing: bool
) -> None:
    write_model(tmp_path, "llama", tied=True)
    row = packed(sequences())
    reference = learner_model(tmp_path)
    expected, _ = reference(row)
    expected.sum().backward()
    model = learner_model(tmp_path, attention=attention, gradient_checkpointing=gradient_checkpointing)
    logprobs, _ = model(row)
    logprobs.sum().backward()
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradients(model.causal), gradients(reference.causal), atol=1e-5, rtol=1e-4)


def test_only_response_tokens_are_pushed(tmp_path: Path) -> None:
    """A position that predicts no response token gets no gradient from the head."""
    write_model(tmp_path, "llama", tied=False)
    model = learner_model(tmp_path)
    hidden: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: BaseModelOutputWithPast) -> None:
        assert output.last_hidden_state is not None
        output.last_hidden_state.retain_grad()
        hidden.append(output.last_hidden_state)

    model.causal.base_model.register_forward_hook(keep)
    model(packed(sequences()))[0].sum().backward()
    gradient = hidden[0].grad
    assert gradient is not None
    has_gradient = gradient[0].abs().sum(dim=-1) > 0
    # Three sequences of 3 + 6, 1 + 2 and 5 + 4 tokens: the last token of a prompt predicts the first of its response.
    assert has_gradient.nonzero()[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 9, 10, 16, 17, 18, 19]


def test_no_sequence_sees_another(tmp_path: Path) -> None:
    write_model(tmp_path, "mistral", tied=True)
    model = learner_model(tmp_path)
    parts, others = sequences(), sequences(seed=2)
    first, _ = model(packed(parts))
    second, _ = model(packed([others[0], parts[1], others[2]]))
    torch.testing.assert_close(first[6:8], second[6:8], atol=1e-6, rtol=0)
    assert not torch.allclose(first[:6], second[:6], atol=1e-2)


def test_attention_that_packed_rows_do_not_support_is_refused(tmp_path: Path) -> None:
    config = DogeConfig.from_dict(SHAPE | {"num_experts": 0})  # makes a mask of its own
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = learner_model(tmp_path)
    with refused("policy.model"):
        model(packed(sequences()))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (Gemma2Config(), "final_logit_softcapping"),
        (GraniteConfig(logits_scaling=8.0), "logits_scaling"),
        (Lfm2Config(layer_types=["conv", "full_attention"], num_hidden_layers=2), "conv"),
        (BloomConfig(), "bloom"),
        (FalconConfig(), "falcon"),
    ],
)
def test_a_model_that_packed_rows_do_not_support_is_refused_before_it_is_loaded(
    tmp_path: Path, config: PretrainedConfig, named: str
) -> None:
    config.save_pretrained(tmp_path)
    with refused(str(tmp_path), named):
        load_model_config(str(tmp_path))


def test_a_head_with_a_bias_is_refused(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(PhiConfig.from_dict(SHAPE)).save_pretrained(tmp_path)
    with refused("policy.model"):
        learner_model(tmp_path)


def test_a_head_of_more_parameters_is_refused(tmp_path: Path) -> None:
    config = ModernBertDecoderConfig.from_dict(SHAPE | {"decoder_bias": False})
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with refused("policy.model", "lm_head.dense"):
        learner_model(tmp_path)


@pytest.mark.parametrize(("num_rows", "expected"), [(512, None), (560, 512), (500, None)])
def test_only_a_head_with_more_rows_than_ids_is_masked(tmp_path: Path, num_rows: int, expected: int | None) -> None:
    LlamaConfig.from_dict(SHAPE | {"vocab_size": num_rows}).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert num_drawable_tokens(str(tmp_path)) == expected
