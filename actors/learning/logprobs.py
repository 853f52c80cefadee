"""Log-probabilities of given tokens, from hidden states and the head's weight, without a whole [tokens, vocabulary].

Owns the head's arithmetic, forward and backward, and the one shift of positions. Knows torch only; must not know
ZeRO-3, the loss or where the tokens came from. Logits exist for `chunk_tokens` positions at a time: they are made in
the weight's dtype, as the sampling engine makes them, become fp32 at once, and are made again in the backward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSettings:
    """How logits become log-probabilities."""

    temperature: float  # the one that the tokens were drawn at
    chunk_tokens: int  # positions whose logits exist at once
    vocab_size: int | None = None  # rows of the head from here on are padding and never drawn; None: every row counts

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.chunk_tokens < 1:
            raise ValueError(
                f"temperature must be above 0 and chunk_tokens at least 1, got {self.temperature} and "
                f"{self.chunk_tokens}"
            )


def token_logprobs(hidden: Tensor, weight: Tensor, *, targets: Tensor, settings: HeadSettings) -> tuple[Tensor, Tensor]:
    """log softmax(hidden @ weight.T / temperature)[targets], and the entropy of each distribution.

    hidden [N, H], weight [V, H], targets [N]; both results are fp32 [N]. The entropy carries no gradient. N = 0 gives
    empty results that still lead back to `hidden` and `weight`, so that a row without loss runs the same backward pass.
    """
    logprobs, entropy = _ChunkedLogprobs.apply(hidden, weight, targets, settings)
    return logprobs, entropy


class TokenLogprobs(nn.Module):
    """The head as a module of its own: whoever shards its weight can gather it before each pass, as for any module."""

    def __init__(self, weight: nn.Parameter, settings: HeadSettings) -> None:
        super().__init__()
        self.weight = weight  # [V, H]; may be the input embedding's
        self._settings = settings

    def forward(self, hidden: Tensor, token_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of the tokens at `positions` [N] of one row: hidden [T, H], token_ids [T]. Token t is predicted at t - 1."""
        return token_logprobs(hidden[positions - 1], self.weight, targets=token_ids[positions], settings=self._settings)


def _drawable(weight: Tensor, settings: HeadSettings) -> Tensor:
    """The rows of the head that stand for tokens: padding rows get no probability, and so no gradient."""
    return weight if settings.vocab_size is None else weight[: settings.vocab_size]


def _chunk_logprobs(hidden: Tensor, rows: Tensor, settings: HeadSettings) -> Tensor:
    """fp32 [n, V]: of every token at each position."""
    logits = (hidden @ rows.T).float()
    if settings.temperature != 1.0:
        logits /= settings.temperature
    return logits.log_softmax(dim=-1)


class _ChunkedLogprobs(torch.autograd.Function):
    """The weight is saved as the parameter itself, not as a view: a sharded one has other storage in the backward."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, hidden: Tensor, weight: Tensor, targets: Tensor, settings: HeadSettings
    ) -> tuple[Tensor, Tensor]:
        num_tokens = targets.numel()
        rows = _drawable(weight, settings)
        chosen = torch.empty(num_tokens, dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(chosen)
        for start in range(0, num_tokens, settings.chunk_tokens):
            chunk = slice(start, start + settings.chunk_tokens)
            logprobs = _chunk_logprobs(hidden[chunk], rows, settings)
            chosen[chunk] = logprobs.gather(-1, targets[chunk, None])[:, 0]
            # -sum p·log p, as a product of matrices: no further [n, V] is made for the sum.
            entropy[chunk] = -torch.bmm(logprobs.exp()[:, None, :], logprobs[:, :, None])[:, 0, 0]
        ctx.save_for_backward(hidden, weight, targets)
        ctx.settings = settings  # pyright: ignore[reportAttributeAccessIssue]
        ctx.mark_non_differentiable(entropy)
        return chosen, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """d log p[y] / d logit = (one-hot(y) - p) / temperature, chunk by chunk.

        Each token's own factor is multiplied into [n, H], not into [n, V]: cheaper, and one-hot - p is then rounded to
        the weight's dtype before it is scaled.
        """
        hidden, weight, targets = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        settings: HeadSettings = ctx.settings  # pyright: ignore[reportAttributeAccessIssue]
        factors = grads[0][:, None] / settings.temperature
        rows = _drawable(weight, settings)
        scaled_hidden = (hidden * factors).to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight)
        grad_rows = _drawable(grad_weight, settings)
        for start in range(0, targets.numel(), settings.chunk_tokens):
            chunk = slice(start, start + settings.chunk_tokens)
            surprise = _chunk_logprobs(hidden[chunk], rows, settings).exp_().neg_()
            surprise.scatter_add_(-1, targets[chunk, None], torch.ones_like(surprise[:, :1]))
            surprise = surprise.to(weight.dtype)
            grad_hidden[chunk] = (surprise @ rows) * factors[chunk]
            grad_rows.addmm_(surprise.T, scaled_hidden[chunk])
        return grad_hidden, grad_weight, None, None
