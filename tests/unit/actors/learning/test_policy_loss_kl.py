"""Test the KL estimators: by hand, by plain formulas, and the expected gradients that the docstring promises."""

import math

import pytest
import torch
from torch import Tensor

from actors.learning.policy_loss import LARGEST_LOG_RATIO, KlLoss, kl_estimate

KINDS: tuple[KlLoss, ...] = ("k2", "k3")


def fp64(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "value", "slope"),
    [
        ("k2", math.log(2) ** 2 / 2, math.log(2)),
        ("k3", 0.5 - 1 + math.log(2), 1 - 0.5),  # exp(x) - 1 - x with x = log(1/2); slope 1 - exp(x)
    ],
)
def test_a_token_twice_as_likely_as_under_the_reference(kind: KlLoss, value: float, slope: float) -> None:
    logprobs = fp64(math.log(0.5)).requires_grad_()
    estimate = kl_estimate(logprobs, fp64(math.log(0.25)), kind)
    estimate.sum().backward()
    assert estimate.tolist() == pytest.approx([value])
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([slope])


@pytest.mark.parametrize("seed", range(10))
def test_estimates_and_gradients_are_those_of_the_plain_formulas(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    mine, reference = (
        torch.rand(50, generator=random, dtype=torch.float64).clamp(min=1e-6).requires_grad_() for _ in range(2)
    )
    plain = {
        "k2": (mine / reference).log() ** 2 / 2,
        "k3": reference / mine - 1 - (reference / mine).log(),
    }
    for kind in KINDS:
        estimate = kl_estimate(mine.log(), reference.detach().log(), kind)
        assert torch.allclose(estimate, plain[kind], rtol=1e-9, atol=1e-12)
        found, wanted = (
            torch.autograd.grad(values.sum(), mine, retain_graph=True)[0] for values in (estimate, plain[kind])
        )
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-9)


def expected(values: Tensor, policy: Tensor) -> Tensor:
    """Mean over the tokens that the policy draws; who draws them is given, not learned."""
    return (policy.detach() * values).sum()


@pytest.fixture
def two_policies() -> tuple[Tensor, Tensor]:
    """Return logits (a leaf) of the policy, and log-probabilities of the reference, over five tokens."""
    logits = fp64(0.3, -1.2, 0.9, 0.0, -0.4).requires_grad_()
    return logits, fp64(1.0, 0.2, -0.7, 0.1, 0.5).log_softmax(dim=-1)


def test_k3_has_the_kl_as_its_mean(two_policies: tuple[Tensor, Tensor]) -> None:
    logits, reference = two_policies
    logprobs = logits.log_softmax(dim=-1)
    exact = (logprobs.exp() * (logprobs - reference)).sum()
    assert expected(kl_estimate(logprobs, reference, "k3"), logprobs.exp()).item() == pytest.approx(exact.item())


def test_the_expected_gradients_as_a_loss_are_those_of_the_reverse_and_the_forward_kl(
    two_policies: tuple[Tensor, Tensor],
) -> None:
    logits, reference = two_policies
    logprobs = logits.log_softmax(dim=-1)
    gradients = {
        kind: torch.autograd.grad(
            expected(kl_estimate(logprobs, reference, kind), logprobs.exp()), logits, retain_graph=True
        )[0]
        for kind in KINDS
    }
    reverse = (logprobs.exp() * (logprobs - reference)).sum()  # KL(policy || reference)
    forward = (reference.exp() * (reference - logprobs)).sum()  # KL(reference || policy)
    wanted = {
        "k2": torch.autograd.grad(reverse, logits, retain_graph=True)[0],
        "k3": torch.autograd.grad(forward, logits)[0],
    }
    for kind in KINDS:
        assert torch.allclose(gradients[kind], wanted[kind], rtol=0, atol=1e-12)
    assert not torch.allclose(wanted["k2"], wanted["k3"], rtol=0, atol=1e-2)


def test_k3_is_bounded_where_the_reference_is_far_above_and_nowhere_else() -> None:
    # x = log(reference / policy): 10 inside, 30 and 1000 beyond, -1000 the other way.
    logprobs = fp64(-10.0, -30.0, -1000.0, 0.0).requires_grad_()
    estimate = kl_estimate(logprobs, fp64(0.0, 0.0, 0.0, -1000.0), "k3")
    estimate.sum().backward()
    most = math.exp(LARGEST_LOG_RATIO) - 1 - LARGEST_LOG_RATIO
    assert estimate.tolist() == pytest.approx([math.exp(10) - 11, most, most, 999.0])
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([1 - math.exp(10), 0.0, 0.0, 1.0])


def test_k2_needs_no_bound() -> None:
    assert kl_estimate(fp64(-1000.0), fp64(0.0), "k2").tolist() == [500_000.0]


def test_k3_of_near_policies_keeps_its_digits_in_fp32() -> None:
    logprobs = torch.tensor([-1.0])
    estimate = kl_estimate(logprobs, logprobs + 2.0**-13, "k3")  # x is exact in fp32; exp(x) - 1 is not
    assert estimate.item() == pytest.approx(2.0**-27, rel=1e-2)  # x²/2
