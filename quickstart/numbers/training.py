"""Train a Llama of a million parameters on lessons, with plain torch on the CPU."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from quickstart.numbers.lessons import Lesson
from quickstart.numbers.tokenizer import LARGEST, POSITIONS, number_token

logger = logging.getLogger(__name__)

HIDDEN = 128
PERIODS = (2, 5, 10, 20, 50, 100, 400, 1000)
LOG_PERIODS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """Say how long and how a model is trained."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    last_rate: float = 0.05  # of the full rate, where the cosine ends
    weight_decay: float = 0.05


def new_model(tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """Return a model with random weights, whose number tokens begin as waves of their value and of its logarithm.

    Such waves turn sums, and products, into rotations (Nanda et al. 2023, arXiv 2301.05217, find that a model which
    has learned to add has them). A model of this size would need many times more lessons to find them.
    """
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert isinstance(end, int) and isinstance(pad, int)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    with torch.no_grad():
        _write_waves(model.model.embed_tokens.weight, tokenizer)
    return model


def _write_waves(embedding: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> None:
    size = float(embedding.std())
    for number in range(1, LARGEST + 1):
        angles = [math.tau * number / period for period in PERIODS]
        angles += [math.tau * math.log(number) / period for period in LOG_PERIODS]
        waves = torch.tensor([wave(angle) for angle in angles for wave in (math.cos, math.sin)])
        row = embedding[tokenizer.convert_tokens_to_ids(number_token(number))]
        row[: len(waves)] = waves * size * math.sqrt(2)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    lessons: Callable[[Random], Lesson],
    course: Course,
    *,
    seed: int,
) -> LlamaForCausalLM:
    """Train on lessons that `lessons` draws; only what is wanted is learned. Return the model."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=course.learning_rate, betas=(0.9, 0.98), weight_decay=course.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, course))
    model.train()
    start = time.perf_counter()
    for step, batch in enumerate(_batches(tokenizer, lessons, course, seed=seed), start=1):
        loss = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == course.steps:
            logger.info("step %d/%d, loss %.3f, %.0f s", step, course.steps, loss.item(), time.perf_counter() - start)
    return model.eval()


def _rate(step: int, course: Course) -> float:
    warm = min(1.0, (step + 1) / course.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * step / course.steps))
    return warm * (course.last_rate + (1 - course.last_rate) * cosine)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    token_ids: torch.Tensor  # [N, T]
    is_wanted: torch.Tensor  # [N, T] bool


def _batches(
    tokenizer: PreTrainedTokenizerFast, lessons: Callable[[Random], Lesson], course: Course, *, seed: int
) -> Iterator[_Batch]:
    random = Random(seed)
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    for _ in range(course.steps):
        yield _padded([_tokens(tokenizer, lessons(random)) for _ in range(course.batch_size)], pad)


def _tokens(tokenizer: PreTrainedTokenizerFast, lesson: Lesson) -> list[tuple[int, bool]]:
    """Return the tokens of a lesson, each with whether it is wanted."""
    found: list[tuple[int, bool]] = []
    for given, wanted in lesson.pieces:
        found += [(token, False) for token in tokenizer.encode(given, add_special_tokens=False)]
        found += [(token, True) for token in tokenizer.encode(wanted, add_special_tokens=False)]
    return found


def _padded(rows: Sequence[Sequence[tuple[int, bool]]], pad: int) -> _Batch:
    """Return the rows, filled up on the right, where causal attention doesn't look."""
    longest = max(len(row) for row in rows)
    filled = [[*row, *[(pad, False)] * (longest - len(row))] for row in rows]
    return _Batch(
        token_ids=torch.tensor([[token for token, _ in row] for row in filled]),
        is_wanted=torch.tensor([[is_wanted for _, is_wanted in row] for row in filled]),
    )


def _loss(model: LlamaForCausalLM, batch: _Batch) -> torch.Tensor:
    hidden = model.model(input_ids=batch.token_ids[:, :-1]).last_hidden_state
    chosen = batch.is_wanted[:, 1:]
    return cross_entropy(model.lm_head(hidden[chosen]), batch.token_ids[:, 1:][chosen])
