"""Test chunked log-probabilities against the whole matrix, forward and backward."""

import math
from collections.abc import Callable, Iterable, Mapping

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from actors.learning.logprobs import HeadSettings, TokenLogprobs, token_logprobs

NUM_TOKENS, WIDTH, VOCABULARY = 10, 6, 23


@pytest.fixture
def head() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hidden states, weight and targets."""
    random = torch.Generator().manual_seed(3)
    hidden = torch.randn(NUM_TOKENS, WIDTH, generator=random).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=random).requires_grad_()
    return hidden, weight, torch.randint(0, 20, (NUM_TOKENS,), generator=random)


def settings(
    chunk_tokens: int, *, temperature: float = 1.0, vocab_size: int | None = None, entropy_gradient: bool = False
) -> HeadSettings:
    return HeadSettings(
        temperature=temperature, chunk_tokens=chunk_tokens, vocab_size=vocab_size, entropy_gradient=entropy_gradient
    )


def dense(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, temperature: float, vocab_size: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities and entropies, straight from the formulas, for torch's own autograd."""
    whole = ((hidden @ weight[:vocab_size].T) / temperature).log_softmax(dim=-1)
    return whole.gather(-1, targets[:, None])[:, 0], -(whole.exp() * whole).sum(dim=-1)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 10, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("vocab_size", [None, 20])
@pytest.mark.parametrize("entropy_gradient", [False, True])
def test_tiles_give_the_values_and_gradients_of_the_whole_matrix(
    head: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    chunk_tokens: int,
    temperature: float,
    vocab_size: int | None,
    entropy_gradient: bool,
) -> None:
    hidden, weight, targets = head
    hidden, weight = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    scale, entropy_scale = torch.linspace(-1, 2, NUM_TOKENS), torch.linspace(3, -2, NUM_TOKENS)
    expected = dense(hidden, weight, targets, temperature=temperature, vocab_size=vocab_size)
    found = token_logprobs(
        hidden,
        weight,
        targets=targets,
        settings=settings(
            chunk_tokens, temperature=temperature, vocab_size=vocab_size, entropy_gradient=entropy_gradient
        ),
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

    def gradients(values: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        logprobs, entropy = values
        bonus = (entropy * entropy_scale).sum() if entropy_gradient else 0.0
        return torch.autograd.grad((logprobs * scale).sum() + bonus, (hidden, weight))

    grads, expected_grads = gradients(found), gradients(expected)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-6, atol=1e-12)


def test_fp32_is_as_close_to_the_truth_as_fp32_can_be(head: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    hidden, weight, targets = head
    exact = (hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_())
    logprobs, entropy = dense(*exact, targets, temperature=0.6, vocab_size=20)
    expected_grads = torch.autograd.grad((logprobs + 2 * entropy).sum(), exact)
    found, found_entropy = token_logprobs(
        hidden,
        weight,
        targets=targets,
        settings=settings(4, temperature=0.6, vocab_size=20, entropy_gradient=True),
    )
    grads = torch.autograd.grad((found + 2 * found_entropy).sum(), (hidden, weight))
    for value, expected in ((found, logprobs), (found_entropy, entropy), *zip(grads, expected_grads, strict=True)):
        assert value.dtype == torch.float32
        error = (value.double() - expected).norm() / expected.norm()
        assert error < 1e-6


def test_entropy_has_no_gradient_unless_it_is_asked_for(head: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    hidden, weight, targets = head
    assert not token_logprobs(hidden, weight, targets=targets, settings=settings(4))[1].requires_grad
    assert token_logprobs(hidden, weight, targets=targets, settings=settings(4, entropy_gradient=True))[1].requires_grad


def test_a_frozen_head_gets_no_gradient(head: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    hidden, weight, targets = head
    (expected,) = torch.autograd.grad(
        token_logprobs(hidden, weight, targets=targets, settings=settings(4))[0].sum(), hidden
    )
    frozen = weight.detach()
    token_logprobs(hidden, frozen, targets=targets, settings=settings(4))[0].sum().backward()
    assert frozen.grad is None
    assert hidden.grad is not None and hidden.grad.equal(expected)


def test_a_certain_distribution_has_an_entropy_of_zero_and_finite_gradients() -> None:
    # Logits 0, 1000, 0 ...: every other probability underflows to 0, where p log p must not become NaN.
    hidden, weight = torch.tensor([[1000.0]], requires_grad=True), torch.zeros(8, 1)
    weight[1] = 1.0
    weight.requires_grad_()
    logprobs, entropy = token_logprobs(
        hidden, weight, targets=torch.tensor([1]), settings=settings(1, entropy_gradient=True)
    )
    assert (logprobs.item(), entropy.item()) == (0.0, 0.0)
    grads = torch.autograd.grad(logprobs.sum() + entropy.sum(), (hidden, weight))
    assert all(grad.eq(0).all() for grad in grads)


def test_no_tensor_is_as_large_as_a_chunk_of_logits() -> None:
    num_tokens, width, vocabulary, chunk_tokens = 512, 16, 20_000, 256
    hidden = torch.randn(num_tokens, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=True)
    targets = torch.randint(0, vocabulary, (num_tokens,))
    with LargestTensor() as largest:
        logprobs, entropy = token_logprobs(
            hidden, weight, targets=targets, settings=settings(chunk_tokens, entropy_gradient=True)
        )
        (logprobs.sum() + entropy.sum()).backward()
    # A chunk of whole rows would be 5,120,000 numbers, the head's gradient is 320,000: the largest is a tile of 2^19.
    assert 320_000 < largest.num_elements <= 2**19


class LargestTensor(TorchDispatchMode):
    """Record the largest number of elements that any operation returned."""

    num_elements = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.num_elements = max(self.num_elements, result.numel())
        return result


def test_a_uniform_head_gives_minus_log_of_the_vocabulary() -> None:
    hidden, weight = torch.ones(2, 3), torch.zeros(8, 3)
    logprobs, entropy = token_logprobs(hidden, weight, targets=torch.tensor([0, 7]), settings=settings(1))
    assert logprobs.tolist() == pytest.approx([-math.log(8)] * 2)
    assert entropy.tolist() == pytest.approx([math.log(8)] * 2)


def test_padding_rows_of_the_head_get_neither_probability_nor_gradient() -> None:
    hidden = torch.ones(1, 3)
    weight = torch.zeros(8, 3, requires_grad=True)
    logprobs, _ = token_logprobs(hidden, weight, targets=torch.tensor([1]), settings=settings(4, vocab_size=5))
    assert logprobs.tolist() == pytest.approx([-math.log(5)])
    (grad,) = torch.autograd.grad(logprobs.sum(), weight)
    assert grad[5:].eq(0).all()
    assert grad[:5].ne(0).all()


def test_a_target_among_the_padding_rows_is_no_number() -> None:
    hidden, weight = torch.ones(2, 3), torch.zeros(8, 3)
    logprobs, _ = token_logprobs(hidden, weight, targets=torch.tensor([6, 1]), settings=settings(4, vocab_size=5))
    assert math.isnan(logprobs[0]) and logprobs[1].item() == pytest.approx(-math.log(5))


def test_no_positions_still_lead_back_to_every_parameter() -> None:
    hidden = torch.ones(1, 3, requires_grad=True)
    module = TokenLogprobs(torch.nn.Parameter(torch.ones(4, 3)), settings(2))
    logprobs, entropy = module(hidden[:0], torch.tensor([], dtype=torch.int64))
    assert (logprobs.shape, entropy.shape) == ((0,), (0,))
    logprobs.sum().backward()
    assert module.weight.grad is not None and module.weight.grad.eq(0).all()
    assert hidden.grad is not None and hidden.grad.eq(0).all()


def test_half_precision_weights_still_give_fp32_results() -> None:
    hidden, weight = torch.ones(2, 3).bfloat16(), torch.zeros(7, 3).bfloat16()
    logprobs, entropy = token_logprobs(hidden, weight, targets=torch.tensor([0, 1]), settings=settings(2))
    assert logprobs.dtype == entropy.dtype == torch.float32
    assert logprobs.tolist() == pytest.approx([-math.log(7)] * 2)  # a bf16 result would be off in the third digit


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError):
        settings(2, temperature=0.0)
