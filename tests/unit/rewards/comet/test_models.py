"""Test the modules under COMET's scores, on numbers worked by hand."""

import pytest
import torch

from rewards.comet.models import LayerMix, referenceless_features, regression_features, sparsemax


@pytest.mark.parametrize(
    ("scalars", "expected"),
    [
        ([0.0, 0.0], [0.5, 0.5]),
        # 1 + 2·0.8 > 1.8 but 1 - 3·1 < 0.8: two stay, less (1.8 - 1) / 2 = 0.4 each
        ([1.0, 0.8, -1.0], [0.6, 0.4, 0.0]),
        ([-1.0, 3.0, 0.5], [0.0, 1.0, 0.0]),
    ],
)
def test_sparsemax_is_the_projection_onto_the_simplex(scalars: list[float], expected: list[float]) -> None:
    assert sparsemax(torch.tensor(scalars)).tolist() == pytest.approx(expected)


def test_layers_are_mixed_by_softmax_and_scaled_by_gamma() -> None:
    mix = LayerMix(2, transformation="softmax")
    with torch.no_grad():
        mix.scalars[1].fill_(float(torch.log(torch.tensor(3.0))))  # softmax of [0, log 3] is [1/4, 3/4]
        mix.gamma.fill_(2.0)
    layers = [torch.full((1, 1, 1), 4.0), torch.full((1, 1, 1), 8.0)]
    assert mix(layers, torch.ones(1, 1)).item() == pytest.approx(2 * (0.25 * 4 + 0.75 * 8))


def test_sparsemax_leaves_a_hopeless_layer_out() -> None:
    mix = LayerMix(2, transformation="sparsemax")
    with torch.no_grad():
        mix.scalars[0].fill_(5.0)
    layers = [torch.full((1, 1, 1), 4.0), torch.full((1, 1, 1), 8.0)]
    assert mix(layers, torch.ones(1, 1)).item() == pytest.approx(4.0)


def test_layer_norm_takes_one_mean_and_one_deviation_a_sentence_and_ignores_padding() -> None:
    mix = LayerMix(1, transformation="softmax", layer_norm=True)
    layer = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [100.0, -100.0]]])  # the last token is padding
    found = mix([layer], torch.tensor([[1, 1, 0]]))
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    assert found[0, :2].flatten().tolist() == pytest.approx([value / 5**0.5 for value in (-3, -1, 1, 3)])


def test_layer_norm_of_a_sentence_does_not_depend_on_the_others_of_the_batch() -> None:
    mix = LayerMix(1, transformation="softmax", layer_norm=True)
    layer = torch.tensor([[[1.0, 3.0], [5.0, 7.0]], [[2.0, 10.0], [100.0, -100.0]]])
    together = mix([layer], torch.tensor([[1, 1], [1, 0]]))  # the last token of the second is padding
    assert together.shape == (2, 2, 2)
    assert together[0].flatten().tolist() == pytest.approx([value / 5**0.5 for value in (-3, -1, 1, 3)])
    assert together[1, 0].tolist() == pytest.approx([-1, 1])  # mean 6, variance 16


def test_layers_in_half_precision_are_mixed_in_full() -> None:
    mix = LayerMix(1, transformation="softmax")
    assert mix([torch.ones(1, 1, 1, dtype=torch.bfloat16)], torch.ones(1, 1)).dtype == torch.float32
    # bfloat16 holds 1 + 1/128, and not the mean of it and 1.
    layers = [torch.full((1, 1, 1), value, dtype=torch.bfloat16) for value in (1.0, 1 + 1 / 128)]
    assert LayerMix(2, transformation="softmax")(layers, torch.ones(1, 1)).item() == 1 + 1 / 256


def test_features_are_in_the_order_that_the_heads_were_trained_with() -> None:
    translation, source, reference = torch.tensor([[2.0]]), torch.tensor([[5.0]]), torch.tensor([[3.0]])
    assert regression_features(translation, source, reference).tolist() == [[2.0, 3.0, 6.0, 1.0, 10.0, 3.0]]
    assert referenceless_features(translation, source).tolist() == [[2.0, 5.0, 10.0, 3.0]]
