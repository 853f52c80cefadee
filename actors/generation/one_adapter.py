"""Apply the policy's LoRA adapters on CPUs by plain matrix products.

vLLM's own code for CPUs serves many adapters at once: it copies a layer's A and B for every token of a step. A step of
2,048 tokens through a layer with 4,864 inputs then takes 1.2 GiB for an adapter of rank 32. A policy has one adapter,
and all its tokens use it.
"""

from typing import Protocol, cast

import torch
from torch import nn
from vllm.lora.layers import BaseLayerWithLoRA
from vllm.lora.punica_wrapper.punica_base import PunicaWrapperBase
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU


class _Manager(Protocol):
    """The part of vLLM's LoRA manager that is used here."""

    modules: dict[str, BaseLayerWithLoRA]
    punica_wrapper_mapping: dict[str, PunicaWrapperBase]
    max_num_batched_tokens: int
    max_num_seqs: int
    device: torch.device


class OneAdapterWrapper(PunicaWrapperCPU):
    """Be vLLM's wrapper of an engine with one adapter."""

    def add_lora_linear(  # noqa: PLR0913 - vLLM's signature
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: object,
    ) -> None:
        """Add x A^T B^T to y, in place: x is [tokens, in], y is [tokens, sum of `output_slices`].

        A is [1, 1, rank, in] and B [1, 1, out, rank], one pair for each of the fused layers. The first product is in
        fp32, the second one in the dtype of y, as in vLLM's own code.
        """
        if self.no_lora:
            return
        inputs, outputs = x.view(-1, x.shape[-1]).float(), y.view(-1, y.shape[-1])
        start = 0
        for a, b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            low_rank = inputs @ a[0, 0].float().T * scale
            outputs[:, start : start + size] += low_rank.to(outputs.dtype) @ b[0, 0].to(outputs.dtype).T
            start += size


def use_one_adapter(model: nn.Module) -> None:
    """Replace what vLLM has put at the layers with adapters."""
    manager = cast(_Manager, model.lora_manager)
    own = {
        prefix: OneAdapterWrapper(manager.max_num_batched_tokens, manager.max_num_seqs, manager.device)
        for prefix in manager.punica_wrapper_mapping
    }
    of = {id(vllms): own[prefix] for prefix, vllms in manager.punica_wrapper_mapping.items()}
    for layer in manager.modules.values():
        layer.set_mapping(of[id(layer.punica_wrapper)])
    manager.punica_wrapper_mapping.update(own)
