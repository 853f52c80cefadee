"""Test every loss against an independent dense implementation: values and gradients to 1e-6."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actors.learning.policy_loss import LossSettings, TokenValues, policy_loss
from contracts.config.learning import CLIPS
from tests.models.dense_loss import dense_loss, gspo_sequence_loss
from tests.models.loss_rows import PPO, gradient, random_tokens

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)  # sequences of one token are among them
SPREADS = st.sampled_from([0.0, 1e-3, 0.3, 3.0])  # 3.0: ratios from e^-9 to e^9 and beyond
AGGREGATIONS = ("token", "sequence", "constant")
LOSSES: tuple[Literal["ppo_clip", "gspo", "cispo", "nll"], ...] = ("ppo_clip", "gspo", "cispo", "nll")


def weights_of(lengths: Sequence[int], *, aggregation: str, left_out: int | None) -> Tensor:
    """By the definitions: 1 / tokens, 1 / (sequences · length), 1 / (sequences · 32); `left_out` has none."""
    kept = [length for index, length in enumerate(lengths) if index != left_out]
    weights = []
    for index, length in enumerate(lengths):
        share = {"token": 1 / sum(kept), "sequence": 1 / (len(kept) * length), "constant": 1 / (len(kept) * 32)}
        weights += [0.0 if index == left_out else share[aggregation]] * length
    return torch.tensor(weights, dtype=torch.float64)


@st.composite
def all_settings(draw: st.DrawFn) -> LossSettings:
    loss = draw(st.sampled_from(LOSSES))
    clip_low, clip_high = draw(st.sampled_from([CLIPS.get(loss, (0.0, 0.0)), (0.2, 0.28), (0.1, 0.1)]))
    return LossSettings(
        loss=loss,
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=draw(st.sampled_from([0.0, 1.5, 3.0])) if loss == "ppo_clip" else 0.0,
        importance=draw(st.sampled_from(["truncate", "sequence_mask", "sequence_ratio", "off"])),
        importance_cap=draw(st.sampled_from([1.0001, 2.0])),
        importance_floor=draw(st.sampled_from([0.5, 0.9999])),
        kl_estimator=draw(st.sampled_from(["k2", "k3"])),
        kl_coefficient=draw(st.sampled_from([0.0, 0.01, 1.0])),
        entropy_coefficient=draw(st.sampled_from([0.0, 0.1])),
    )


def assert_same(tokens: TokenValues, loss: Tensor, expected: Tensor) -> None:
    """Compare loss and gradients, relative to the largest of each; fp64 noise is not a difference."""
    leaves = (tokens.logprobs, tokens.entropy)
    loss.backward()
    found = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    wanted = torch.autograd.grad(expected, leaves, allow_unused=True, materialize_grads=True)
    for one, other in zip((loss, *found), (expected, *wanted), strict=True):
        assert one.isfinite().all()
        assert (one - other).abs().max() <= 1e-6 * other.abs().max().clamp(min=1e-6)


@settings(max_examples=300, deadline=None)
@given(LENGTHS, SPREADS, all_settings(), st.sampled_from(AGGREGATIONS), st.booleans(), st.integers(0, 10**6))
def test_every_loss_is_that_of_the_dense_formula(
    lengths: list[int], spread: float, chosen: LossSettings, aggregation: str, leaves_one_out: bool, seed: int
) -> None:
    left_out = 0 if leaves_one_out and len(lengths) > 1 else None
    weights = weights_of(lengths, aggregation=aggregation, left_out=left_out)
    tokens = random_tokens(lengths, spread=spread, seed=seed, weights=weights)
    assert_same(tokens, policy_loss(tokens, chosen).loss, dense_loss(tokens, chosen))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_default_settings_agree_on_many_seeds(loss: str, aggregation: str) -> None:
    clip_low, clip_high = CLIPS.get(loss, (0.0, 0.0))
    chosen = replace(PPO, loss=loss, clip_low=clip_low, clip_high=clip_high, kl_coefficient=0.01)
    for seed in range(20):
        lengths = [1, 5, 2, 9, 1]
        weights = weights_of(lengths, aggregation=aggregation, left_out=None)
        tokens = random_tokens(lengths, spread=0.2, seed=seed, weights=weights)
        assert_same(tokens, policy_loss(tokens, chosen).loss, dense_loss(tokens, chosen))


@pytest.mark.parametrize("spread", [0.0, 2e-4, 0.5])
def test_with_one_advantage_a_sequence_gspo_is_the_sequence_level_formula(spread: float) -> None:
    chosen = replace(PPO, loss="gspo", clip_low=3e-4, clip_high=4e-4, importance="off")
    for seed in range(20):
        lengths = [3, 1, 8, 5]
        weights = weights_of(lengths, aggregation="sequence", left_out=None)
        drawn = random_tokens(lengths, spread=spread, seed=seed, weights=weights)
        tokens = replace(drawn, advantages=drawn.advantages[:4].repeat_interleave(torch.tensor(lengths)))
        assert_same(tokens, policy_loss(tokens, chosen).loss, gspo_sequence_loss(tokens, chosen))


def test_from_logits_on_the_gradient_is_that_of_finite_differences() -> None:
    """Through softmax and entropy, where the surrogate is smooth; no derivative is written down anywhere."""
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(6, 4, generator=random, dtype=torch.float64).requires_grad_()
    drawn = torch.randint(4, (6,), generator=random)
    row = random_tokens([4, 2], spread=0.05, seed=6)
    chosen = replace(PPO, kl_coefficient=0.3, entropy_coefficient=0.2)

    def loss(logits: Tensor) -> Tensor:
        log_softmax = logits.log_softmax(dim=-1)
        logprobs = log_softmax.gather(-1, drawn[:, None])[:, 0]
        entropy = -(log_softmax.exp() * log_softmax).sum(dim=-1)
        old = start + row.old_logprobs - row.logprobs.detach()
        tokens = replace(
            row,
            logprobs=logprobs,
            entropy=entropy,
            old_logprobs=old,
            sampling_logprobs=old,
            reference_logprobs=start - 0.4,
        )
        return policy_loss(tokens, chosen).loss

    start = logits.detach().log_softmax(dim=-1).gather(-1, drawn[:, None])[:, 0]
    loss(logits).backward()
    step = 1e-6
    for place in torch.cartesian_prod(torch.arange(6), torch.arange(4)).tolist():
        nudge = torch.zeros_like(logits)
        nudge[tuple(place)] = step
        slope = (loss(logits.detach() + nudge) - loss(logits.detach() - nudge)) / (2 * step)
        assert gradient(logits)[tuple(place)].item() == pytest.approx(slope.item(), abs=1e-7)
