"""Choose and provide the attention for packed rows, whose cost is that of the segments, not of the row's whole square.

There are four: flash-attn, with checks before it; torch's own variable-length flash attention; `packed_sdpa`, which
computes one segment after the other on any device; and transformers' plain SDPA, which computes the whole square.
"""

import logging
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.utils.import_utils import is_flash_attn_2_available

from actors.learning.segment_attention import AttentionRules, attend
from contracts.batches import Segment
from contracts.errors import BadInput

PACKED_SDPA = "packed_sdpa"
FLASH = "flash_attention_2"
VARLEN = "varlen"
SDPA = "sdpa"
ATTENTIONS = (PACKED_SDPA, FLASH, VARLEN, SDPA)

_FLASH_LACKS = ("s_aux", "position_bias")
_TORCH_LACKS = ("softcap", *_FLASH_LACKS)
"""Arguments with which some model families ask for more than scaling and a window."""

_LARGEST_HEAD = 256
_HEAD_MULTIPLE = 8
"""Head sizes that torch's variable-length attention takes: multiples of 8 up to 256."""
_AMPERE = (8, 0)
"""The oldest compute capability for which torch builds that kernel."""

logger = logging.getLogger(__name__)


def attention_for(wanted: str, *, config: PretrainedConfig, device: str, dtype: torch.dtype) -> str:
    """Return transformers' name of the implementation for a value of `learner.attention`.

    `dtype` is that of the weights, `device` is "cpu" or "cuda". If flash-attn is chosen, all its calls in this process
    go through `varlen_flash` from now on.

    Raises:
        BadInput: an attention is asked for that can't be used.
    """
    obstacles = {FLASH: _flash_obstacle(device, dtype), VARLEN: _varlen_obstacle(config, device, dtype)}
    chosen = wanted
    if wanted == "auto":
        chosen = next((name for name, obstacle in obstacles.items() if obstacle is None), PACKED_SDPA)
    elif obstacle := obstacles.get(wanted):
        raise BadInput(f'learner.attention "{wanted}" {obstacle}; set it to "auto"', key="learner.attention")
    if chosen == FLASH:
        AttentionInterface.register(FLASH, varlen_flash)
    if chosen == SDPA:
        logger.warning('learner.attention "sdpa": a packed row costs the square of learner.row_tokens')
    return chosen


def _flash_obstacle(device: str, dtype: torch.dtype) -> str | None:
    """Return why flash-attn can't be used, or None if it can."""
    if device == "cuda" and not is_flash_attn_2_available():
        return "needs the package flash-attn, 2.3.3 or newer, and it is not installed"
    return _gpu_obstacle(device, dtype)


def _varlen_obstacle(config: PretrainedConfig, device: str, dtype: torch.dtype) -> str | None:
    """Return why torch's variable-length attention can't be used, or None if it can."""
    if getattr(config, "v_head_dim", None):
        return "takes values as wide as queries, and the model has a width of its own for them (v_head_dim)"
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if size % _HEAD_MULTIPLE or size > _LARGEST_HEAD:
        return f"takes heads of a multiple of {_HEAD_MULTIPLE} up to {_LARGEST_HEAD}, and the model's have {size}"
    return _gpu_obstacle(device, dtype)


def _gpu_obstacle(device: str, dtype: torch.dtype) -> str | None:
    """Return why a flash kernel can't run on this device in this dtype, or None if it can."""
    if device != "cuda":
        return f"needs a GPU, and the learner runs on {device}"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"takes half precision only, and learner.dtype is {str(dtype).removeprefix('torch.')}"
    if torch.cuda.is_available() and (found := torch.cuda.get_device_capability()) < _AMPERE:
        return f"needs a GPU of compute capability 8.0 or newer, and this one has {found[0]}.{found[1]}"
    return None


def row_arguments(
    config: PretrainedConfig, segments: tuple[Segment, ...], *, device: torch.device
) -> dict[str, object]:
    """Return the model's arguments besides ids and positions [1, T], so that each token sees its own sequence only.

    transformers passes them on to every layer's attention.
    """
    shares = any(segment.prompt_length for segment in segments)
    if config._attn_implementation == SDPA:
        assert not shares, f'rows that share prompts are no rows for learner.attention "{SDPA}"'
        return {}  # transformers makes its mask from the positions
    if config._attn_implementation == PACKED_SDPA:
        return {"segments": segments}
    # Without these, flash-attn finds the sequences by position ids, which some model families don't pass to it.
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
    """Return the row positions [S] that each segment sees, prompt and itself, for all segments in order."""
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
    **others: Any,  # noqa: ANN401 - passed on as transformers gives them
) -> tuple[Tensor, None]:
    """Call transformers' flash attention, after checking that it will not mix sequences.

    Shapes are those of `packed_sdpa`. If segments see more than themselves, `seen_positions` [S] says what. A segment's
    last query sees all of its positions, the one before sees all but the last: flash attention does so since 2.1.

    Raises:
        BadInput: the model does not pass on the sequence boundaries, or asks for more than flash attention gives.
    """
    knows_sequences = others.get("cu_seq_lens_q") is not None and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_FLASH_LACKS)
    _refuse_lost_window(module, others.get("sliding_window"))
    if seen_positions is not None:
        key, value = key[:, :, seen_positions], value[:, :, seen_positions]
    return flash_attention_forward(module, query, key, value, attention_mask, **others)


def varlen(  # noqa: PLR0913 - the arguments are those that transformers passes
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor | None = None,
    cu_seq_lens_k: Tensor | None = None,
    max_length_q: int = 0,
    max_length_k: int = 0,
    seen_positions: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Return causal attention of each segment over its prompt and itself, by torch's variable-length kernel.

    Shapes are those of `packed_sdpa`. `cu_seq_lens_q` and `cu_seq_lens_k` [number of segments + 1] say where the
    queries and keys of each segment begin; if segments see more than themselves, `seen_positions` [S] says what. A
    segment's last query sees its last key, as in FlashAttention from 2.1 on.

    Raises:
        BadInput: the model does not pass on the sequence boundaries, or asks for more than this function gives.
    """
    knows_sequences = cu_seq_lens_q is not None and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_TORCH_LACKS)
    _refuse_lost_window(module, sliding_window)
    if cu_seq_lens_q is None or dropout:
        raise _refusal(module)
    if seen_positions is not None:
        key, value = key[:, :, seen_positions], value[:, :, seen_positions]
    attended = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        cu_seq_lens_q,
        cu_seq_lens_k,
        max_length_q,
        max_length_k,
        scale=scaling,
        # torch counts the positions before the query's own; none after it may be seen.
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
        enable_gqa=True,
    )
    assert isinstance(attended, Tensor)
    return attended[None], None


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
    """Return causal attention of each segment over its prompt and itself, [1, T, heads, D].

    `query` is [1, heads, T, D]; `key` and `value` are the same with fewer heads or as many. `attention_mask` is None,
    because transformers makes no mask for an implementation that it does not know.

    Raises:
        BadInput: the model makes a mask of its own, or asks for more than this function gives.
    """
    knows_sequences = bool(segments) and attention_mask is None
    _refuse_others(module, others, knows_sequences=knows_sequences, lacks=_TORCH_LACKS)
    _refuse_lost_window(module, sliding_window)
    rules = AttentionRules(
        sliding_window=sliding_window,
        scaling=scaling,
        dropout=dropout,
        repeats_heads=query.device.type != "cpu",
    )
    return attend(query, key, value, segments=segments, rules=rules).transpose(1, 2).contiguous(), None


def _refuse_others(
    module: nn.Module, others: Mapping[str, object], *, knows_sequences: bool, lacks: Collection[str]
) -> None:
    """Refuse a model that does not pass on its sequence boundaries, or asks for an unsupported argument.

    Raises:
        BadInput: always in these cases.
    """
    is_causal = others.get("is_causal") is not False and getattr(module, "is_causal", True)
    if not knows_sequences or not is_causal or any(others.get(name) is not None for name in lacks):
        raise _refusal(module)


def _refuse_lost_window(module: nn.Module, sliding_window: object) -> None:
    """Refuse a model whose sliding window is only in its masks: packed rows have no masks.

    Raises:
        BadInput: always in this case.
    """
    config = getattr(module, "config", None)
    wants_window = getattr(config, "sliding_window", None) and not getattr(config, "layer_types", None)
    if wants_window and sliding_window is None:
        raise _refusal(module)


def _refusal(module: nn.Module) -> BadInput:
    return BadInput(
        f"policy.model: {type(module).__name__} asks for an attention that the learner's packed rows don't support; "
        'choose another model, or try learner.attention "sdpa"',
        key="policy.model",
    )


AttentionInterface.register(PACKED_SDPA, packed_sdpa)
AttentionInterface.register(VARLEN, varlen)

ROW_ATTENTIONS = {PACKED_SDPA: packed_sdpa, VARLEN: varlen, FLASH: varlen_flash}
"""Those that are told the segments of a row, by the name under which transformers calls them."""
