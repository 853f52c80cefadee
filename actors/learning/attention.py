"""Attention over a packed row that costs no more than its sequences, where there is no varlen flash attention.

Owns the function that transformers calls in place of its own SDPA, which pays for a row's whole square and a mask.
Knows torch and transformers' calling convention only.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from driver.errors import BadInput

PACKED_SDPA = "packed_sdpa"

_UNSUPPORTED = ("softcap", "s_aux")
"""What some families ask of attention beyond scaling and a window."""


def packed_sdpa(  # noqa: PLR0913 - the arguments are those that transformers passes
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    position_ids: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence: query [1, heads, T, D]; a sequence starts where a position is 0.

    Result is [1, T, heads, D]. `attention_mask` is None: transformers makes none for an implementation it doesn't know.
    """
    if position_ids is None or any(others.get(name) is not None for name in _UNSUPPORTED):
        raise BadInput(
            f"policy.model: {type(module).__name__} asks for an attention that the learner's packed rows don't have on "
            "this device; choose another model, or a GPU with flash-attn"
        )
    starts = (position_ids[0] == 0).nonzero()[:, 0].tolist()
    lengths = [end - start for start, end in zip(starts, [*starts[1:], query.shape[2]], strict=True)]
    outputs = [
        scaled_dot_product_attention(
            *parts,
            attn_mask=_window(length, sliding_window, query.device),
            is_causal=not _needs_window(length, sliding_window),
            scale=scaling,
            dropout_p=dropout,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        for length, *parts in zip(
            lengths, *(states.split(lengths, dim=2) for states in (query, key, value)), strict=True
        )
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _needs_window(length: int, sliding_window: int | None) -> bool:
    return sliding_window is not None and length > sliding_window


def _window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Each position sees itself and the `sliding_window` - 1 before it; None where that is all there is."""
    if sliding_window is None or length <= sliding_window:
        return None
    return torch.ones(length, length, dtype=torch.bool, device=device).tril().triu(1 - sliding_window)


AttentionInterface.register(PACKED_SDPA, packed_sdpa)
