"""The policy loss and its totals, with numbers worked by hand."""

import math

import pytest
import torch

from actors.learning.loss import Clipping, TokenTotals, TokenValues, policy_loss

BOUNDS = Clipping(clip_low=0.2, clip_high=0.28, importance_cap=2.0)


def values(
    *, ratios: list[float], advantages: list[float], engine_ratios: list[float] | None = None
) -> tuple[TokenValues, torch.Tensor]:
    """Tokens whose ratio to the old policy, and of the old policy to the engine, are as given; and their logprobs."""
    old = torch.full((len(ratios),), -1.0)
    logprobs = (old + torch.tensor(ratios).log()).requires_grad_()
    sampling = old - torch.tensor(engine_ratios or [1.0] * len(ratios)).log()
    tokens = TokenValues(
        logprobs=logprobs,
        old_logprobs=old,
        sampling_logprobs=sampling,
        advantages=torch.tensor(advantages),
        entropy=torch.full((len(ratios),), 3.0),
    )
    return tokens, logprobs


def test_on_policy_the_gradient_is_minus_the_advantage() -> None:
    tokens, logprobs = values(ratios=[1.0, 1.0], advantages=[0.5, -2.0])
    loss, _ = policy_loss(tokens, BOUNDS)
    loss.backward()
    assert loss.item() == pytest.approx(1.5)  # -(0.5 - 2.0)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.5, 2.0])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.2, 1.0, -1.2, -1.2),  # inside the bounds: d(-r·A)/d logp = -r·A
        (1.4, 1.0, -1.28, 0.0),  # a good token is not pushed above 1 + clip_high
        (0.7, 1.0, -0.7, -0.7),  # a good token below the bounds is still pulled up
        (0.7, -1.0, 0.8, 0.0),  # a bad token is not pushed below 1 - clip_low
        (1.4, -1.0, 1.4, 1.4),  # a bad token above the bounds is still pushed down
    ],
)
def test_clipping_stops_only_what_has_gone_far_enough(
    ratio: float, advantage: float, loss: float, gradient: float
) -> None:
    tokens, logprobs = values(ratios=[ratio], advantages=[advantage])
    result, totals = policy_loss(tokens, BOUNDS)
    result.backward()
    assert result.item() == pytest.approx(loss)
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(gradient)
    assert totals.per_token(1)["policy/clip_fraction"] == (1.0 if gradient == 0 else 0.0)


def test_the_importance_weight_is_truncated_and_carries_no_gradient() -> None:
    tokens, logprobs = values(ratios=[1.0, 1.0, 1.0], advantages=[1.0, 1.0, 1.0], engine_ratios=[0.5, 1.5, 8.0])
    loss, totals = policy_loss(tokens, BOUNDS)
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.5, -1.5, -2.0])  # 8 is cut to the cap of 2
    metrics = totals.per_token(3)
    assert metrics["policy/importance_ratio_mean"] == pytest.approx(10 / 3)  # before the cut
    assert metrics["policy/importance_ratio_max"] == pytest.approx(8.0)
    assert metrics["policy/importance_capped_fraction"] == pytest.approx(1 / 3)


def test_the_mismatch_of_engine_and_learner_is_measured() -> None:
    tokens, _ = values(ratios=[1.0, 1.0], advantages=[1.0, 1.0], engine_ratios=[math.e, 1.0])
    _, totals = policy_loss(tokens, BOUNDS)
    metrics = totals.per_token(2)
    assert metrics["policy/logprob_diff_mean"] == pytest.approx(0.5)
    assert metrics["policy/logprob_diff_max"] == pytest.approx(1.0)
    assert metrics["policy/mismatch_kl"] == pytest.approx((math.e - 1 - 1) / 2)  # k3: r - 1 - log r
    assert metrics["policy/entropy"] == pytest.approx(3.0)


def test_totals_of_parts_add_up_to_those_of_the_whole() -> None:
    ratios, advantages, engine = [1.0, 1.5, 0.6], [1.0, 2.0, -1.0], [1.1, 0.7, 3.0]
    whole_tokens, _ = values(ratios=ratios, advantages=advantages, engine_ratios=engine)
    _, whole = policy_loss(whole_tokens, BOUNDS)
    merged = TokenTotals.nothing(torch.device("cpu"))
    for part in (slice(0, 1), slice(1, 3)):
        tokens, _ = values(ratios=ratios[part], advantages=advantages[part], engine_ratios=engine[part])
        merged = merged.merged(policy_loss(tokens, BOUNDS)[1])
    assert merged.per_token(3) == pytest.approx(dict(whole.per_token(3)))


def test_no_tokens_cost_nothing_and_keep_the_graph() -> None:
    tokens, logprobs = values(ratios=[], advantages=[])
    loss, totals = policy_loss(tokens, BOUNDS)
    loss.backward()
    assert loss.item() == 0
    assert logprobs.grad is not None and logprobs.grad.shape == (0,)
    assert set(totals.per_token(1).values()) == {0.0}
