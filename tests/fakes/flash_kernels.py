"""Provide flash attention's kernels on a CPU, in plain torch: what they compute, as their documentation has it.

Two libraries have such a kernel: the package flash-attn, and torch behind `torch.nn.attention.varlen`. Both need a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sequence:
    """Hold the states of one sequence, and compute its causal attention by explicit softmax.

    The mask is aligned at the bottom right: the last query sees the last key.
    """

    query: Tensor  # [n, heads, D]
    key: Tensor  # [m, fewer heads, D]
    value: Tensor  # [m, fewer heads, D]
    scale: float
    left: int  # number of keys that a query sees before its own; -1: all of them

    @property
    def num_sharing(self) -> int:
        """Return how many query heads read one key head."""
        return self.query.shape[1] // self.key.shape[1]

    @property
    def weights(self) -> Tensor:
        """Return the softmax [heads, n, m]."""
        num_asking, num_seen = len(self.query), len(self.key)
        key = self.key.repeat_interleave(self.num_sharing, dim=1)
        scores = torch.einsum("ihd,jhd->hij", self.query, key) * self.scale
        distance = torch.arange(num_asking)[:, None] + num_seen - num_asking - torch.arange(num_seen)
        hidden = (distance < 0) | ((distance > self.left) & (self.left >= 0))
        return scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)

    def forward(self) -> Tensor:
        """Return [n, heads, D]."""
        return torch.einsum("hij,jhd->ihd", self.weights, self.value.repeat_interleave(self.num_sharing, dim=1))

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of query, key and value for that of the output, [n, heads, D]."""
        key, value = (states.repeat_interleave(self.num_sharing, dim=1) for states in (self.key, self.value))
        weights = self.weights
        of_weights = torch.einsum("ihd,jhd->hij", grad, value)
        of_scores = weights * (of_weights - (of_weights * weights).sum(dim=-1, keepdim=True)) * self.scale
        of_key = torch.einsum("hij,ihd->jhd", of_scores, self.query)
        of_value = torch.einsum("hij,ihd->jhd", weights, grad)
        shape = (len(self.key), self.key.shape[1], self.num_sharing, self.key.shape[2])
        return (
            torch.einsum("hij,jhd->ihd", of_scores, key),
            of_key.view(shape).sum(dim=2),
            of_value.view(shape).sum(dim=2),
        )


def varlen_kernel(  # noqa: PLR0913 - flash_attn_varlen_func's arguments
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float,
    causal: bool,
    window_size: tuple[int, int] = (-1, -1),
    dropout_p: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """Stand in for flash-attn's kernel."""
    assert causal and dropout_p == 0 and not deterministic
    lengths = _lengths(cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k)
    sequences = _sequences(query, key, value, lengths, scale=softmax_scale, left=window_size[0])
    return torch.cat([one.forward() for one in sequences])


@contextmanager
def torch_flash_on_cpu() -> Iterator[None]:
    """Give torch's two operators of flash attention, forward and backward, an implementation for CPUs for a while."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", _flash_forward, "CPU")
    library.impl("_flash_attention_backward", _flash_backward, "CPU")
    try:
        yield
    finally:
        library._destroy()


def _flash_forward(  # noqa: PLR0913 - the operator's arguments
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cum_seq_q: Tensor,
    cum_seq_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    return_debug_mask: bool,
    *,
    scale: float | None = None,
    window_size_left: int | None = None,
    window_size_right: int | None = None,
    **others: object,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    assert not return_debug_mask and not any(others.values())
    lengths = _lengths(cum_seq_q, cum_seq_k, max_q, max_k)
    left = _keys_before(dropout_p, is_causal, window_size_left, window_size_right)
    sequences = _sequences(query, key, value, lengths, scale=scale, left=left)
    nothing, lse = query.new_empty(0), query.new_empty(query.shape[1], query.shape[0], dtype=torch.float32)
    return torch.cat([one.forward() for one in sequences]), lse, nothing, nothing, nothing


def _flash_backward(  # noqa: PLR0913 - the operator's arguments
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    cum_seq_q: Tensor,
    cum_seq_k: Tensor,
    max_q: int,
    max_k: int,
    dropout_p: float,
    is_causal: bool,
    rng_state: Tensor,
    unused: Tensor,
    *,
    scale: float | None = None,
    window_size_left: int | None = None,
    window_size_right: int | None = None,
) -> tuple[Tensor, ...]:
    lengths = _lengths(cum_seq_q, cum_seq_k, max_q, max_k)
    left = _keys_before(dropout_p, is_causal, window_size_left, window_size_right)
    sequences = _sequences(query, key, value, lengths, scale=scale, left=left)
    grads = zip(sequences, grad_out.split(lengths[0]), strict=True)
    of_query, of_key, of_value = zip(*(one.backward(grad) for one, grad in grads), strict=True)
    return torch.cat(of_query), torch.cat(of_key), torch.cat(of_value)


def _keys_before(dropout_p: float, is_causal: bool, left: int | None, right: int | None) -> int:
    """Return how many keys a query sees before its own. None after it: that is `is_causal`, or a window's end at 0."""
    assert dropout_p == 0
    assert is_causal or right == 0
    return -1 if left is None else left


def _sequences(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[list[int], list[int]], *, scale: float | None, left: int
) -> list[Sequence]:
    """Cut query [T, heads, D], key and value [S, fewer heads, D] into their sequences."""
    assert query.shape[-1] % 8 == 0 and query.shape[-1] <= 256
    assert all(states.stride(-1) == 1 for states in (query, key, value))
    asking, seen = lengths
    scale_or_default = query.shape[-1] ** -0.5 if scale is None else scale
    parts = zip(query.split(asking), key.split(seen), value.split(seen), strict=True)
    return [Sequence(*states, scale=scale_or_default, left=left) for states in parts]


def _lengths(cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int) -> tuple[list[int], list[int]]:
    """Return the numbers of queries and keys of each sequence."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    asking, seen = cu_seq_q.diff().tolist(), cu_seq_k.diff().tolist()
    assert (type(max_q), max_q, max_k) == (int, max(asking), max(seen))
    return asking, seen
