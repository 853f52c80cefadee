"""Test which models vLLM applies adapters to, and the plain products for one adapter against its own code for CPUs."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, PretrainedConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from actors.generation.one_adapter import OneAdapterWrapper
from actors.generation.vllm_build import check_takes_adapters
from tests.models.random_models import GPT2_SHAPE, SHAPE
from tests.refusals import refused

TOKENS, INPUTS, SLICES, RANK = 7, 12, (8, 4, 4), 3


def mapped(kind: type[PunicaWrapperCPU], *, adapter: int) -> PunicaWrapperCPU:
    """Return a wrapper for a step in which every token uses this adapter; 0 is none."""
    wrapper = kind(64, 16, torch.device("cpu"))
    mapping = LoRAMapping((adapter,) * TOKENS, (adapter,), is_prefill=True)
    wrapper.update_metadata(mapping, [1], 2, 100)
    return wrapper


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adapter", [1, 0])
def test_it_adds_what_vllm_adds(dtype: torch.dtype, adapter: int) -> None:
    random = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random).to(dtype)

    x, y = drawn(TOKENS, INPUTS), drawn(TOKENS, sum(SLICES))
    a = tuple(drawn(1, 1, RANK, INPUTS) for _ in SLICES)
    b = tuple(drawn(1, 1, size, RANK) for size in SLICES)
    results = []
    for kind in (PunicaWrapperCPU, OneAdapterWrapper):
        result = y.clone()
        mapped(kind, adapter=adapter).add_lora_linear(result, x, a, b, 1.0, SLICES)
        results.append(result)
    torch.testing.assert_close(results[1], results[0])
    assert torch.equal(results[1], y) == (adapter == 0)


@pytest.mark.parametrize(
    ("config", "is_taken"),
    [
        (LlamaConfig.from_dict({**SHAPE, "architectures": ["LlamaForCausalLM"]}), True),
        (GPT2Config.from_dict({**GPT2_SHAPE, "architectures": ["GPT2LMHeadModel"]}), False),
    ],
    ids=["llama", "gpt2"],
)
def test_a_model_to_which_vllm_can_not_apply_adapters_is_refused_before_it_is_loaded(
    config: PretrainedConfig, is_taken: bool, tmp_path: Path
) -> None:
    config.save_pretrained(tmp_path)
    arguments = EngineArgs(model=str(tmp_path), dtype="float32", skip_tokenizer_init=True)
    with nullcontext() if is_taken else refused("weights.lora", "GPT2LMHeadModel"):
        check_takes_adapters(arguments)
