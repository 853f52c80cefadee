"""Test the surrogate losses on numbers worked by hand: PPO's, with dual clip, GSPO, CISPO, and SFT's likelihood."""

import math
from dataclasses import replace

import pytest
import torch

from actors.learning.policy_loss import LossSettings, importance_weights, policy_loss
from tests.builders import an_algorithm
from tests.models.loss_rows import PPO, gradient, tokens_with

DUAL = replace(PPO, dual_clip=3.0)
GSPO = replace(PPO, loss="gspo", clip_low=0.1, clip_high=0.2)
CISPO = replace(PPO, loss="cispo", clip_low=1.0, clip_high=4.0)
NLL = replace(PPO, loss="nll", importance="off")


def one_token(ratio: float, advantage: float, settings: LossSettings) -> tuple[float, float, dict[str, float]]:
    """Return the loss of one token, its gradient by the log-probability, and the metrics."""
    tokens = tokens_with(ratios=[ratio], advantages=[advantage])
    result = policy_loss(tokens, settings)
    result.loss.backward()
    return result.loss.item(), gradient(tokens.logprobs).item(), dict(result.totals.per_token(1))


def test_on_policy_the_gradient_is_minus_the_advantage() -> None:
    tokens = tokens_with(ratios=[1.0, 1.0], advantages=[0.5, -2.0])
    result = policy_loss(tokens, PPO)
    result.loss.backward()
    assert result.loss.item() == pytest.approx(1.5)  # -(0.5 - 2.0)
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-0.5, 2.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "stopped"),
    [
        (1.2, 1.0, -1.2, -1.2, ""),  # inside the bounds: d(-r·A)/d logp = -r·A
        (1.4, 1.0, -1.28, 0.0, "high"),  # a good token is not pushed above 1 + clip_high
        (0.7, 1.0, -0.7, -0.7, ""),  # a good token below the bounds is still pulled up
        (0.7, -1.0, 0.8, 0.0, "low"),  # a bad token is not pushed below 1 - clip_low
        (1.4, -1.0, 1.4, 1.4, ""),  # a bad token above the bounds is still pushed down
        (9.0, -2.0, 18.0, 18.0, ""),  # however far above
        (0.1, 0.0, 0.0, 0.0, ""),  # without an advantage nothing happens, and nothing was stopped
    ],
)
def test_clipping_stops_only_what_has_gone_far_enough(
    ratio: float, advantage: float, loss: float, slope: float, stopped: str
) -> None:
    got_loss, got_slope, metrics = one_token(ratio, advantage, PPO)
    assert (got_loss, got_slope) == pytest.approx((loss, slope))
    assert metrics["policy/clip_fraction"] == float(stopped != "")
    assert metrics["policy/clip_fraction_low"] == float(stopped == "low")
    assert metrics["policy/clip_fraction_high"] == float(stopped == "high")
    assert metrics["policy/ratio_mean"] == metrics["policy/ratio_max"] == pytest.approx(ratio)
    assert "policy/dual_clip_fraction" not in metrics


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "is_stopped"),
    [
        (2.0, -1.0, 2.0, 2.0, False),  # r·|A| = 2 is below 3·|A|
        (9.0, -2.0, 6.0, 0.0, True),  # 9·2 = 18 is cut to 3·2, and has no gradient any more
        (9.0, 2.0, -2.56, 0.0, False),  # a good token has PPO's bound: -1.28·2
    ],
)
def test_dual_clip_bounds_the_loss_of_a_bad_token(
    ratio: float, advantage: float, loss: float, slope: float, is_stopped: bool
) -> None:
    got_loss, got_slope, metrics = one_token(ratio, advantage, DUAL)
    assert (got_loss, got_slope) == pytest.approx((loss, slope))
    assert metrics["policy/dual_clip_fraction"] == float(is_stopped)
    assert metrics["policy/clip_fraction"] == 1.0 - float(not is_stopped and ratio == 2.0)


def test_gspo_gives_every_token_the_ratio_of_its_sequence() -> None:
    # Sequence 4: s = sqrt(2 · 0.5) = 1. Sequence 7: s = 1.1, a lone token.
    tokens = tokens_with(ratios=[2.0, 0.5, 1.1], advantages=[1.0, 3.0, -1.0], sequences=[4, 4, 7])
    result = policy_loss(tokens, GSPO)
    result.loss.backward()
    assert result.token_losses.tolist() == pytest.approx([-1.0, -3.0, 1.1])
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-1.0, -3.0, 1.1])  # -s·A of each token's own
    metrics = result.totals.per_token(3)
    assert metrics["policy/ratio_mean"] == pytest.approx((1 + 1 + 1.1) / 3)
    assert metrics["policy/ratio_max"] == pytest.approx(1.1)


def test_gspo_clips_whole_sequences() -> None:
    # Sequence 0: s = sqrt(1.69 · 1) = 1.3 > 1.2: no gradient for good tokens, though one has a ratio of 1.
    # Sequence 1: s = sqrt(0.25 · 1) = 0.5 < 0.9: none for bad ones.
    tokens = tokens_with(
        ratios=[1.69, 1.0, 0.25, 1.0], advantages=[1.0, 1.0, -1.0, -1.0], sequences=[0, 0, 1, 1], weights=[0.25] * 4
    )
    result = policy_loss(tokens, GSPO)
    result.loss.backward()
    assert result.loss.item() == pytest.approx((-1.2 - 1.2 + 0.9 + 0.9) / 4)
    assert gradient(tokens.logprobs).tolist() == [0.0] * 4
    metrics = result.totals.per_token(4)
    assert metrics["policy/clip_fraction"] == 1.0
    assert metrics["policy/clip_fraction_low"] == metrics["policy/clip_fraction_high"] == 0.5


@pytest.mark.parametrize(
    ("ratio", "advantage", "weight"),
    [(2.0, 1.5, 2.0), (9.0, 1.5, 5.0), (9.0, -1.5, 5.0), (0.1, -1.5, 0.1)],  # at most 1 + 4, and no lower bound
)
def test_cispo_weighs_the_log_probability_and_stops_no_token(ratio: float, advantage: float, weight: float) -> None:
    loss, slope, metrics = one_token(ratio, advantage, CISPO)
    assert loss == pytest.approx(-weight * advantage * (math.log(ratio) - 1))  # logp = log(r / e)
    assert slope == pytest.approx(-weight * advantage)
    assert metrics["policy/clip_fraction"] == metrics["policy/clip_fraction_high"] == float(ratio > 5)
    assert metrics["policy/clip_fraction_low"] == 0.0


def test_cispo_with_a_lower_bound_says_whose_weight_was_raised() -> None:
    loss, slope, metrics = one_token(0.1, 2.0, replace(CISPO, clip_low=0.5))
    assert (loss, slope) == pytest.approx((-0.5 * 2 * (math.log(0.1) - 1), -0.5 * 2))
    assert metrics["policy/clip_fraction"] == metrics["policy/clip_fraction_low"] == 1.0


def test_nll_is_the_surprise_whatever_advantage_and_engine_say() -> None:
    tokens = tokens_with(ratios=[1.0, math.e], advantages=[5.0, -7.0], engine_ratios=[4.0, 0.1], weights=[0.5, 0.25])
    result = policy_loss(tokens, NLL)
    result.loss.backward()
    assert result.loss.item() == pytest.approx(0.5 * 1 + 0.25 * 0)  # logp are -1 and 0
    assert gradient(tokens.logprobs).tolist() == pytest.approx([-0.5, -0.25])
    assert set(result.totals.per_token(2)) == {"policy/loss", "policy/entropy"}


def test_settings_follow_the_config() -> None:
    algorithm = an_algorithm(
        **{"steps": 1, "loss": "ppo_clip", "dual_clip": 3.0, "clip_high": 0.3, "importance": "sequence_mask"}
    )
    settings = LossSettings.of(algorithm)
    assert (settings.clip_low, settings.clip_high, settings.dual_clip) == (0.2, 0.3, 3.0)
    assert (settings.importance, settings.importance_floor, settings.importance_cap) == ("sequence_mask", 0.999, 1.001)
    assert settings.kl_coefficient == 0.0  # kl = "none"


@pytest.mark.parametrize(("kl", "coefficient"), [("none", 0.0), ("reward", 0.0), ("loss", 0.05)])
def test_only_a_kl_in_the_loss_is_charged_by_the_loss(kl: str, coefficient: float) -> None:
    settings = LossSettings.of(an_algorithm(**{"kl": kl, "kl_coefficient": 0.05}))
    assert settings.kl_coefficient == coefficient


@pytest.mark.parametrize(("estimator", "used"), [("auto", "k3"), ("k2", "k2"), ("k3", "k3")])
def test_the_estimator_of_the_loss_is_the_configured_one(estimator: str, used: str) -> None:
    assert LossSettings.of(an_algorithm(kl="loss", kl_estimator=estimator)).kl_estimator == used


@pytest.mark.parametrize(
    ("importance", "is_kept"), [("truncate", 1.0), ("sequence_mask", 0.0), ("sequence_ratio", 1.0)]
)
def test_a_mask_with_its_own_bounds_masks_a_usual_mismatch(importance: str, is_kept: float) -> None:
    # Each token is 0.2% less likely in the learner than in the engine: 0.998 is inside [0.5, 2] at any length.
    settings = LossSettings.of(an_algorithm(importance=importance))
    weights, _ = importance_weights(
        torch.full((50,), math.log(0.998)),
        torch.zeros(50),
        sequences=torch.zeros(50, dtype=torch.int64),
        kind=settings.importance,
        floor=settings.importance_floor,
        cap=settings.importance_cap,
    )
    assert bool(weights.max() > 0) == bool(is_kept)


def test_sft_learns_by_likelihood_alone() -> None:
    algorithm = an_algorithm(**{"steps": 1, "name": "sft", "entropy_coefficient": 0.01})
    settings = LossSettings.of(algorithm)
    assert (settings.loss, settings.importance, settings.kl_coefficient) == ("nll", "off", 0.0)
    assert settings.entropy_coefficient == 0.01


def test_values_that_do_not_belong_together_are_refused() -> None:
    tokens = tokens_with(ratios=[1.0, 1.0], advantages=[1.0, 1.0])
    with pytest.raises(ValueError):
        replace(tokens, advantages=torch.ones(3))
