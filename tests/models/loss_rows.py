"""Make rows of response tokens for tests of the losses, from given ratios or at random."""

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from actors.learning.policy_loss import LossSettings, TokenValues

PPO = LossSettings(
    loss="ppo_clip",
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=0.0,
    importance="truncate",
    importance_cap=2.0,
    importance_floor=0.5,
    kl_estimator="k3",
    kl_coefficient=0.0,
    entropy_coefficient=0.0,
)


def tokens_with(
    *,
    ratios: Sequence[float],
    advantages: Sequence[float],
    engine_ratios: Sequence[float] = (),
    weights: Sequence[float] = (),
    sequences: Sequence[int] = (),
    reference_ratios: Sequence[float] = (),
) -> TokenValues:
    """Return tokens, fp64 leaves, whose old probability is 1/e.

    `ratios` are now/old, `engine_ratios` old/engine, `reference_ratios` now/reference. By default there is no gap to
    the engine, the weights are 1, there is one sequence and no reference.
    """
    num_tokens = len(ratios)
    old = torch.full((num_tokens,), -1.0, dtype=torch.float64)
    logprobs = old + _fp64(ratios).log()
    reference = logprobs - _fp64(reference_ratios).log() if reference_ratios else torch.zeros(0, dtype=torch.float64)
    return TokenValues(
        logprobs=logprobs.requires_grad_(),
        entropy=torch.full_like(old, 3.0).requires_grad_(),
        old_logprobs=old,
        sampling_logprobs=old - _fp64(engine_ratios or [1.0] * num_tokens).log(),
        reference_logprobs=reference,
        advantages=_fp64(advantages),
        weights=_fp64(weights or [1.0] * num_tokens),
        sequences=torch.tensor(sequences or [0] * num_tokens, dtype=torch.int64),
    )


def random_tokens(lengths: Sequence[int], *, spread: float, seed: int, weights: Tensor | None = None) -> TokenValues:
    """Return sequences of these lengths, fp64; log-ratios to old policy, engine and reference deviate by `spread`."""
    random = torch.Generator().manual_seed(seed)
    num_tokens = sum(lengths)

    def normal(scale: float) -> Tensor:
        return torch.randn(num_tokens, generator=random, dtype=torch.float64) * scale

    logprobs = -torch.rand(num_tokens, generator=random, dtype=torch.float64) * 5
    old = logprobs + normal(spread)
    return TokenValues(
        logprobs=logprobs.requires_grad_(),
        entropy=normal(1.0).abs().requires_grad_(),
        old_logprobs=old,
        sampling_logprobs=old + normal(spread / 2),
        reference_logprobs=logprobs.detach() + normal(spread),
        advantages=normal(2.0),
        weights=torch.ones_like(old) if weights is None else weights,
        sequences=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
    )


def slice_of(tokens: TokenValues, place: slice) -> TokenValues:
    """Return the tokens at `place` as a row of their own; gradients go back to the leaves of the whole row."""
    has_reference = tokens.reference_logprobs.numel() > 0
    cut = {
        field.name: getattr(tokens, field.name)[place]
        for field in fields(tokens)
        if field.name != "reference_logprobs" or has_reference
    }
    return replace(tokens, **cut)


def gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def _fp64(numbers: Sequence[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
