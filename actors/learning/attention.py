"""Attention over a packed row that costs no more than its segments, with or without varlen flash attention.

Owns which implementation transformers is told to use, the function that it calls in place of its own SDPA, which pays
for a row's whole square and a mask, and what stands before its flash attention. Knows torch and transformers' calling
convention only.
"""

import logging
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.utils.import_utils import is_flash_attn_2_available

from actors.learning.segment_attention import AttentionRules, attend
from contracts.batches import Segment
from contracts.errors import BadInput

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


def row_arguments(
    config: PretrainedConfig, segments: tuple[Segment, ...], *, device: torch.device
) -> dict[str, object]:
    """What the model's forward needs beside ids and positions [1, T], so that each token sees its own sequence only.

    transformers hands it down to every layer's attention.
    """
    shares = any(segment.prompt_length for segment in segments)
    if config._attn_implementation == SDPA:
        assert not shares, f'rows that share prompts are no rows for learner.attention "{SDPA}"'
        return {}  # transformers makes its mask from the positions
    if config._attn_implementation == PACKED_SDPA:
        return {"segments": segments}
    # Without these, flash attention looks for the sequences in position ids, which some families don't show it.
    lengths = [segment.length for segment in segments]
    seen = [segment.prompt_length + segment.length for segment in segments]
    arguments: dict[str, object] = {
        "cu_seq_lens_q": torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device),
        "cu_seq_lens_k": torch.tensor([0, *accumulate(seen)], dtype=torch.int32, device=device),
        "max_length_q": max(lengths),
        "max_length_k": max(seen),
    }
    return arguments | ({"seen_positions": _seen_positions(segments).to(device)} if shares else {})


def _seen_positions(segments: tuple[Segment, ...]) -> Tensor:
    """Of all segments in order: where in the row is what it sees, a prompt and itself."""
    parts, start = [], 0
    for segment in segments:
        parts.append(torch.arange(segment.prompt_start, segment.prompt_start + segment.prompt_length))
        parts.append(torch.arange(start, start + segment.length))
        start += segment.length
    return torch.cat(parts)


def varlen_flash(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    seen_positions: Tensor | None = None,
    **others: Any,  # noqa: ANN401 - handed on as transformers passes them
) -> tuple[Tensor, None]:
    """transformers' own, refused where it would mix sequences: without their boundaries, or with a mask beside them.

    Shapes are those of `packed_sdpa`. Where a segment sees more than itself, `seen_positions` says what: its last query
    sees all of it, the one before all but the last, as flash attention has it from 2.1 on.
    """
    knows_sequences = others.get("cu_seq_lens_q") is not None and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_FLASH_LACKS)
    _refuse_lost_window(module, others.get("sliding_window"))
    if seen_positions is not None:
        key, value = key[:, :, seen_positions], value[:, :, seen_positions]
    return flash_attention_forward(module, query, key, value, attention_mask, **others)


def packed_sdpa(  # noqa: PLR0913 - the arguments are those that transformers passes
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: tuple[Segment, ...] = (),
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Causal attention of each segment over its prompt and itself: query [1, heads, T, D], key and value likewise.

    Result is [1, T, heads, D]. `attention_mask` is None, as transformers makes none for an implementation that it
    doesn't know; a model that makes one of its own is refused.
    """
    knows_sequences = bool(segments) and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_SDPA_LACKS)
    _refuse_lost_window(module, sliding_window)
    rules = AttentionRules(sliding_window=sliding_window, scaling=scaling, dropout=dropout)
    return attend(query, key, value, segments=segments, rules=rules).transpose(1, 2).contiguous(), None


def _refuse_others(
    module: nn.Module, others: Mapping[str, object], *, knows_sequences: bool, lacks: Collection[str]
) -> None:
    """Raises BadInput for a model that doesn't pass on where its sequences are, or wants what can't be given."""
    is_causal = others.get("is_causal") is not False and getattr(module, "is_causal", True)
    if not knows_sequences or not is_causal or any(others.get(name) is not None for name in lacks):
        raise _refusal(module)


def _refuse_lost_window(module: nn.Module, sliding_window: object) -> None:
    """Raises BadInput for a model whose window is in its masks only, of which packed rows have none."""
    config = getattr(module, "config", None)
    wants_window = getattr(config, "sliding_window", None) and not getattr(config, "layer_types", None)
    if wants_window and sliding_window is None:
        raise _refusal(module)


def _refusal(module: nn.Module) -> BadInput:
    return BadInput(
        f"policy.model: {type(module).__name__} asks for an attention that the learner's packed rows don't have; "
        'choose another model, or try learner.attention "sdpa"'
    )


AttentionInterface.register(PACKED_SDPA, packed_sdpa)
