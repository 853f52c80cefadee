"""Compute log-probabilities of given tokens from hidden states and the head, without a whole [tokens, vocabulary].

Forward and backward pass of the output head. Logits exist for one tile at a time: at most `chunk_tokens` positions of a
slice of the vocabulary. They are computed in the weight's dtype, as the sampling engine does, converted to fp32 at
once, and computed again in the backward pass. Sums over tiles are in fp32. Must not import DeepSpeed or transformers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

_TILE_ELEMENTS = {"cpu": 2**19, "cuda": 2**24}
"""Elements of a tile: it fits into a core's cache (2 MiB of fp32), or is large enough to keep a GPU busy (64 MiB)."""

_LEAST_BLOCKS = 4
"""Fewest blocks of the vocabulary: a tile [n, B] and its copies are then smaller than `chunk_tokens` rows of logits.

In the backward pass the fp32 gradient of a block's weights, [B, H], is added; it is the larger one if H is above n.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSettings:
    """Hold the settings of the output head.

    Raises:
        ValueError: the temperature is not above 0, or chunk_tokens is below 1.
    """

    temperature: float  # at which the tokens were drawn
    chunk_tokens: int  # positions whose logits exist at once; memory stays below chunk_tokens x vocabulary x 4 bytes
    vocab_size: int | None = None  # rows of the head from this index on are padding, never drawn; None: no padding
    entropy_gradient: bool = False  # whether the entropy is part of a loss

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.chunk_tokens < 1:
            raise ValueError(
                f"temperature must be above 0 and chunk_tokens at least 1, got {self.temperature} and "
                f"{self.chunk_tokens}"
            )


def token_logprobs(hidden: Tensor, weight: Tensor, *, targets: Tensor, settings: HeadSettings) -> tuple[Tensor, Tensor]:
    """Return log softmax(hidden @ weight.T / temperature)[targets] [N], and the entropy of each distribution [N].

    `hidden` is [N, H], `weight` [V, H], `targets` [N]. Both results are fp32 (fp64 from fp64), and the log-probability
    of a padding row is NaN. The entropy carries a gradient if `entropy_gradient` is set. With N = 0 the empty results
    still have a gradient graph to `hidden` and `weight`, so that a row without loss runs the same backward pass.
    """
    logprobs, entropy = _TiledLogprobs.apply(hidden, weight, targets, settings)
    return logprobs, entropy


class TokenLogprobs(nn.Module):
    """Hold the head's weight as a module, so that ZeRO-3 gathers it before each pass, as for any module."""

    def __init__(self, weight: nn.Parameter, settings: HeadSettings) -> None:
        super().__init__()
        self.weight = weight  # [V, H]; may be the input embedding's
        self._settings = settings

    def forward(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [N] and entropies [N] of `targets` [N]. `hidden` [N, H] is of the tokens before."""
        return token_logprobs(hidden, self.weight, targets=targets, settings=self._settings)


class _TiledLogprobs(torch.autograd.Function):
    """Compute the tiles, forward and backward.

    The weight is saved as the parameter itself, not as a view: a sharded one has other storage in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, weight: Tensor, targets: Tensor, settings: HeadSettings
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [N] and entropies [N] of hidden [N, H], weight [V, H] and targets [N]."""
        chosen, log_sum, entropy = _forward(_Head(hidden, weight, targets, settings))
        ctx.save_for_backward(hidden, weight, targets, log_sum, entropy)
        ctx.settings = settings  # pyright: ignore[reportAttributeAccessIssue]
        if not settings.entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return chosen - log_sum, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of hidden [N, H] and weight [V, H]; `grads` are [N] each."""
        hidden, weight, targets, log_sum, entropy = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        settings: HeadSettings = ctx.settings  # pyright: ignore[reportAttributeAccessIssue]
        for_hidden, for_weight, *_ = ctx.needs_input_grad  # pyright: ignore[reportAttributeAccessIssue]
        head = _Head(hidden, weight, targets, settings)
        gradients = _Gradients(
            log_sum=log_sum,
            entropy=entropy,
            grad_logprob=grads[0] / settings.temperature,
            grad_entropy=grads[1] / settings.temperature if settings.entropy_gradient else None,
        )
        return *_backward(head, gradients, for_hidden=for_hidden, for_weight=for_weight), None, None


class _Head:
    """Hold the operands of a pass, cut into tiles: slices of the positions x slices of the vocabulary."""

    def __init__(self, hidden: Tensor, weight: Tensor, targets: Tensor, settings: HeadSettings) -> None:
        """Cut hidden [N, H], weight [V, H] and targets [N] into tiles."""
        self.hidden, self.weight, self.targets = hidden, weight, targets
        self.dtype = torch.promote_types(hidden.dtype, torch.float32)
        self._temperature = settings.temperature
        # Padding rows of the head are in no block: they get no probability and so no gradient.
        num_rows = min(weight.shape[0], settings.vocab_size or weight.shape[0])
        height = max(1, min(settings.chunk_tokens, targets.numel()))
        tile_elements = _TILE_ELEMENTS["cpu" if hidden.device.type == "cpu" else "cuda"]
        width = max(1, min(-(-num_rows // _LEAST_BLOCKS), tile_elements // height))
        self.chunks = [slice(start, start + height) for start in range(0, targets.numel(), height)]
        self.blocks = [slice(start, min(start + width, num_rows)) for start in range(0, num_rows, width)]

    def logits(self, chunk: slice, block: slice) -> Tensor:
        """Return the logits of a tile, [n, B], at the sampling temperature."""
        logits = (self.hidden[chunk] @ self.weight[block].T).to(self.dtype)
        return logits if self._temperature == 1.0 else logits.div_(self._temperature)

    def columns(self, chunk: slice, block: slice) -> tuple[Tensor, Tensor]:
        """Return the targets' columns in the tile [n, 1], and which targets are in it [n]: other columns are wrong."""
        columns = self.targets[chunk] - block.start
        is_inside = (columns >= 0) & (columns < block.stop - block.start)
        return columns.clamp_(0, block.stop - block.start - 1)[:, None], is_inside


class _Gradients(NamedTuple):
    """Hold the backward pass's inputs for each position, [N] each."""

    log_sum: Tensor  # of exp(logit) over the vocabulary
    entropy: Tensor
    grad_logprob: Tensor  # of the loss, over the temperature
    grad_entropy: Tensor | None  # likewise; None: the entropy has no gradient


def _forward(head: _Head) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each position [N] the target's logit, log sum exp(logit), and the entropy."""
    # A target in no block, which no engine can draw, stays NaN: the loss is then refused instead of wrong.
    chosen = torch.full(head.targets.shape, torch.nan, dtype=head.dtype, device=head.hidden.device)
    log_sum, entropy = torch.full_like(chosen, -torch.inf), torch.zeros_like(chosen)
    for chunk in head.chunks:
        for block in head.blocks:
            logits = head.logits(chunk, block)
            columns, is_inside = head.columns(chunk, block)
            chosen[chunk] = logits.gather(-1, columns)[:, 0].where(is_inside, chosen[chunk])
            _merge(log_sum[chunk], entropy[chunk], logits)
    return chosen, log_sum, entropy


def _merge(log_sum: Tensor, entropy: Tensor, logits: Tensor) -> None:
    """Merge the logits [n, B] of one more block into log-sum-exp [n] and entropy [n], in place. Overwrites `logits`.

    Let each block of the vocabulary have the share w of all probability, and its own distribution the entropy H. Then
    H(whole) = sum over blocks of w H - w log w (the chain rule of entropy).
    """
    highest = logits.amax(dim=-1)
    logits -= highest[:, None]
    weights = logits.exp()
    total = weights.sum(dim=-1)
    # As a matrix product, so that no further [n, B] is allocated for the sum.
    block_entropy = total.log() - torch.bmm(weights[:, None, :], logits[:, :, None])[:, 0, 0] / total
    block_sum = total.log() + highest
    whole = torch.logaddexp(log_sum, block_sum)
    share, block_share = (log_sum - whole).exp(), (block_sum - whole).exp()
    entropy.mul_(share).addcmul_(block_share, block_entropy)
    entropy += torch.special.entr(share) + torch.special.entr(block_share)
    log_sum.copy_(whole)


def _backward(
    head: _Head, gradients: _Gradients, *, for_hidden: bool, for_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of hidden [N, H] and weight [V, H], in their dtypes; each block is rounded once."""
    grad_hidden = torch.zeros(head.hidden.shape, dtype=head.dtype, device=head.hidden.device) if for_hidden else None
    grad_weight = torch.zeros_like(head.weight) if for_weight else None
    for block in head.blocks:
        rows = head.weight[block]
        grad_rows = torch.zeros(rows.shape, dtype=head.dtype, device=rows.device) if for_weight else None
        for chunk in head.chunks:
            grad_logits = _grad_logits(head, gradients, chunk, block).to(rows.dtype)
            if grad_hidden is not None:
                grad_hidden[chunk] += grad_logits @ rows
            if grad_rows is not None:
                grad_rows += grad_logits.T @ head.hidden[chunk]
        if grad_weight is not None and grad_rows is not None:
            grad_weight[block] = grad_rows
    return None if grad_hidden is None else grad_hidden.to(head.hidden.dtype), grad_weight


def _grad_logits(head: _Head, gradients: _Gradients, chunk: slice, block: slice) -> Tensor:
    """Return the gradient [n, B] of a tile's logits before the temperature.

    d log p[y] / dz = one-hot(y) - p, dH / dz = -p (log p + H), and z = logit / temperature.
    """
    grad = gradients.grad_logprob[chunk, None]
    logprobs = head.logits(chunk, block).sub_(gradients.log_sum[chunk, None])
    if gradients.grad_entropy is None:
        grad_logits = logprobs.exp_().mul_(-grad)
    else:
        probabilities = logprobs.exp()
        of_entropy = logprobs.add_(gradients.entropy[chunk, None]).mul_(gradients.grad_entropy[chunk, None])
        grad_logits = of_entropy.add_(grad).mul_(probabilities).neg_()
    columns, is_inside = head.columns(chunk, block)
    return grad_logits.scatter_add_(-1, columns, grad.where(is_inside[:, None], 0))
