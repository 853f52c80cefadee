"""Compute causal attention of a packed row, segment by segment: each sees the prompt that it continues, and itself.

For each segment this module chooses one of torch's ways to compute it. Must not import transformers.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from contracts.batches import Segment

_MAX_WRITTEN_OUT = 2**19
"""Most scores of a segment over all heads, about 240 tokens with 9 heads. A backward pass keeps them: 1 MiB a segment
and layer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionRules:
    """Hold the settings of attention, which are the same for all segments of a row."""

    sliding_window: int | None  # number of positions that one sees, itself included; None: all
    scaling: float | None  # factor of a score; None: 1 / sqrt(D)
    dropout: float
    repeats_heads: bool
    """Whether a key head that several query heads read is given to torch once for each of them.

    On a GPU the memory-efficient kernel needs that. Only flash does without, and it takes no mask. Without either
    kernel, torch stores all scores of a segment in fp32.
    """


class _Cut(NamedTuple):
    """Hold the states that belong to one segment, [1, heads, tokens, D] each."""

    prompt: Tensor | None  # of the prompt that the segment continues
    own: Tensor  # of the segment's own tokens

    @property
    def together(self) -> Tensor:
        """Return the states of prompt and segment, one after the other, [1, heads, prompt + n, D]."""
        return self.own if self.prompt is None else torch.cat([self.prompt, self.own], dim=2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, segments: tuple[Segment, ...], rules: AttentionRules
) -> Tensor:
    """Return the attention output [1, heads, T, D]; T is the length of all segments together.

    `query` is [1, heads, T, D]; `key` and `value` are [1, K, T, D] with K <= heads, a divisor of heads.
    """
    queries, keys, values = (_cuts(states, segments) for states in (query, key, value))
    outputs = [_attend_one(*cuts, rules) for cuts in zip(segments, queries, keys, values, strict=True)]
    return torch.cat(outputs, dim=2)


def _cuts(states: Tensor, segments: tuple[Segment, ...]) -> list[_Cut]:
    """Cut states [1, heads, T, D] into segments by one split: gradients of slices would each be as long as the row."""
    own = states.split([segment.length for segment in segments], dim=2)
    whole = dict(zip(accumulate((segment.length for segment in segments), initial=0), own, strict=False))
    prompts: dict[tuple[int, int], Tensor | None] = {(0, 0): None}
    for _, start, length in segments:
        if (start, length) not in prompts:
            prompts[start, length] = whole[start][:, :, :length]
    return [_Cut(prompts[segment[1:]], states) for segment, states in zip(segments, own, strict=True)]


def _attend_one(segment: Segment, query: _Cut, key: _Cut, value: _Cut, rules: AttentionRules) -> Tensor:
    """Return the attention output [1, heads, n, D] of a segment's n tokens.

    A kernel with a mask costs as much as if nothing were masked. So if a mask would only say what is causal, and the
    prompt is not longer than the segment, the prompt's queries are computed once more: this gives a plain causal square
    of both.
    """
    keys, values = key.together, value.together
    num_seen = keys.shape[2]
    window = min(rules.sliding_window or num_seen, num_seen)
    if _is_better_written_out(query.own, num_seen) and not rules.dropout:
        return _written_out(query.own, keys, values, hidden=~_seen(segment, window, keys.device), scaling=rules.scaling)
    is_square = segment.prompt_length <= segment.length and window == num_seen
    if rules.repeats_heads:
        num_sharing = query.own.shape[1] // keys.shape[1]
        keys, values = (states.repeat_interleave(num_sharing, dim=1) for states in (keys, values))
    return scaled_dot_product_attention(
        query.together if is_square else query.own,
        keys,
        values,
        attn_mask=None if is_square else _seen(segment, window, keys.device),
        is_causal=is_square,
        scale=rules.scaling,
        dropout_p=rules.dropout,
        enable_gqa=keys.shape[1] != query.own.shape[1],
    )[:, :, -segment.length :]


def _seen(segment: Segment, window: int, device: torch.device) -> Tensor:
    """Return a mask [n, prompt + n]: each position sees itself, and those before it that are in the window."""
    all_pairs = torch.ones(segment.length, segment.prompt_length + segment.length, dtype=torch.bool, device=device)
    return all_pairs.tril(segment.prompt_length).triu(segment.prompt_length + 1 - window)


def _is_better_written_out(query: Tensor, num_seen: int) -> bool:
    """Return whether to compute attention of `query` [1, heads, n, D] without torch's kernel.

    On a CPU, torch's kernel for half precision takes seven times as long in the backward pass as in the forward pass.
    """
    num_scores = query.shape[1] * query.shape[2] * num_seen
    is_half = query.dtype in (torch.bfloat16, torch.float16)
    return query.device.type == "cpu" and is_half and num_scores <= _MAX_WRITTEN_OUT


def _written_out(query: Tensor, key: Tensor, value: Tensor, *, hidden: Tensor, scaling: float | None) -> Tensor:
    """Return softmax(query key^T scaling) value, [1, heads, n, D]; query heads that share a key head are one matrix."""
    _, num_heads, num_asking, width = query.shape
    num_keys, num_seen = key.shape[1:3]
    folded = (query[0] * (width**-0.5 if scaling is None else scaling)).reshape(num_keys, -1, width)
    scores = torch.bmm(folded, key[0].mT).view(num_heads, num_asking, num_seen)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)
    return torch.bmm(weights.view(num_keys, -1, num_seen), value[0]).view(1, num_heads, num_asking, -1)
