"""Test which attention is chosen, and what flash attention gets: transformers' or torch's code around a fake kernel.

The kernels themselves need a GPU: tests/gpu/test_attention.py runs torch's.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import TestCase

import pytest
import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    Ministral3Config,
    MistralConfig,
    PersimmonConfig,
    PretrainedConfig,
    PreTrainedModel,
    YoutuConfig,
    modeling_flash_attention_utils,
)
from transformers.models.llama.modeling_llama import LlamaAttention

from actors.learning import attention as packed_attention
from actors.learning.attention import FLASH, PACKED_SDPA, VARLEN, attention_for, row_arguments, varlen, varlen_flash
from actors.learning.policy_model import load_causal_model, prepared
from contracts.batches import Segment
from contracts.errors import BadInput
from tests.fakes.flash_kernels import torch_flash_on_cpu, varlen_kernel
from tests.models.random_models import SHAPE, save_random_model

UNGROUPED = {name: value for name, value in SHAPE.items() if name != "num_key_value_heads"}
CONFIGS: dict[str, tuple[type[PretrainedConfig], dict[str, object]]] = {
    "llama": (LlamaConfig, SHAPE | {"head_dim": 8}),
    "mistral": (MistralConfig, SHAPE | {"head_dim": 8, "sliding_window": 4}),
    "ministral3": (Ministral3Config, SHAPE | {"head_dim": 8, "sliding_window": None}),
    "persimmon": (PersimmonConfig, UNGROUPED | {"hidden_size": 32}),
    "gemma3": (
        Gemma3TextConfig,
        SHAPE
        | {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
        | {"query_pre_attn_scalar": 8},
    ),
}
LENGTHS = (9, 3, 6)
WHOLE = tuple(Segment(length) for length in LENGTHS)
SHARING = (Segment(9), Segment(3), Segment(6, prompt_start=0, prompt_length=4), Segment(1, 9, 2), Segment(2, 0, 4))
"""Three responses alone: two that go on from the first four tokens, one that does from two of the second sequence."""
HALF = torch.bfloat16


def write_model(folder: Path, family: str) -> PreTrainedModel:
    """Random weights that are large enough for every position to matter to every later one."""
    made, settings = CONFIGS[family]
    save_random_model(folder, made, settings)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def row_kernel(*_: object, **__: object) -> Tensor:
    raise AssertionError("the whole row went to flash attention as one sequence")


@pytest.fixture
def has_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the package flash-attn is installed, with the stand-in as its kernel."""
    kernels = (row_kernel, varlen_kernel, None, None, None)
    monkeypatch.setattr(modeling_flash_attention_utils, "_lazy_imports", lambda *_, **__: kernels)
    monkeypatch.setattr(modeling_flash_attention_utils, "_loaded_implementation", None)
    monkeypatch.setattr(packed_attention, "is_flash_attn_2_available", lambda: True)
    known = AttentionInterface._global_mapping
    monkeypatch.setitem(known, FLASH, known[FLASH])  # put back afterwards


@pytest.fixture
def torch_has_flash() -> Iterator[None]:
    with torch_flash_on_cpu():
        yield


def flash_model(folder: Path, *, gradient_checkpointing: bool = False, attention: str = FLASH) -> PreTrainedModel:
    """On a CPU, which would be refused flash attention if it were asked for it while loading."""
    model = load_causal_model(
        str(folder), dtype=torch.float32, device="cpu", gradient_checkpointing=gradient_checkpointing
    )
    model.config._attn_implementation = attention_for(attention, config=model.config, device="cuda", dtype=HALF)
    assert model.config._attn_implementation == attention
    return model


def on_a_row(model: PreTrainedModel, token_ids: Tensor, segments: tuple[Segment, ...] = WHOLE) -> Tensor:
    position_ids = torch.cat([segment.prompt_length + torch.arange(segment.length) for segment in segments])[None]
    arguments = row_arguments(model.config, segments, device=token_ids.device)
    return model.base_model(
        input_ids=token_ids, position_ids=position_ids, use_cache=False, **arguments
    ).last_hidden_state[0]


def random_tokens(segments: tuple[Segment, ...]) -> Tensor:
    return torch.randint(1, 50, (1, sum(one.length for one in segments)), generator=torch.Generator().manual_seed(1))


FLASH_CASES = [*((family, False) for family in CONFIGS), ("ministral3", True)]


@pytest.mark.parametrize("attention", [FLASH, VARLEN])
@pytest.mark.parametrize(("family", "gradient_checkpointing"), FLASH_CASES)
@pytest.mark.usefixtures("has_flash", "torch_has_flash")
def test_flash_attention_is_told_where_the_sequences_of_a_row_begin(
    tmp_path: Path, family: str, gradient_checkpointing: bool, attention: str
) -> None:
    plain = write_model(tmp_path, family)
    model = flash_model(tmp_path, gradient_checkpointing=gradient_checkpointing, attention=attention)
    token_ids = random_tokens(WHOLE)
    expected = torch.cat([plain.base_model(part).last_hidden_state[0] for part in token_ids.split(LENGTHS, dim=1)])
    torch.testing.assert_close(on_a_row(model, token_ids), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("attention", [FLASH, VARLEN])
@pytest.mark.parametrize(("family", "gradient_checkpointing"), FLASH_CASES)
@pytest.mark.usefixtures("has_flash", "torch_has_flash")
def test_flash_attention_is_given_a_shared_prompt_before_each_response(
    tmp_path: Path, family: str, gradient_checkpointing: bool, attention: str
) -> None:
    plain = write_model(tmp_path, family)
    model = flash_model(tmp_path, gradient_checkpointing=gradient_checkpointing, attention=attention)
    token_ids = random_tokens(SHARING)
    whole, other, long, short, last = token_ids.split([segment.length for segment in SHARING], dim=1)
    alone = [(whole, 0), (other, 0), *((torch.cat([whole[:, :4], part], dim=1), 4) for part in (long, last))]
    alone.insert(3, (torch.cat([other[:, :2], short], dim=1), 2))
    expected = torch.cat([plain.base_model(part).last_hidden_state[0, start:] for part, start in alone])
    found = on_a_row(model, token_ids, SHARING)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    scale = torch.linspace(-1, 2, expected.shape[0])[:, None]
    (found * scale).sum().backward()
    (expected * scale).sum().backward()
    for (name, parameter), wanted in zip(
        model.base_model.named_parameters(), plain.base_model.parameters(), strict=True
    ):
        assert parameter.grad is not None and wanted.grad is not None, name
        torch.testing.assert_close(parameter.grad, wanted.grad, atol=1e-3, rtol=1e-3, msg=name)


def test_rows_that_share_prompts_are_not_for_plain_sdpa(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    model = load_causal_model(str(tmp_path), dtype=torch.float32, device="cpu", attention="sdpa")
    assert row_arguments(model.config, WHOLE, device=torch.device("cpu")) == {}
    with pytest.raises(AssertionError):
        row_arguments(model.config, SHARING, device=torch.device("cpu"))


class Forgetful(LlamaAttention):
    """Imitate a model's own code that passes no arguments on to the attention function."""

    def forward(  # noqa: ANN201 - as the class it stands in for
        self, hidden_states: Tensor, position_embeddings: tuple[Tensor, Tensor], attention_mask: Tensor, **_: object
    ):
        return super().forward(hidden_states, position_embeddings, attention_mask)


def loaded(folder: Path) -> PreTrainedModel:
    return load_causal_model(str(folder), dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("load", [loaded, flash_model, partial(flash_model, attention=VARLEN)])
@pytest.mark.usefixtures("has_flash")
def test_a_model_that_does_not_say_where_sequences_begin_is_refused(
    tmp_path: Path, load: Callable[[Path], PreTrainedModel]
) -> None:
    write_model(tmp_path, "llama")
    model = load(tmp_path)
    attentions = [module for module in model.modules() if isinstance(module, LlamaAttention)]
    for attention in attentions:
        attention.__class__ = Forgetful
    assert len(attentions) == 2
    with pytest.raises(BadInput) as error:
        on_a_row(model, torch.ones(1, sum(LENGTHS), dtype=torch.int64))
    assert error.value.key == "policy.model"


WISHES: list[tuple[Tensor | None, dict[str, Any]]] = [
    (torch.ones(1, 18), {}),
    (None, {"s_aux": torch.zeros(4)}),
    (None, {"position_bias": torch.zeros(1)}),
    (None, {"is_causal": False}),
]
TOO_MUCH = [(varlen_flash, FLASH, *wish) for wish in WISHES] + [
    (varlen, VARLEN, *wish) for wish in [*WISHES, (None, {"softcap": 30.0}), (None, {"dropout": 0.1})]
]


@pytest.mark.parametrize(("attend", "attention", "mask", "wish"), TOO_MUCH)
@pytest.mark.usefixtures("has_flash", "torch_has_flash")
def test_what_flash_attention_would_get_wrong_is_refused(
    tmp_path: Path,
    attend: Callable[..., tuple[Tensor, None]],
    attention: str,
    mask: Tensor | None,
    wish: dict[str, Any],
) -> None:
    write_model(tmp_path, "llama")
    model = flash_model(tmp_path, attention=attention)
    layer = next(module for module in model.modules() if isinstance(module, LlamaAttention))
    query, key, value = (torch.zeros(1, heads, sum(LENGTHS), 8) for heads in (4, 2, 2))
    arguments: dict[str, Any] = row_arguments(model.config, WHOLE, device=torch.device("cpu")) | {"scaling": 1.0}
    output, _ = attend(layer, query, key, value, None, **arguments)
    assert output.shape == (1, sum(LENGTHS), 4, 8)
    with pytest.raises(BadInput) as error:
        attend(layer, query, key, value, mask, **arguments, **wish)
    assert error.value.key == "policy.model"


def test_an_attention_that_transformers_chose_instead_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "llama")
    model = loaded(tmp_path)
    model.config._attn_implementation = "flash_attention_3"
    with pytest.raises(BadInput) as error:
        prepared(model, gradient_checkpointing=False)
    assert error.value.key == "learner.attention"


def chosen(wanted: str, *, device: str, dtype: torch.dtype = HALF, head_dim: int = 64) -> str:
    return attention_for(wanted, config=LlamaConfig(head_dim=head_dim), device=device, dtype=dtype)


def test_without_the_package_auto_is_torchs() -> None:
    with TestCase().assertNoLogs(level="WARNING"):
        assert chosen("auto", device="cpu") == PACKED_SDPA
        assert chosen("auto", device="cuda") == chosen("varlen", device="cuda") == VARLEN
        assert chosen("auto", device="cuda", dtype=torch.float32) == PACKED_SDPA
        assert chosen("packed_sdpa", device="cuda") == PACKED_SDPA
    with TestCase().assertLogs(level="WARNING") as logs:
        assert chosen("sdpa", device="cpu") == "sdpa"
    assert "learner.row_tokens" in logs.output[0]


@pytest.mark.usefixtures("has_flash")
def test_auto_is_flash_only_where_it_can_be() -> None:
    assert chosen("auto", device="cuda") == FLASH
    assert chosen("auto", device="cuda", dtype=torch.float16) == FLASH
    assert chosen("auto", device="cuda", dtype=torch.float32) == PACKED_SDPA
    assert chosen("auto", device="cpu") == PACKED_SDPA


@pytest.mark.parametrize("head_dim", [6, 264])
def test_heads_that_torchs_flash_kernel_does_not_take_are_computed_without_it(head_dim: int) -> None:
    assert chosen("auto", device="cuda", head_dim=head_dim) == PACKED_SDPA
    assert chosen("auto", device="cuda", head_dim=256) == VARLEN
    with pytest.raises(BadInput) as error:
        chosen("varlen", device="cuda", head_dim=head_dim)
    assert error.value.key == "learner.attention"


def test_values_of_another_width_than_queries_are_computed_without_torchs_flash_kernel() -> None:
    latent = YoutuConfig()
    assert latent.v_head_dim != latent.qk_head_dim
    assert attention_for("auto", config=latent, device="cuda", dtype=HALF) == PACKED_SDPA


@pytest.mark.parametrize("wanted", ["flash_attention_2", "varlen"])
@pytest.mark.parametrize("capability", [(7, 5), (8, 0)])
def test_a_gpu_that_is_too_old_for_flash_kernels_computes_without_them(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wanted: str
) -> None:
    monkeypatch.setattr(packed_attention, "is_flash_attn_2_available", lambda: True)
    monkeypatch.setitem(AttentionInterface._global_mapping, FLASH, AttentionInterface._global_mapping[FLASH])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    if capability >= (8, 0):
        assert chosen(wanted, device="cuda") == wanted
        return
    assert chosen("auto", device="cuda") == PACKED_SDPA
    with pytest.raises(BadInput) as error:
        chosen(wanted, device="cuda")
    assert error.value.key == "learner.attention"


@pytest.mark.parametrize(
    ("wanted", "device", "dtype", "is_installed"),
    [
        (FLASH, "cpu", HALF, True),
        (FLASH, "cuda", HALF, False),
        (FLASH, "cuda", torch.float32, True),
        (VARLEN, "cpu", HALF, True),
        (VARLEN, "cuda", torch.float32, True),
    ],
)
def test_flash_attention_is_refused_if_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, wanted: str, device: str, dtype: torch.dtype, is_installed: bool
) -> None:
    monkeypatch.setattr(packed_attention, "is_flash_attn_2_available", lambda: is_installed)
    with pytest.raises(BadInput) as error:
        chosen(wanted, device=device, dtype=dtype)
    assert error.value.key == "learner.attention"
