"""Chunked log-probabilities against the whole matrix, forward and backward."""

import math

import pytest
import torch

from actors.learning.attention import packed_sdpa
from actors.learning.logprobs import HeadSettings, TokenLogprobs, token_logprobs

NUM_TOKENS, WIDTH, VOCABULARY = 10, 6, 23


@pytest.fixture
def head() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, weight and targets."""
    random = torch.Generator().manual_seed(3)
    hidden = torch.randn(NUM_TOKENS, WIDTH, generator=random).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=random).requires_grad_()
    return hidden, weight, torch.randint(0, 20, (NUM_TOKENS,), generator=random)


def settings(chunk_tokens: int, *, temperature: float = 1.0, vocab_size: int | None = None) -> HeadSettings:
    return HeadSettings(temperature=temperature, chunk_tokens=chunk_tokens, vocab_size=vocab_size)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 10, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("vocab_size", [None, 20])
def test_chunks_give_the_values_and_gradients_of_the_whole_matrix(
    head: tuple[torch.Tensor, torch.Tensor, torch.Tensor], chunk_tokens: int, temperature: float, vocab_size: int | None
) -> None:
    hidden, weight, targets = head
    scale = torch.linspace(-1, 2, NUM_TOKENS)
    whole = ((hidden @ weight[:vocab_size].T) / temperature).log_softmax(dim=-1)
    expected = whole.gather(-1, targets[:, None])[:, 0]
    expected_entropy = -(whole.exp() * whole).sum(dim=-1)
    expected_grads = torch.autograd.grad((expected * scale).sum(), (hidden, weight))

    logprobs, entropy = token_logprobs(
        hidden,
        weight,
        targets=targets,
        settings=settings(chunk_tokens, temperature=temperature, vocab_size=vocab_size),
    )
    grads = torch.autograd.grad((logprobs * scale).sum(), (hidden, weight))
    torch.testing.assert_close(logprobs, expected)
    torch.testing.assert_close(entropy, expected_entropy)
    torch.testing.assert_close(grads, expected_grads)


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


def test_a_token_is_predicted_by_the_position_before_it() -> None:
    # Hidden state t is the unit vector of t, and the head reads logits 0, 5, 0 ... off it: position 0 expects token 1,
    # position 1 token 2, position 2 token 0.
    weight = torch.nn.Parameter(torch.tensor([[0.0, 0.0, 50.0], [50.0, 0.0, 0.0], [0.0, 50.0, 0.0]]))
    module = TokenLogprobs(weight, settings(2))
    logprobs, _ = module(torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([1, 2]))
    assert logprobs.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    wrong, _ = module(torch.eye(3), torch.tensor([0, 2, 1]), torch.tensor([1, 2]))
    assert wrong.tolist() == pytest.approx([-50.0, -50.0])


def test_no_positions_still_lead_back_to_every_parameter() -> None:
    hidden = torch.ones(1, 3, requires_grad=True)
    module = TokenLogprobs(torch.nn.Parameter(torch.ones(4, 3)), settings(2))
    logprobs, entropy = module(hidden, torch.tensor([0]), torch.tensor([], dtype=torch.int64))
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
    with pytest.raises(ValueError, match="temperature must be above 0"):
        settings(2, temperature=0.0)


@pytest.mark.parametrize("sliding_window", [None, 2])
def test_packed_attention_equals_attention_of_each_sequence_alone(sliding_window: int | None) -> None:
    random = torch.Generator().manual_seed(5)
    lengths = [3, 1, 4]
    query = torch.randn(1, 4, 8, 6, generator=random)
    key, value = (torch.randn(1, 2, 8, 6, generator=random) for _ in range(2))
    positions = torch.tensor([[0, 1, 2, 0, 0, 1, 2, 3]])
    packed, _ = packed_sdpa(
        torch.nn.Identity(), query, key, value, None, position_ids=positions, scaling=0.5, sliding_window=sliding_window
    )
    assert packed.shape == (1, 8, 4, 6)

    start = 0
    for length in lengths:
        part = slice(start, start + length)
        # Query heads 0, 1 read key head 0, and 2, 3 read 1. A position sees itself and what the window leaves before.
        scores = query[0, :, part] @ key[0, :, part].repeat_interleave(2, dim=0).mT * 0.5
        distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
        seen = (distance >= 0) & (distance < (sliding_window or length))
        weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
        expected = weights @ value[0, :, part].repeat_interleave(2, dim=0)
        torch.testing.assert_close(packed[0, part].transpose(0, 1), expected)
        start += length
