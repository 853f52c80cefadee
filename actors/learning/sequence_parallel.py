"""Split each row over the ranks of a group, as Ulysses does (Jacobs et al. 2023, arXiv 2309.14509).

A rank runs the model on its slice of the row's tokens. Only attention needs the other slices: one all-to-all gives each
rank all tokens of some heads, and another one gives it back all heads of its own tokens. Results for single tokens are
joined before the loss, because a loss may compare the tokens of a sequence. The gradients of all ranks add up, as those
of different rows do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import pad
from transformers import AttentionInterface

from actors.learning.attention import ROW_ATTENTIONS
from actors.learning.rows import RowInputs
from contracts.batches import Segment

Result = TypeVar("Result", Tensor, tuple[Tensor, Tensor])


@dataclass(frozen=True)
class SequenceGroup:
    """Hold the ranks that split each row, and this rank's place among them."""

    ranks: dist.ProcessGroup
    rank: int
    size: int

    @classmethod
    def join(cls, size: int, *, timeout_s: float) -> "SequenceGroup":
        """Join neighbouring ranks to groups of `size`. All ranks of the learner call it.

        From now on attention over packed rows exchanges heads for tokens in this process.
        """
        ranks, _ = dist.new_subgroups(group_size=size, timeout=timedelta(seconds=timeout_s))
        assert isinstance(ranks, dist.ProcessGroup)
        group = cls(ranks, dist.get_rank(ranks), size)
        for name, attend in ROW_ATTENTIONS.items():
            AttentionInterface.register(name, _SplitAttention(attend, group))
        return group

    def split(self, forward: Callable[[RowInputs], Result]) -> Callable[[RowInputs], Result]:
        """Return `forward` for whole rows: each rank runs it on its slice, and gets the results for all tokens [N]."""

        def run(row: RowInputs) -> Result:
            mine, is_mine = self.slice_of(row)
            found = forward(mine)
            if isinstance(found, Tensor):
                return _Joined.apply(found[None], is_mine, self.ranks)[0]
            first, second = _Joined.apply(torch.stack(found), is_mine, self.ranks)
            return first, second  # pyright: ignore[reportReturnType] - a pair for a pair

        return run

    def slice_of(self, row: RowInputs) -> tuple[RowInputs, Tensor]:
        """Return this rank's slice of the row, and which of the row's N tokens it evaluates, [N].

        The row is padded until all slices have the same length. A token is evaluated where the token before it is.
        """
        num_padding = -row.token_ids.shape[1] % self.size
        length = (row.token_ids.shape[1] + num_padding) // self.size
        start = self.rank * length
        is_mine = row.sources.div(length, rounding_mode="floor") == self.rank
        return RowInputs(
            token_ids=pad(row.token_ids, (0, num_padding))[:, start : start + length],
            position_ids=pad(row.position_ids, (0, num_padding))[:, start : start + length],
            sources=row.sources[is_mine] - start,
            targets=row.targets[is_mine],
            segments=(*row.segments, Segment(num_padding)) if num_padding else row.segments,
        ), is_mine


class _SplitAttention:
    """Compute attention of a row that is split over ranks. It takes and returns what any attention of a layer does."""

    def __init__(self, attend: Callable[..., tuple[Tensor, None]], group: SequenceGroup) -> None:
        self._attend, self._group = attend, group
        self._exchanging = lru_cache(self._build)

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **arguments: Any,  # noqa: ANN401 - passed on as transformers gives them
    ) -> tuple[Tensor, None]:
        """Return [1, t, heads, D] of query [1, heads, t, D], key and value, which are those of the rank's t tokens."""
        exchanging = self._exchanging(query.shape[1], key.shape[1], query.shape[3])
        # DeepSpeed gathers these in every layer, for attentions that find sequences by them. Ours is told the segments.
        arguments["position_ids"] = query.new_zeros(1, 1)
        attended, _ = exchanging(module, query, key, value, attention_mask, **arguments)
        return attended.view(1, query.shape[2], query.shape[1], -1), None

    def _build(self, num_heads: int, num_key_heads: int, width: int) -> UlyssesSPAttentionHF:
        return UlyssesSPAttentionHF(
            self._attend,
            batch_size=1,
            attn_head_count=num_heads,
            attn_head_size=width,
            kv_head_count=num_key_heads,
            num_hidden_layers=1,  # read by a debugging mode only
            process_group=self._group.ranks,  # pyright: ignore[reportArgumentType] - it wants torch's own
            seq_length_is_variable=True,
        )


class _Joined(torch.autograd.Function):
    """Join values of a group's tokens; each rank then computes the whole loss, and keeps its own tokens' gradient."""

    @staticmethod
    def forward(ctx: FunctionCtx, mine: Tensor, is_mine: Tensor, ranks: dist.ProcessGroup) -> Tensor:
        """Return [k, N] of `mine` [k, tokens of this rank]; `is_mine` [N] says which those are."""
        ctx.save_for_backward(is_mine)
        joined = mine.new_zeros(mine.shape[0], is_mine.shape[0])
        joined[:, is_mine] = mine
        dist.all_reduce(joined, group=ranks)
        return joined

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of `mine`."""
        (is_mine,) = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        return grads[0][:, is_mine], None, None
