"""Check that configs/like-trl.toml learns as TRL's defaults do: three optimiser steps, against formulas written here.

The expected numbers share no code with the product: advantages in numpy, the loss sequence by sequence in torch, AdamW
by its equations. The policy is a table of logits, one row for each previous token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.learning.policy_loss import LossSettings
from actors.learning.rank_setup import RankPlace
from actors.learning.rows import PolicyLosses, RowInputs
from actors.learning.schedule import Schedule, lr_factor
from actors.learning.zero_config import training_settings
from contracts.config.learning import GrpoConfig
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.rollouts import Candidate
from driver.learning.batching import LossWeighting, pack
from driver.learning.samples import samples_from_rewards
from tests.commands import ROOT

VOCABULARY, STEPS, LEARNING_RATE = 6, 4, 0.05
PROMPT = (1, 2)
RESPONSES = ((3, 4), (3,), (5, 0, 2, 1), (4, 4, 4), (2,), (0, 1, 2, 3, 4), (5, 5), (1, 0, 3))
REWARDS = (
    (0.9, 0.1, 0.4, 0.0, 1.0, 0.35, 0.35, 0.6),
    (0.0, 0.2, 0.0, 0.7, 0.1, 0.9, 0.4, 0.4),
    (1.0, 0.9, 0.8, 0.3, 0.5, 0.2, 0.6, 0.0),
)
"""Of the eight responses, for each step."""
MISMATCH = (0.3, -0.2, 0.5, 0.1, -0.4, 0.05, 0.7, 0.0)
"""log(learner / engine) of every token of a response: the products of the third and seventh are above 3."""


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "configs" / "like-trl.toml", overrides=[f"algorithm.steps={STEPS}"])


def start() -> Tensor:
    return torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def token_logprobs(table: Tensor, response: Sequence[int]) -> Tensor:
    previous = (PROMPT[-1], *response[:-1])
    return torch.stack([table[last].log_softmax(dim=0)[token] for last, token in zip(previous, response, strict=True)])


# --- by TRL's formulas ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Step:
    loss: float
    grad_norm: float
    table: Tensor


def expected_steps() -> list[Step]:
    table = start()
    first, second = torch.zeros_like(table), torch.zeros_like(table)
    steps = []
    for number, rewards in enumerate(REWARDS):
        scores = np.array(rewards)
        advantages = (scores - scores.mean()) / (scores.std(ddof=1) + 1e-4)
        table.requires_grad_()
        total, num_tokens = torch.zeros((), dtype=torch.float64), sum(map(len, RESPONSES))
        for response, advantage, gap in zip(RESPONSES, advantages, MISMATCH, strict=True):
            logprobs = token_logprobs(table, response)
            ratio = (logprobs - logprobs.detach()).exp()
            of_sequence = float(np.exp(gap * len(response)))
            weight = of_sequence if of_sequence <= 3.0 else 0.0
            total = total - weight * torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum()
        loss = total / num_tokens
        (gradient,) = torch.autograd.grad(loss, table)
        norm = float(gradient.square().sum().sqrt())
        gradient = gradient * min(1.0, 1.0 / (norm + 1e-6))
        rate = LEARNING_RATE * (STEPS - number) / STEPS
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        first_moment, second_moment = first / (1 - 0.9 ** (number + 1)), second / (1 - 0.999 ** (number + 1))
        table = table.detach() - rate * first_moment / (second_moment.sqrt() + 1e-8)
        steps.append(Step(loss=loss.item(), grad_norm=norm, table=table))
    return steps


# --- by the product, as the preset configures it ----------------------------------------------------------------------


def found_steps(config: Config) -> list[Step]:
    algorithm, learner = config.algorithm, config.learner
    assert isinstance(algorithm, GrpoConfig)
    table = start().requires_grad_()

    def forward(row: RowInputs) -> tuple[Tensor, Tensor]:
        logprobs = table.log_softmax(dim=-1)[row.token_ids[0, row.sources], row.targets]
        return logprobs, torch.zeros_like(logprobs)

    settings = training_settings(
        learner,
        learning_rate=LEARNING_RATE,
        max_grad_norm=learner.max_grad_norm,
        num_parameter_bytes=1,
        place=RankPlace(rank=0, world_size=1, meeting="", device="cpu"),
    )
    optimizer = _adamw(table, settings, weight_decay=learner.weight_decay)
    schedule = Schedule(
        kind=learner.schedule,
        warmup_steps=learner.warmup_steps,
        total_steps=algorithm.steps * algorithm.optimizer_steps,
        floor=learner.min_learning_rate / learner.learning_rate,
    )
    weighting = LossWeighting(
        aggregation=algorithm.aggregation,
        max_response_tokens=config.policy.max_response_tokens,
        mask_truncated=algorithm.mask_truncated,
    )
    steps = []
    for number, rewards in enumerate(REWARDS):
        group = [_candidate(table.detach(), index, reward) for index, reward in enumerate(rewards)]
        (samples,) = samples_from_rewards([group], [], algorithm)
        batch = pack(
            samples,
            num_ranks=1,
            row_tokens=12,
            pad_token_id=0,
            policy_version=0,
            weighting=weighting,
            share_prompts=True,
        )
        losses = PolicyLosses(forward, LossSettings.of(algorithm), torch.device("cpu"))
        for row in batch.rows[0]:
            losses(row).backward()
        norm = torch.nn.utils.clip_grad_norm_([table], learner.max_grad_norm)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * lr_factor(number, schedule)
        optimizer.step()
        optimizer.zero_grad()
        steps.append(Step(loss=float(losses.loss), grad_norm=float(norm), table=table.detach().clone()))
    return steps


def _adamw(table: Tensor, settings: dict, *, weight_decay: float) -> torch.optim.AdamW:
    values = settings["optimizer"]["params"]
    return torch.optim.AdamW(
        [table], lr=values["lr"], betas=tuple(values["betas"]), eps=values["eps"], weight_decay=weight_decay
    )


def _candidate(table: Tensor, index: int, reward: float) -> Candidate:
    response = RESPONSES[index]
    return Candidate(
        group_id="0/item/de",
        prompt_token_ids=PROMPT,
        response_token_ids=response,
        sampling_logprobs=tuple((token_logprobs(table, response) - MISMATCH[index]).tolist()),
        shaped_reward=reward,
        is_truncated=index == 5,  # TRL learns from truncated responses
        policy_version=0,
    )


# --- compared ---------------------------------------------------------------------------------------------------------


def test_the_batch_has_sequences_on_both_sides_of_the_bound() -> None:
    products = [np.exp(gap * len(response)) for gap, response in zip(MISMATCH, RESPONSES, strict=True)]
    assert [product > 3.0 for product in products] == [index in (2, 6) for index in range(8)]


def test_three_optimizer_steps_are_those_of_trls_formulas(config: Config) -> None:
    found, expected = found_steps(config), expected_steps()
    assert [step.loss for step in found] == pytest.approx([step.loss for step in expected], rel=1e-5)
    assert [step.grad_norm for step in found] == pytest.approx([step.grad_norm for step in expected], rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.table, other.table, rtol=0, atol=1e-6)
        assert not torch.allclose(one.table, start(), rtol=0, atol=1e-2)


def test_the_rest_of_the_preset_is_trls_default_too(config: Config) -> None:
    algorithm, learner = config.algorithm, config.learner
    assert isinstance(algorithm, GrpoConfig)
    assert (algorithm.group_size, algorithm.groups_per_step, algorithm.kl) == (8, 1, "none")
    assert (algorithm.max_staleness, algorithm.entropy_coefficient, algorithm.dual_clip) == (0, 0.0, "off")
    assert (learner.learning_rate, learner.max_grad_norm, learner.gradient_checkpointing) == (1e-6, 1.0, True)
    assert (config.policy.max_response_tokens, config.policy.temperature) == (512, 1.0)
