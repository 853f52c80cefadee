"""Test attention of a packed row against an explicit softmax over what each token may see, token by token."""

import pytest
import torch

from actors.learning.attention import packed_sdpa
from actors.learning.segment_attention import AttentionRules, attend
from contracts.batches import Segment

WHOLE = (Segment(3), Segment(1), Segment(4))
# Two sequences of 5 and 4 tokens; then responses to the first three tokens (longer and shorter than those), to the
# first token of the second, and to its first three, in any order.
SHARING = (Segment(5), Segment(4), Segment(4, 0, 3), Segment(2, 5, 1), Segment(1, 0, 3), Segment(2, 5, 3))


LONG = (Segment(370), Segment(200, 0, 300), Segment(100, 0, 50))
"""4 heads x 370 x 370 scores are too many to be written out in half precision, 4 x 200 x 500 are not."""


def seen_by_each(segments: tuple[Segment, ...], sliding_window: int | None) -> list[list[int]]:
    """Return, for every token of the row, the positions of the tokens that it attends to."""
    found, start = [], 0
    for length, prompt_start, prompt_length in segments:
        sequence = [*range(prompt_start, prompt_start + prompt_length), *range(start, start + length)]
        for place in range(prompt_length, prompt_length + length):
            found.append(sequence[max(0, place + 1 - (sliding_window or 1000)) : place + 1])
        start += length
    return found


@pytest.mark.parametrize("segments", [WHOLE, SHARING])
@pytest.mark.parametrize("sliding_window", [None, 2, 4])
def test_each_token_sees_its_own_sequence_up_to_itself(
    segments: tuple[Segment, ...], sliding_window: int | None
) -> None:
    random = torch.Generator().manual_seed(5)
    num_tokens = sum(segment.length for segment in segments)
    query = torch.randn(1, 4, num_tokens, 6, generator=random, requires_grad=True)
    key, value = (torch.randn(1, 2, num_tokens, 6, generator=random, requires_grad=True) for _ in range(2))
    packed, _ = packed_sdpa(
        torch.nn.Identity(), query, key, value, None, segments=segments, scaling=0.5, sliding_window=sliding_window
    )
    assert packed.shape == (1, num_tokens, 4, 6)

    expected = []
    for token, seen in enumerate(seen_by_each(segments, sliding_window)):
        # Query heads 0, 1 read key head 0, and 2, 3 read 1.
        keys, values = (states[0, :, seen].repeat_interleave(2, dim=0) for states in (key, value))
        weights = (query[0, :, token, None] @ keys.mT * 0.5).softmax(dim=-1)
        expected.append((weights @ values)[:, 0])
    torch.testing.assert_close(packed[0], torch.stack(expected))

    scale = torch.randn(packed[0].shape, generator=random)
    found = torch.autograd.grad((packed[0] * scale).sum(), (query, key, value))
    wanted = torch.autograd.grad((torch.stack(expected) * scale).sum(), (query, key, value))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("segments", [SHARING, LONG])
@pytest.mark.parametrize("sliding_window", [None, 4])
def test_half_precision_differs_by_its_rounding_only(segments: tuple[Segment, ...], sliding_window: int | None) -> None:
    random = torch.Generator().manual_seed(6)
    num_tokens = sum(segment.length for segment in segments)
    states = [torch.randn(1, heads, num_tokens, 8, generator=random).bfloat16() for heads in (4, 2, 2)]
    scale = torch.randn(1, num_tokens, 4, 8, generator=random)
    found: list[list[torch.Tensor]] = []
    for dtype in (torch.bfloat16, torch.float32):
        query, key, value = (one.to(dtype).requires_grad_() for one in states)
        output, _ = packed_sdpa(
            torch.nn.Identity(), query, key, value, None, segments=segments, sliding_window=sliding_window
        )
        assert output.dtype == dtype
        gradients = torch.autograd.grad((output * scale.to(dtype)).sum(), (query, key, value))
        found.append([output.detach().float(), *(gradient.float() for gradient in gradients)])
    for half, whole in zip(*found, strict=True):
        # bf16 has 8 binary digits: a value is off by up to 1/256 of it, and its errors add up over a few roundings.
        assert (half - whole).norm() / whole.norm() < 3 / 256


def test_what_a_token_may_see_is_what_the_table_says() -> None:
    table = seen_by_each((Segment(3), Segment(2, 0, 2)), None)
    assert table == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4]]
    assert seen_by_each((Segment(3), Segment(2, 0, 2)), 2)[3:] == [[1, 3], [3, 4]]


@pytest.mark.parametrize("sliding_window", [None, 4])
def test_repeated_key_heads_change_nothing(sliding_window: int | None) -> None:
    """A GPU gets them, in segments with a mask (their prompt is longer, or there is a window) and without."""
    random = torch.Generator().manual_seed(8)
    num_tokens = sum(segment.length for segment in SHARING)
    states = [torch.randn(1, heads, num_tokens, 6, generator=random, requires_grad=True) for heads in (4, 2, 2)]
    scale = torch.randn(1, 4, num_tokens, 6, generator=random)
    found = []
    for repeats_heads in (False, True):
        rules = AttentionRules(sliding_window=sliding_window, scaling=None, dropout=0.0, repeats_heads=repeats_heads)
        output = attend(*states, segments=SHARING, rules=rules)
        found.append([output, *torch.autograd.grad((output * scale).sum(), states)])
    torch.testing.assert_close(found[0], found[1])
