"""Test the plain products for one adapter against vLLM's own code for CPUs."""

import pytest
import torch
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from actors.generation.one_adapter import OneAdapterWrapper

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
