"""Causal attention of a packed row, segment by segment: each sees the prompt that it goes on from, and itself.

Owns how a row is cut and which of torch's ways computes a segment's attention. Knows torch and the schema's segments;
must not know transformers or models.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from contracts.batches import Segment

_MAX_WRITTEN_OUT = 2**19
"""Scores of a segment, over all heads: 240 tokens of 9 heads. A backward pass keeps them, 1 MiB a segment and layer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionRules:
    """The same for all segments of a row."""

    sliding_window: int | None  # positions that one sees, itself included
    scaling: float | None  # of a score; None: 1 / sqrt(D)
    dropout: float


class _Cut(NamedTuple):
    """A segment's part of the states, [1, heads, tokens, D]."""

    prompt: Tensor | None  # that it goes on from
    own: Tensor

    @property
    def together(self) -> Tensor:
        return self.own if self.prompt is None else torch.cat([self.prompt, self.own], dim=2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, segments: tuple[Segment, ...], rules: AttentionRules
) -> Tensor:
    """query [1, heads, T, D], key and value [1, heads or fewer, T, D], T the length of all segments; as query."""
    queries, keys, values = (_cuts(states, segments) for states in (query, key, value))
    outputs = [_attend_one(*parts, rules) for parts in zip(segments, queries, keys, values, strict=True)]
    return torch.cat(outputs, dim=2)


def _cuts(states: Tensor, segments: tuple[Segment, ...]) -> list[_Cut]:
    """By one split: the gradients of slices of a whole row would each be as long as the row."""
    own = states.split([segment.length for segment in segments], dim=2)
    whole = dict(zip(accumulate((segment.length for segment in segments), initial=0), own, strict=False))
    prompts: dict[tuple[int, int], Tensor | None] = {(0, 0): None}
    for _, start, length in segments:
        if (start, length) not in prompts:
            prompts[start, length] = whole[start][:, :, :length]
    return [_Cut(prompts[segment[1:]], part) for segment, part in zip(segments, own, strict=True)]


def _attend_one(segment: Segment, query: _Cut, key: _Cut, value: _Cut, rules: AttentionRules) -> Tensor:
    """[1, heads, n, D] of a segment's n tokens.

    A kernel with a mask costs as much as if nothing were masked. So where causality is all that a mask would say, and
    the prompt is the shorter part, the prompt's queries are asked once more: that makes a plain square of both.
    """
    keys, values = key.together, value.together
    num_seen = keys.shape[2]
    window = min(rules.sliding_window or num_seen, num_seen)
    if _is_better_written_out(query.own, num_seen) and not rules.dropout:
        return _written_out(query.own, keys, values, hidden=~_seen(segment, window, keys.device), scaling=rules.scaling)
    is_square = segment.prompt_length <= segment.length and window == num_seen
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
    """[n, prompt + n] whether a position sees another: itself, and what the window leaves of those before it."""
    all_pairs = torch.ones(segment.length, segment.prompt_length + segment.length, dtype=torch.bool, device=device)
    return all_pairs.tril(segment.prompt_length).triu(segment.prompt_length + 1 - window)


def _is_better_written_out(query: Tensor, num_seen: int) -> bool:
    """On a CPU torch's kernel for half precision takes seven times as long backward as forward."""
    num_scores = query.shape[1] * query.shape[2] * num_seen
    is_half = query.dtype in (torch.bfloat16, torch.float16)
    return query.device.type == "cpu" and is_half and num_scores <= _MAX_WRITTEN_OUT


def _written_out(query: Tensor, key: Tensor, value: Tensor, *, hidden: Tensor, scaling: float | None) -> Tensor:
    """softmax(query key^T scaling) value; the query heads that share a key's are one matrix."""
    _, num_heads, num_asking, width = query.shape
    num_keys, num_seen = key.shape[1:3]
    folded = (query[0] * (width**-0.5 if scaling is None else scaling)).reshape(num_keys, -1, width)
    scores = torch.bmm(folded, key[0].mT).view(num_heads, num_asking, num_seen)
    weights = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)
    return torch.bmm(weights.view(num_keys, -1, num_seen), value[0]).view(1, num_heads, num_asking, -1)
