"""Test the critic's loss: by hand, against a dense implementation, and how its totals add up."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actors.learning.value_loss import ValueTotals, value_loss
from tests.models.loss_rows import gradient


def fp64(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("value", "loss", "slope", "is_clipped"),
    [
        (0.1, 0.5 * 0.9**2, -0.9, False),  # within 0.2 of the old value 0: d/dv (v - R)²/2 = v - R
        (0.5, 0.5 * 0.8**2, 0.0, True),  # moved too far towards the return of 1: the error is that of 0.2
        (-0.5, 0.5 * 1.5**2, -1.5, False),  # moved away from it: pulled back
        (2.5, 0.5 * 1.5**2, 1.5, False),  # moved past it and further off than 0.2 is: pulled back too
    ],
)
def test_a_value_may_not_run_ahead(value: float, loss: float, slope: float, is_clipped: bool) -> None:
    values = fp64(value).requires_grad_()
    result, totals = value_loss(values, old_values=fp64(0), returns=fp64(1), weights=fp64(1), value_clip=0.2)
    result.backward()
    assert (result.item(), gradient(values).item()) == pytest.approx((loss, slope))
    assert totals.per_token(1)["critic/clip_fraction"] == float(is_clipped)


def test_without_a_bound_it_is_the_squared_error() -> None:
    values = fp64(5.0, -1.0).requires_grad_()
    loss, totals = value_loss(
        values, old_values=fp64(0, 0), returns=fp64(1, 1), weights=fp64(0.5, 0.25), value_clip=0.0
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 16 / 2 + 0.25 * 4 / 2)
    assert gradient(values).tolist() == pytest.approx([0.5 * 4, 0.25 * -2])
    assert "critic/clip_fraction" not in totals.per_token(2)


def test_what_is_measured() -> None:
    values, returns = fp64(1.0, 2.0, 2.0, 5.0), fp64(0.0, 2.0, 4.0, 6.0)
    _, totals = value_loss(values, old_values=values, returns=returns, weights=fp64(*[0.25] * 4), value_clip=0.2)
    metrics = totals.per_token(4)
    assert metrics["critic/loss"] == pytest.approx((1 + 0 + 4 + 1) / 8)
    assert metrics["critic/value_mean"] == pytest.approx(2.5)
    assert metrics["critic/return_mean"] == pytest.approx(3.0)
    assert metrics["critic/error_max"] == pytest.approx(2.0)
    # R - v = -1, 0, 2, 1: mean 0.5, variance 6/4 - 0.25 = 1.25. R: 56/4 - 9 = 5.
    assert metrics["critic/explained_variance"] == pytest.approx(1 - 1.25 / 5)
    assert set(metrics) == {
        *(f"critic/{name}" for name in ("loss", "value_mean", "return_mean", "error_max", "explained_variance")),
        "critic/clip_fraction",
    }


def test_equal_returns_leave_nothing_to_explain() -> None:
    returns = fp64(0.1, 0.1, 0.1)
    _, totals = value_loss(fp64(1, 2, 3), old_values=fp64(0, 0, 0), returns=returns, weights=returns, value_clip=0.0)
    assert "critic/explained_variance" not in totals.per_token(3)


def test_a_token_without_weight_teaches_the_critic_nothing() -> None:
    values = fp64(1.0, 2.0).requires_grad_()
    value_loss(values, old_values=fp64(0, 0), returns=fp64(3, 3), weights=fp64(0.0, 0.5), value_clip=9.0)[0].backward()
    assert gradient(values).tolist() == [0.0, -0.5]


def test_no_tokens_cost_nothing_and_keep_the_graph() -> None:
    values, none = fp64().requires_grad_(), fp64()
    loss, totals = value_loss(values, old_values=none, returns=none, weights=none, value_clip=0.2)
    loss.backward()
    assert loss.item() == 0
    assert gradient(values).shape == (0,)
    assert totals.per_token(1) == {}


def test_totals_of_parts_add_up_to_those_of_the_whole() -> None:
    random = torch.Generator().manual_seed(0)
    values, old, returns, weights = torch.randn(4, 9, generator=random, dtype=torch.float64)

    def of(place: slice) -> ValueTotals:
        return value_loss(
            values[place], old_values=old[place], returns=returns[place], weights=weights[place], value_clip=0.2
        )[1]

    merged = ValueTotals.nothing(torch.device("cpu"))
    for place in (slice(0, 2), slice(2, 2), slice(2, 9)):
        merged = merged.merged(of(place))
    metrics = merged.per_token(9)
    assert metrics == pytest.approx(dict(of(slice(0, 9)).per_token(9)))
    explained = 1 - (returns - values).var(correction=0) / returns.var(correction=0)
    assert metrics["critic/explained_variance"] == pytest.approx(explained.item())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.sampled_from([0.1, 1.0, 1e3]),
    st.integers(0, 10**6),
)
def test_the_loss_is_that_of_the_dense_formula(lengths: list[int], clip: float, spread: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    values, old, returns = torch.randn(3, sum(lengths), generator=random, dtype=torch.float64) * spread
    values = values.requires_grad_()
    weights = torch.rand(sum(lengths), generator=random, dtype=torch.float64)
    loss, _ = value_loss(values, old_values=old, returns=returns, weights=weights, value_clip=clip)
    loss.backward()

    total = torch.zeros((), dtype=torch.float64)
    rows = (
        torch.nn.utils.rnn.pad_sequence(list(tensor.split(lengths)), batch_first=True)
        for tensor in (values, old, returns, weights)
    )
    v, v_old, goal, weight = rows  # [B, T], padded with weight 0
    change = v - v_old
    bounded = v_old + torch.where(change.abs() > (clip or math.inf), clip * change.sign(), change)
    far, near = (v - goal) ** 2, (bounded - goal) ** 2
    total = 0.5 * (torch.where(far >= near, far, near) * weight).sum()
    wanted = torch.autograd.grad(total, values)[0]
    assert loss.item() == pytest.approx(total.item(), rel=1e-6)
    assert (gradient(values) - wanted).abs().max() <= 1e-6 * wanted.abs().max()
