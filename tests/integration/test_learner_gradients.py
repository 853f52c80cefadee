"""Test that an optimiser step's gradient is the same for any packing, order, sharding and computation."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.batches import TrainBatch, TrainSample
from tests.integration.programs.learner_ranks import TEMPERATURE, Job, make_samples, on_ranks, packed

Gradient = dict[str, torch.Tensor]

WHOLE = (("keep_whole_mib", 1024),)
SHARDED = (("keep_whole_mib", 0),)
CHECKPOINTED = (*SHARDED, ("gradient_checkpointing", True))
SPLIT = (*CHECKPOINTED, ("sequence_parallel_size", 2))
RANKS = ("one rank", "whole", "sharded", "checkpointed", "split", "whole as on GPUs", "sharded as on GPUs")


def gradients(setup: RankSetup, place: RankPlace, batches: Mapping[str, TrainBatch]) -> dict[str, Gradient]:
    """Return the gradient of each batch by the name of its packing, on ranks that are started once."""
    from deepspeed.utils import safe_get_full_grad

    from actors.learning.policy_loss import LossSettings
    from actors.learning.process_group import join, leave
    from actors.learning.rank_models import build_models
    from actors.learning.rows import PolicyLosses

    join(place, timeout_s=60)
    models = build_models(setup, place)
    found: dict[str, Gradient] = {}
    for name, batch in batches.items():
        forward = models.on_whole_rows(models.policy.deepspeed)
        losses = PolicyLosses(forward, LossSettings.of(setup.algorithm), torch.device("cpu"))
        models.policy.accumulate(batch.rows[place.rank // setup.learner.sequence_parallel_size], losses)
        whole = {name: safe_get_full_grad(parameter) for name, parameter in models.causal.named_parameters()}
        found[name] = {name: gradient.clone() for name, gradient in whole.items() if gradient is not None}
        models.policy.discard()
    models.close()
    leave()
    return found


def dense_gradient(model: Path, samples: list[TrainSample]) -> Gradient:
    """By plain transformers, a sequence at a time: PPO's ratio is 1, so the surrogate's gradient is that of
    -w A log p, with w = min(exp(logp - logp_engine), 2), and each of the N response tokens counts 1 / N."""
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    num_tokens = sum(len(sample.response_token_ids) for sample in samples)
    for sample in samples:
        start = len(sample.prompt_token_ids)
        tokens = torch.tensor([sample.prompt_token_ids + sample.response_token_ids])
        logits = policy(tokens).logits[0, start - 1 : -1] / TEMPERATURE
        logprobs = logits.log_softmax(dim=-1).gather(-1, tokens[0, start:, None])[:, 0]
        weights = (logprobs.detach() - torch.tensor(sample.sampling_logprobs)).exp().clamp(max=2.0)
        loss = -(weights * torch.tensor(sample.advantages) * logprobs).sum() / num_tokens
        loss.backward()
    return {name: parameter.grad for name, parameter in policy.named_parameters() if parameter.grad is not None}


def difference(gradient: Gradient, expected: Gradient) -> float:
    """Return the largest difference of any element, over the largest element of its parameter."""
    assert gradient.keys() == expected.keys()
    return max(float((gradient[name] - expected[name]).abs().max() / expected[name].abs().max()) for name in expected)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quickstart.tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tied")


def make_siblings() -> list[TrainSample]:
    """Return five samples with one prompt of 12 tokens, longer than two of the responses, and two with another."""
    samples = make_samples()
    prompts = [samples[index].prompt_token_ids for index in (3, 3, 1, 3, 1, 3, 3)]
    return [replace(sample, prompt_token_ids=prompt) for sample, prompt in zip(samples, prompts, strict=True)]


def packings(samples: list[TrainSample], *, num_ranks: int) -> dict[str, TrainBatch]:
    truncated, siblings = replace(samples[1], is_truncated=True), make_siblings()
    return {
        "siblings": packed(siblings, num_ranks=num_ranks, row_tokens=45, share_prompts=True),
        "siblings in long rows": packed(siblings, num_ranks=num_ranks, row_tokens=200, share_prompts=True),
        "ragged": packed(samples, num_ranks=num_ranks),
        "long rows": packed(samples, num_ranks=num_ranks, row_tokens=200),
        "a row a sequence": packed(samples, num_ranks=num_ranks, row_tokens=44, is_padded=True),
        "one sequence": packed(samples[:1], num_ranks=num_ranks),
        "without the second": packed([samples[0], *samples[2:]], num_ranks=num_ranks),
        "second truncated": packed([samples[0], truncated, *samples[2:]], num_ranks=num_ranks),
    }


@pytest.fixture(scope="module")
def found(model: Path) -> dict[str, dict[str, Gradient]]:
    jobs = {
        "one rank": Job(model=model, num_ranks=1, learner=WHOLE),
        "whole": Job(model=model, learner=WHOLE),
        "sharded": Job(model=model, learner=SHARDED),
        "checkpointed": Job(model=model, learner=CHECKPOINTED),
        "split": Job(model=model, learner=SPLIT),
        "whole as on GPUs": Job(model=model, learner=WHOLE, reduces_as_on_gpus=True),
        "sharded as on GPUs": Job(model=model, learner=CHECKPOINTED, reduces_as_on_gpus=True),
    }
    samples = make_samples()
    return {
        name: on_ranks(job, gradients, packings(samples, num_ranks=job.setup().learner.data_parallel_size))[0]
        for name, job in jobs.items()
    }


@pytest.fixture(scope="module")
def expected(model: Path) -> Gradient:
    return dense_gradient(model, make_samples())


def shared_tokens(batch: TrainBatch) -> int:
    """Count tokens of prompts that are learned from and not in a row of their own."""
    return sum(segment.prompt_length for rows in batch.rows for row in rows for segment in row.segments)


def test_the_packings_are_what_their_names_say() -> None:
    one, two = (packings(make_samples(), num_ranks=num_ranks) for num_ranks in (1, 2))
    assert {name: len(batch.rows[0]) for name, batch in one.items()} == {
        "siblings": 5,
        "siblings in long rows": 1,
        "ragged": 5,
        "long rows": 1,
        "a row a sequence": 7,
        "one sequence": 1,
        "without the second": 4,
        "second truncated": 5,
    }
    assert [sum(row.loss_mask.any() for row in rows) for rows in two["one sequence"].rows] == [1, 0]  # a dummy
    assert [sum(row.loss_mask.any() for row in rows) for rows in two["a row a sequence"].rows] == [3, 4]
    assert all(row.token_ids.size == 44 for row in one["a row a sequence"].rows[0])
    # Of the 12-token prompt's five samples four need no prompt of their own, and of the 9-token prompt's two one.
    assert shared_tokens(one["siblings in long rows"]) == 4 * 12 + 9
    # On two ranks the first prompt lies in both rows; in short rows only the short responses have it in common.
    assert shared_tokens(two["siblings in long rows"]) == 3 * 12 + 9
    assert [shared_tokens(batches["siblings"]) for batches in (one, two)] == [2 * 12, 12]


@pytest.mark.parametrize("packing", ["ragged", "long rows", "a row a sequence"])
@pytest.mark.parametrize("ranks", RANKS)
def test_the_gradient_is_that_of_plain_torch_on_unpacked_sequences(
    found: dict[str, dict[str, Gradient]], expected: Gradient, ranks: str, packing: str
) -> None:
    assert difference(found[ranks][packing], expected) < 1e-5


@pytest.mark.parametrize("packing", ["siblings", "siblings in long rows"])
@pytest.mark.parametrize("ranks", RANKS)
def test_prompts_that_are_computed_once_give_the_gradient_of_unpacked_sequences(
    found: dict[str, dict[str, Gradient]], model: Path, ranks: str, packing: str
) -> None:
    assert difference(found[ranks][packing], dense_gradient(model, make_siblings())) < 1e-5


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_a_rank_with_nothing_but_a_dummy_row_adds_nothing(
    found: dict[str, dict[str, Gradient]], model: Path, ranks: str
) -> None:
    assert difference(found[ranks]["one sequence"], dense_gradient(model, make_samples(num_samples=1))) < 1e-5


@pytest.mark.parametrize("ranks", RANKS)
def test_a_masked_truncated_sequence_leaves_the_gradient_and_its_denominator(
    found: dict[str, dict[str, Gradient]], ranks: str
) -> None:
    assert difference(found[ranks]["second truncated"], found[ranks]["without the second"]) < 1e-5
    assert difference(found[ranks]["second truncated"], found[ranks]["ragged"]) > 0.1
