"""Test attention of packed rows on a GPU: torch's variable-length kernel, and kernels that store no scores."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig

from actors.learning.attention import VARLEN, packed_sdpa, row_arguments, varlen
from contracts.batches import Segment
from tests.fakes.flash_kernels import torch_flash_on_cpu
from tests.gpu.device import DEVICE, ON_GPU, needs_gpus

pytestmark = needs_gpus(1)

WHOLE = (Segment(130), Segment(1), Segment(64))
SHARING = (Segment(300), Segment(90), Segment(40, 0, 200), Segment(170, 0, 100), Segment(1, 300, 30))
"""Responses alone that are shorter and longer than their prompt, and one of a single token."""


def random_states(segments: tuple[Segment, ...]) -> list[Tensor]:
    """Return query, key and value, [1, 8 or 2 heads, T, 64] in bfloat16 on the CPU."""
    random = torch.Generator().manual_seed(3)
    num_tokens = sum(segment.length for segment in segments)
    return [torch.randn(1, heads, num_tokens, 64, generator=random).bfloat16() for heads in (8, 2, 2)]


def results(attend: Callable[..., tuple[Tensor, None]], states: list[Tensor], **arguments: object) -> list[Tensor]:
    """Return the output and the gradients of query, key and value, in fp32 on the CPU."""
    query, key, value = (one.detach().requires_grad_() for one in states)
    output, _ = attend(nn.Identity(), query, key, value, None, **arguments)
    scale = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output)
    gradients = torch.autograd.grad((output * scale).sum(), (query, key, value))
    return [one.detach().float().cpu() for one in (output, *gradients)]


@pytest.mark.parametrize("segments", [WHOLE, SHARING])
@pytest.mark.parametrize("sliding_window", [None, 33])
def test_torchs_variable_length_kernel_computes_what_the_segment_loop_does(
    segments: tuple[Segment, ...], sliding_window: int | None
) -> None:
    states = random_states(segments)
    whole = [one.float() for one in states]
    expected = results(packed_sdpa, whole, segments=segments, sliding_window=sliding_window)
    config = LlamaConfig()
    config._attn_implementation = VARLEN
    arguments = row_arguments(config, segments, device=torch.device(DEVICE))
    on_device = [one.to(DEVICE) for one in states]
    with nullcontext() if ON_GPU else torch_flash_on_cpu():
        found = results(varlen, on_device, sliding_window=sliding_window, **arguments)
    for half, reference in zip(found, expected, strict=True):
        assert (half - reference).norm() / reference.norm() < 3 / 256  # of bfloat16's 8 binary digits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sliding_window", [None, 33])
def test_the_segment_loop_needs_no_kernel_that_stores_all_scores(
    dtype: torch.dtype, sliding_window: int | None
) -> None:
    states = random_states(SHARING)
    expected = results(packed_sdpa, [one.float() for one in states], segments=SHARING, sliding_window=sliding_window)
    on_device = [one.to(DEVICE, dtype) for one in states]
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        found = results(packed_sdpa, on_device, segments=SHARING, sliding_window=sliding_window)
    for one, reference in zip(found, expected, strict=True):
        assert (one - reference).norm() / reference.norm() < (3 / 256 if dtype == torch.bfloat16 else 2e-3)
