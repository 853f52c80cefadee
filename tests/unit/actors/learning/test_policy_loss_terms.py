"""Test the other terms of the loss: importance weights, mismatch, KL, entropy, weights, totals, empty rows."""

import math
from dataclasses import replace

import pytest
import torch

from actors.learning.policy_loss import policy_loss
from actors.learning.totals import TokenTotals
from tests.models.loss_rows import PPO, gradient, random_tokens, slice_of, tokens_with


def test_the_importance_weight_is_truncated_and_carries_no_gradient() -> None:
    tokens = tokens_with(ratios=[1.0] * 3, advantages=[1.0] * 3, engine_ratios=[0.5, 1.5, 8.0])
    result = policy_loss(tokens, PPO)
    result.loss.backward()
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-0.5, -1.5, -2.0])  # 8 is cut to the cap of 2
    metrics = result.totals.per_token(3)
    assert metrics["policy/importance_ratio_mean"] == pytest.approx(10 / 3)  # before the cut
    assert metrics["policy/importance_ratio_max"] == pytest.approx(8.0)
    assert metrics["policy/importance_capped_fraction"] == pytest.approx(1 / 3)
    assert "policy/importance_masked_fraction" not in metrics


def test_a_sequence_is_masked_by_its_geometric_mean_and_stays_in_the_denominator() -> None:
    # Geometric means: sqrt(8 · 0.5) = 2, at the cap, stays; sqrt(9 · 0.5) = 2.12 goes; 0.4 goes; 1 stays.
    tokens = tokens_with(
        ratios=[1.0] * 6,
        advantages=[1.0] * 6,
        engine_ratios=[8.0, 0.5, 9.0, 0.5, 0.4, 1.0],
        sequences=[0, 0, 1, 1, 2, 3],
        weights=[1 / 6] * 6,
    )
    result = policy_loss(tokens, replace(PPO, importance="sequence_mask", importance_cap=2.0 + 1e-9))
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-3 / 6)  # three tokens are left, and 1/6 each is still their weight
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-1 / 6, -1 / 6, 0, 0, 0, -1 / 6])
    metrics = result.totals.per_token(6)
    assert metrics["policy/importance_masked_fraction"] == pytest.approx(3 / 6)
    assert "policy/importance_capped_fraction" not in metrics


def test_a_sequence_ratio_is_the_product_of_its_tokens_and_nothing_outside_the_bounds() -> None:
    # Products: 2 · 1.5 = 3 at the cap; 2 · 1.6 = 3.2 above it; 0.1 · 0.5 = 0.05, with no lower bound.
    tokens = tokens_with(
        ratios=[1.0] * 6,
        advantages=[1.0] * 6,
        engine_ratios=[2.0, 1.5, 2.0, 1.6, 0.1, 0.5],
        sequences=[0, 0, 1, 1, 2, 2],
    )
    bounds = {"importance_floor": 0.0, "importance_cap": 3.0 + 1e-9}
    result = policy_loss(tokens, replace(PPO, importance="sequence_ratio", **bounds))
    result.loss.backward()
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-3.0, -3.0, 0, 0, -0.05, -0.05])
    assert result.totals.per_token(6)["policy/importance_masked_fraction"] == pytest.approx(2 / 6)


def test_without_correction_the_mismatch_is_measured_all_the_same() -> None:
    tokens = tokens_with(ratios=[1.0, 1.0], advantages=[1.0, 1.0], engine_ratios=[math.e, 1.0])
    result = policy_loss(tokens, replace(PPO, importance="off"))
    assert result.loss.item() == pytest.approx(-2.0)
    metrics = result.totals.per_token(2)
    assert metrics["policy/logprob_diff_mean"] == pytest.approx(0.5)
    assert metrics["policy/logprob_diff_max"] == pytest.approx(1.0)
    assert metrics["policy/mismatch_kl"] == pytest.approx((math.e - 1 - 1) / 2)  # k3: u - 1 - log u
    assert metrics["policy/importance_ratio_mean"] == pytest.approx((math.e + 1) / 2)
    assert not {"policy/importance_capped_fraction", "policy/importance_masked_fraction"} & set(metrics)


def test_the_kl_is_charged_by_its_weight_and_by_neither_advantage_nor_importance() -> None:
    # Half as likely as under the reference: k3 = 2 - 1 - log 2, its slope 1 - 2. No advantage, so nothing else counts.
    tokens = tokens_with(ratios=[1.0], advantages=[0.0], engine_ratios=[4.0], reference_ratios=[0.5], weights=[0.25])
    result = policy_loss(tokens, replace(PPO, kl_coefficient=0.1))
    result.loss.backward()
    expected = 0.25 * 0.1 * (1 - math.log(2))
    assert result.loss.item() == pytest.approx(expected)
    assert gradient(tokens.logprobs).item() == pytest.approx(0.25 * 0.1 * -1)
    metrics = result.totals.per_token(1000)
    assert metrics["policy/kl_loss"] == pytest.approx(expected)  # a weighted sum: divided by nothing
    assert metrics["policy/loss"] == pytest.approx(expected)
    assert metrics["policy/reference_kl"] == pytest.approx((1 - math.log(2)) / 1000)


def test_a_reference_without_a_charge_is_only_measured() -> None:
    tokens = tokens_with(ratios=[1.0], advantages=[1.0], reference_ratios=[0.5])
    result = policy_loss(tokens, PPO)
    assert result.loss.item() == pytest.approx(-1.0)
    metrics = result.totals.per_token(1)
    assert metrics["policy/reference_kl"] == pytest.approx(1 - math.log(2))
    assert "policy/kl_loss" not in metrics


def test_a_kl_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError):
        policy_loss(tokens_with(ratios=[1.0], advantages=[1.0]), replace(PPO, kl_coefficient=0.1))


def test_the_entropy_bonus_lowers_the_loss() -> None:
    tokens = tokens_with(ratios=[1.0, 1.0], advantages=[0.0, 0.0], engine_ratios=[9.0, 1.0], weights=[0.5, 0.25])
    result = policy_loss(tokens, replace(PPO, entropy_coefficient=0.1))
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-0.1 * 3 * (0.5 + 0.25))
    assert gradient(tokens.entropy).tolist() == pytest.approx([-0.05, -0.025])
    assert result.totals.per_token(2)["policy/entropy"] == pytest.approx(3.0)


def test_without_a_bonus_the_entropy_is_only_measured() -> None:
    tokens = tokens_with(ratios=[1.0], advantages=[1.0])
    result = policy_loss(tokens, PPO)
    result.loss.backward()
    assert tokens.entropy.grad is None
    assert result.totals.per_token(1)["policy/entropy"] == pytest.approx(3.0)


def test_the_distance_from_the_old_policy_is_measured() -> None:
    tokens = tokens_with(ratios=[0.5, 1.0], advantages=[1.0, 1.0])
    metrics = policy_loss(tokens, PPO).totals.per_token(2)
    assert metrics["policy/approx_kl"] == pytest.approx((0.5 - 1 + math.log(2)) / 2)  # r - 1 - log r


@pytest.mark.parametrize("loss", ["ppo_clip", "gspo", "cispo", "nll"])
def test_gradients_flow_only_into_tokens_that_weigh_something(loss: str) -> None:
    weights = torch.tensor([1 / 5] * 3 + [0.0] * 4 + [1 / 5] * 2, dtype=torch.float64)  # the second sequence left out
    tokens = random_tokens([3, 4, 2], spread=0.01, seed=1, weights=weights)
    settings = replace(PPO, loss=loss, kl_coefficient=0.1, entropy_coefficient=0.1)
    policy_loss(tokens, settings).loss.backward()
    for leaf in (tokens.logprobs, tokens.entropy):
        assert ((gradient(leaf) != 0) == (weights != 0)).all()


@pytest.mark.parametrize("loss", ["ppo_clip", "gspo", "cispo", "nll"])
@pytest.mark.parametrize("importance", ["truncate", "sequence_mask"])
def test_one_row_and_its_sequences_in_rows_of_their_own_are_the_same(loss: str, importance: str) -> None:
    settings = replace(PPO, loss=loss, importance=importance, kl_coefficient=0.1, entropy_coefficient=0.1)
    whole, parted = (random_tokens([4, 1, 7], spread=0.7, seed=2) for _ in range(2))
    expected = policy_loss(whole, settings)
    expected.loss.backward()

    merged = TokenTotals.nothing(torch.device("cpu"))
    for place in (slice(0, 4), slice(4, 5), slice(5, 5), slice(5, 12)):  # the third has no token, as a dummy row
        part = policy_loss(slice_of(parted, place), settings)
        part.loss.backward()
        assert torch.equal(part.token_losses, expected.token_losses[place])
        merged = merged.merged(part.totals)

    assert torch.allclose(gradient(parted.logprobs), gradient(whole.logprobs), rtol=1e-12, atol=0)
    assert torch.allclose(gradient(parted.entropy), gradient(whole.entropy), rtol=1e-12, atol=0)
    assert merged.per_token(12) == pytest.approx(dict(expected.totals.per_token(12)), rel=1e-12)


@pytest.mark.parametrize("loss", ["ppo_clip", "gspo", "cispo", "nll"])
def test_no_tokens_cost_nothing_and_keep_the_graph(loss: str) -> None:
    tokens = tokens_with(ratios=[], advantages=[])
    settings = replace(
        PPO, loss=loss, importance="sequence_mask", dual_clip=3.0, kl_coefficient=0.1, entropy_coefficient=0.1
    )
    result = policy_loss(tokens, settings)
    result.loss.backward()
    assert result.loss.item() == 0
    assert gradient(tokens.logprobs).shape == gradient(tokens.entropy).shape == (0,)
    assert result.totals.per_token(1) == {}  # nothing was measured, and nothing is claimed


def test_a_loss_that_is_not_finite_names_its_tokens() -> None:
    tokens = tokens_with(ratios=[1.0, 1.0, 1.0], advantages=[1.0, math.nan, 1.0], weights=[1.0, 0.0, 1.0])
    result = policy_loss(tokens, PPO)
    assert result.token_losses.isfinite().tolist() == [True, False, True]
    assert not result.loss.isfinite()
    assert math.isnan(result.totals.per_token(3)["policy/loss"])


def test_a_name_that_no_total_has_is_refused() -> None:
    with pytest.raises(ValueError):
        TokenTotals.of({"policy/surprise": torch.zeros(1)}, device=torch.device("cpu"))


def test_fp32_gives_the_same_as_fp64_to_its_own_precision() -> None:
    tokens = random_tokens([5, 9], spread=0.3, seed=3)
    single = replace(
        tokens,
        **{
            name: getattr(tokens, name).detach().float()
            for name in (
                "logprobs",
                "entropy",
                "old_logprobs",
                "sampling_logprobs",
                "reference_logprobs",
                "advantages",
                "weights",
            )
        },
    )
    settings = replace(PPO, loss="gspo", kl_coefficient=0.1)
    half = policy_loss(single, settings)
    assert half.loss.dtype == torch.float32
    assert half.loss.item() == pytest.approx(policy_loss(tokens, settings).loss.item(), rel=1e-5)
