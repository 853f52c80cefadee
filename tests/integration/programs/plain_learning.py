"""Learn with PPO in plain torch: one process, unpacked sequences, plain formulas. Real ranks must give the same.

Knows the learner's settings, and none of its code.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from contracts.batches import TrainSample
from tests.integration.programs.learner_ranks import TEMPERATURE, make_samples

Weights = dict[str, Tensor]

NUM_BATCHES = 5  # of two optimiser steps each
NUM_STEPS = 2 * NUM_BATCHES
LEARNING_RATES = (0.5e-3, *(1e-3 * left / 9 for left in range(9, 0, -1)))
"""Two steps of warm-up to 1e-3, then down in equal steps to 0 at the eleventh, which there isn't."""
CRITIC_RATES = tuple(1e-4 * left / 10 for left in range(10, 0, -1))  # without a warm-up
KL_COEFFICIENT = 0.2
CLIP_LOW, CLIP_HIGH, VALUE_CLIP = 0.003, 0.002, 0.001  # narrow: tiny models move little
PPO = (
    ("name", "ppo"),
    ("kl", "loss"),
    ("kl_coefficient", KL_COEFFICIENT),
    ("kl_estimator", "k3"),
    ("mini_batches", 2),
    ("clip_low", CLIP_LOW),
    ("clip_high", CLIP_HIGH),
)
CRITIC = (("learning_rate", 1e-4), ("value_clip", VALUE_CLIP))
WEIGHT_DECAY = 5.0  # large: ten steps of a small rate must show which parameters decay
LEARNER = (("schedule", "linear"), ("warmup_steps", 2), ("weight_decay", WEIGHT_DECAY))


def batches() -> list[list[TrainSample]]:
    """Return what each batch is made of, without the measures."""
    random = torch.Generator().manual_seed(5)
    return [
        [
            replace(sample, returns=tuple(torch.randn(len(sample.response_token_ids), generator=random).tolist()))
            for sample in make_samples(seed=number)
        ]
        for number in range(NUM_BATCHES)
    ]


class PlainCritic(nn.Module):
    def __init__(self, model: Path) -> None:
        super().__init__()
        self.backbone = AutoModel.from_pretrained(model, dtype=torch.float32)
        self.head = nn.Linear(self.backbone.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, sample: TrainSample) -> Tensor:
        """Return [T] of the state before each response token, from one unpacked sequence."""
        tokens = torch.tensor([sample.prompt_token_ids + sample.response_token_ids])
        hidden = self.backbone(tokens).last_hidden_state[0]
        return self.head(hidden)[len(sample.prompt_token_ids) - 1 : -1, 0]


def plain_logprobs(policy: PreTrainedModel, sample: TrainSample) -> Tensor:
    start = len(sample.prompt_token_ids)
    tokens = torch.tensor([sample.prompt_token_ids + sample.response_token_ids])
    everything = (policy(tokens).logits[0, :-1] / TEMPERATURE).log_softmax(dim=-1)
    return everything.gather(-1, tokens[0, 1:, None])[start - 1 :, 0]


def decaying_groups(model: nn.Module) -> list[dict[str, object]]:
    """Return the parameters for AdamW: all but norms and biases decay."""
    is_left_out = {name: "norm" in name or name.endswith("bias") for name, _ in model.named_parameters()}
    assert any(is_left_out.values())
    return [
        {
            "params": [each for name, each in model.named_parameters() if is_left_out[name] == left_out],
            "weight_decay": d,
        }
        for left_out, d in ((False, WEIGHT_DECAY), (True, 0.0))
    ]


@dataclass(frozen=True, kw_only=True)
class Expected:
    weights: Weights
    losses: list[float]
    grad_norms: list[float]
    critic_losses: list[float]
    values: list[Tensor]  # of the first batch, in the end


def plain_torch(model: Path) -> Expected:
    """Learn in one process from unpacked sequences, with Hugging Face logits and torch's AdamW: the plain formulas."""
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    reference, critic = copy.deepcopy(policy), PlainCritic(model)
    optimizers = [
        torch.optim.AdamW(decaying_groups(part), lr=rate, betas=(0.9, 0.99))
        for part, rate in ((policy, 1e-3), (critic, 1e-4))
    ]
    losses, grad_norms, critic_losses = [], [], []
    for samples in batches():
        with torch.no_grad():
            old = [plain_logprobs(policy, sample) for sample in samples]
            frozen = [plain_logprobs(reference, sample) for sample in samples]
            old_values = [critic(sample) for sample in samples]
        for half in (range(0, 7, 2), range(1, 7, 2)):
            num_tokens = sum(len(samples[index].response_token_ids) for index in half)
            loss = critic_loss = torch.zeros(())
            for index in half:
                sample = samples[index]
                logprobs, advantages = plain_logprobs(policy, sample), torch.tensor(sample.advantages)
                ratio = (logprobs - old[index]).exp()
                gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH) * advantages)
                weight = (old[index] - torch.tensor(sample.sampling_logprobs)).exp().clamp(max=2.0)
                away = frozen[index] - logprobs
                loss = loss + (-weight * gain + KL_COEFFICIENT * (away.exp() - 1 - away)).sum() / num_tokens
                values, returns = critic(sample), torch.tensor(sample.returns)
                near = old_values[index] + (values - old_values[index]).clamp(-VALUE_CLIP, VALUE_CLIP)
                errors = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
                critic_loss = critic_loss + errors.sum() / 2 / num_tokens
            (loss + critic_loss).backward()
            for optimizer, rates in zip(optimizers, (LEARNING_RATES, CRITIC_RATES), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rates[len(losses)]
            grad_norms.append(float(nn.utils.clip_grad_norm_(policy.parameters(), 0.5)))
            nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            critic_losses.append(critic_loss.item())
    with torch.no_grad():
        values = [critic(sample) for sample in batches()[0]]
    weights = {name: parameter.detach() for name, parameter in policy.named_parameters()}
    return Expected(weights=weights, losses=losses, grad_norms=grad_norms, critic_losses=critic_losses, values=values)
