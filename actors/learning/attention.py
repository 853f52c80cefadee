"""Attention over a packed row that costs no more than its sequences, with or without varlen flash attention.

Owns which implementation transformers is told to use, and the function that it calls in place of its own SDPA, which
pays for a row's whole square and a mask. Knows torch and transformers' calling convention only.
"""

import logging
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PretrainedConfig

from driver.errors import BadInput

PACKED_SDPA = "packed_sdpa"
FLASH = "flash_attention_2"

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")
"""What some families ask of attention beyond scaling and a window."""

logger = logging.getLogger(__name__)


def attention_for(wanted: str, *, device: str) -> str:
    """transformers' name of the implementation for `learner.attention` on "cpu" or "cuda". Raises BadInput."""
    has_flash = device == "cuda" and find_spec("flash_attn") is not None
    if wanted == "auto":
        return FLASH if has_flash else PACKED_SDPA
    if wanted == FLASH and not has_flash:
        raise BadInput(
            f'learner.attention "{FLASH}" needs a GPU and the package flash-attn, and the learner runs on {device}'
            f'{"" if device == "cpu" else " without the package"}; set it to "auto"'
        )
    if wanted == "sdpa":
        logger.warning('learner.attention "sdpa": a packed row costs the square of learner.row_tokens')
    return wanted


def row_arguments(config: PretrainedConfig, position_ids: Tensor) -> dict[str, tuple[int, ...]]:
    """What the model's forward needs beside ids and positions [1, T] to keep the sequences of a row apart.

    The lengths are read once a pass: on a GPU, reading them in every layer would stop the queue as often.
    """
    if config._attn_implementation != PACKED_SDPA:
        return {}  # transformers finds the sequences itself, where positions restart
    starts = (position_ids[0] == 0).nonzero()[:, 0].tolist()
    ends = [*starts[1:], position_ids.shape[1]]
    return {"sequence_lengths": tuple(end - start for start, end in zip(starts, ends, strict=True))}


def packed_sdpa(  # noqa: PLR0913 - the arguments are those that transformers passes
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    sequence_lengths: tuple[int, ...] = (),
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Causal attention inside each sequence of a row: query [1, heads, T, D], T the sum of `sequence_lengths`.

    Result is [1, T, heads, D]. `attention_mask` is None: transformers makes none for an implementation it doesn't know.
    """
    if (
        not sequence_lengths
        or not getattr(module, "is_causal", True)
        or any(others.get(name) is not None for name in _UNSUPPORTED)
    ):
        raise BadInput(
            f"policy.model: {type(module).__name__} asks for an attention that the learner's packed rows don't have; "
            'choose another model, or try learner.attention "sdpa"'
        )
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
            sequence_lengths,
            *(states.split(sequence_lengths, dim=2) for states in (query, key, value)),
            strict=True,
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
