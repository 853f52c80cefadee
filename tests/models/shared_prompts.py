"""Make samples that share prompts, and small models that learn from them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import (
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from contracts.batches import PackedRow, TrainBatch, TrainSample
from driver.learning.batching import LossWeighting, pack
from tests.models.random_models import GPT2_SHAPE, SHAPE, VOCABULARY, save_random_model

WINDOWED = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, tuple[type[PretrainedConfig], dict[str, object]]] = {
    "llama": (LlamaConfig, SHAPE),
    "qwen2": (Qwen2Config, SHAPE),
    "qwen2, windows": (Qwen2Config, SHAPE | WINDOWED | {"use_sliding_window": True}),
    "qwen3": (Qwen3Config, SHAPE | {"head_dim": 6}),
    "mistral": (MistralConfig, SHAPE | {"sliding_window": 4}),
    "gemma3": (Gemma3TextConfig, SHAPE | WINDOWED | {"head_dim": 6}),
    "gpt2": (GPT2Config, GPT2_SHAPE),
}

LENGTHS = (("a", 5, 6), ("b", 3, 7), ("a", 5, 2), ("c", 1, 4), ("a", 5, 5), ("b", 3, 1), ("a", 5, 1))
"""(prompt, its tokens, response tokens): prompts longer and shorter than what follows them, and one that has one
response only. 26 tokens of responses; of prompts 5 + 3 + 1 = 9, and 4 x 5 + 2 x 3 + 1 = 27 where they are repeated."""


def write_model(folder: Path, family: str) -> None:
    """Random weights that are large enough for every position to matter to every later one."""
    made, settings = FAMILIES[family]
    save_random_model(folder, made, settings)


def samples(*, measured: bool = False) -> list[TrainSample]:
    """Return samples with advantages of both signs, and if asked for with old log-probabilities that get clipped."""
    random = torch.Generator().manual_seed(3)
    prompts = {name: tokens(num, random) for name, num, _ in LENGTHS}

    def numbers(num: int, *, mean: float) -> tuple[float, ...]:
        return tuple((mean + torch.randn(num, generator=random)).tolist())

    return [
        TrainSample(
            group_id=name,
            prompt_token_ids=prompts[name],
            response_token_ids=tokens(num, random),
            sampling_logprobs=numbers(num, mean=-4.0),
            advantages=numbers(num, mean=0.0),
            policy_version=0,
            is_truncated=index == 2,
            old_logprobs=numbers(num, mean=-4.0) if measured else (),
            reference_logprobs=numbers(num, mean=-4.0) if measured else (),
            returns=numbers(num, mean=0.0) if measured else (),
            old_values=numbers(num, mean=0.0) if measured else (),
        )
        for index, (name, _, num) in enumerate(LENGTHS)
    ]


def tokens(num: int, random: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(3, VOCABULARY, (num,), generator=random).tolist())


def packed(
    given: Sequence[TrainSample],
    *,
    shares: bool,
    num_ranks: int = 1,
    row_tokens: int = 64,
    aggregation: str = "token",
    mask_truncated: bool = False,
) -> TrainBatch:
    weighting = LossWeighting(
        aggregation=aggregation,  # pyright: ignore[reportArgumentType] - a parameter of tests
        max_response_tokens=10,
        mask_truncated=mask_truncated,
    )
    return pack(
        given,
        num_ranks=num_ranks,
        row_tokens=row_tokens,
        pad_token_id=0,
        policy_version=0,
        weighting=weighting,
        share_prompts=shares,
    )


def all_rows(batch: TrainBatch) -> list[PackedRow]:
    return [row for rows in batch.rows for row in rows]


def take_gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the gradient of every trained parameter, and clear the gradients of the model."""
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the largest relative difference of a parameter's gradient, by its norm."""
    assert found.keys() == expected.keys() and expected
    return max(
        float((found[name] - gradient).norm() / gradient.norm().clamp_min(1e-3)) for name, gradient in expected.items()
    )
