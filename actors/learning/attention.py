"""Attention over a packed row that costs no more than its sequences, with or without varlen flash attention.

Owns which implementation transformers is told to use, the function that it calls in place of its own SDPA, which pays
for a row's whole square and a mask, and what stands before its flash attention. Knows torch and transformers' calling
convention only.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.utils.import_utils import is_flash_attn_2_available

from driver.errors import BadInput

PACKED_SDPA = "packed_sdpa"
FLASH = "flash_attention_2"
SDPA = "sdpa"
ATTENTIONS = (PACKED_SDPA, FLASH, SDPA)

_FLASH_LACKS = ("s_aux", "position_bias")
_SDPA_LACKS = ("softcap", *_FLASH_LACKS)
"""What some families ask of attention beyond scaling and a window."""

logger = logging.getLogger(__name__)


def attention_for(wanted: str, *, device: str, dtype: torch.dtype) -> str:
    """transformers' name of the implementation for `learner.attention`, for weights of `dtype` on "cpu" or "cuda".

    Where that is flash attention, this process' calls of it go through `varlen_flash` from now on. Raises BadInput.
    """
    obstacle = _flash_obstacle(device, dtype)
    chosen = wanted
    if wanted == "auto":
        chosen = PACKED_SDPA if obstacle else FLASH
    if chosen == FLASH:
        if obstacle:
            raise BadInput(f'learner.attention "{FLASH}" {obstacle}; set it to "auto"')
        AttentionInterface.register(FLASH, varlen_flash)
    if chosen == SDPA:
        logger.warning('learner.attention "sdpa": a packed row costs the square of learner.row_tokens')
    return chosen


def _flash_obstacle(device: str, dtype: torch.dtype) -> str | None:
    if device != "cuda":
        return f"needs a GPU, and the learner runs on {device}"
    if not is_flash_attn_2_available():
        return "needs the package flash-attn, 2.3.3 or newer, and it is not installed"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"takes half precision only, and learner.dtype is {str(dtype).removeprefix('torch.')}"
    return None


def row_arguments(config: PretrainedConfig, position_ids: Tensor) -> dict[str, object]:
    """What the model's forward needs beside ids and positions [1, T] to keep the sequences of a row apart.

    transformers hands it down to every layer's attention. The lengths are read once a pass: on a GPU, reading them in
    every layer would stop the queue as often.
    """
    if config._attn_implementation == SDPA:
        return {}  # transformers makes its mask from the positions
    starts = (position_ids[0] == 0).nonzero()[:, 0].tolist()
    ends = [*starts[1:], position_ids.shape[1]]
    lengths = tuple(end - start for start, end in zip(starts, ends, strict=True))
    if config._attn_implementation == PACKED_SDPA:
        return {"sequence_lengths": lengths}
    # Without these, flash attention looks for the sequences in position ids, which some families don't show it.
    boundaries = torch.tensor([0, *ends], dtype=torch.int32, device=position_ids.device)
    return {
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def varlen_flash(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **others: Any,  # noqa: ANN401 - handed on as transformers passes them
) -> tuple[Tensor, None]:
    """transformers' own, refused where it would mix sequences: without their boundaries, or with a mask beside them.

    Shapes are those of `packed_sdpa`.
    """
    knows_sequences = others.get("cu_seq_lens_q") is not None and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_FLASH_LACKS)
    return flash_attention_forward(module, query, key, value, attention_mask, **others)


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
    _refuse_others(module, others, knows_sequences=bool(sequence_lengths), lacks=_SDPA_LACKS)
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


def _refuse_others(
    module: nn.Module, others: Mapping[str, object], *, knows_sequences: bool, lacks: Collection[str]
) -> None:
    """Raises BadInput for a model that doesn't pass on where its sequences are, or wants what can't be given."""
    is_causal = others.get("is_causal") is not False and getattr(module, "is_causal", True)
    if not knows_sequences or not is_causal or any(others.get(name) is not None for name in lacks):
        raise BadInput(
            f"policy.model: {type(module).__name__} asks for an attention that the learner's packed rows don't have; "
            'choose another model, or try learner.attention "sdpa"'
        )


def _needs_window(length: int, sliding_window: int | None) -> bool:
    return sliding_window is not None and length > sliding_window


def _window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Each position sees itself and the `sliding_window` - 1 before it; None where that is all there is."""
    if sliding_window is None or length <= sliding_window:
        return None
    return torch.ones(length, length, dtype=torch.bool, device=device).tril().triu(1 - sliding_window)


AttentionInterface.register(PACKED_SDPA, packed_sdpa)
