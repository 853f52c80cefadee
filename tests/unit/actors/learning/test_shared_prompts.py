"""Test that a prompt computed once for all its responses gives the numbers and gradients of separate prompts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from actors.learning.logprobs import HeadSettings
from actors.learning.lora import add_adapters
from actors.learning.policy_loss import LossSettings
from actors.learning.policy_model import PolicyModel, load_causal_model
from actors.learning.rows import NOTHING, CriticLosses, PolicyLosses, RowTensors, by_sequence, measured, predecessors
from actors.learning.value_model import load_value_model
from contracts.batches import PackedRow, Segment, TrainBatch, TrainSample
from contracts.config.learning import LoraConfig
from tests.builders import an_algorithm
from tests.models.random_models import TEMPERATURE
from tests.models.shared_prompts import FAMILIES, all_rows, difference, packed, samples, take_gradients
from tests.models.shared_prompts import write_model as write_family

CPU = torch.device("cpu")
SPLIT = ((1, 64), (2, 64), (1, 18), (3, 16))
"""(ranks, tokens of a row): all in one row; a row a rank; and the first prompt in several rows, or on several ranks."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_family(tmp_path, "llama")
    return tmp_path


def policy_of(folder: Path, *, gradient_checkpointing: bool = False, lora_rank: int = 0) -> PolicyModel:
    causal = load_causal_model(
        str(folder), dtype=torch.float32, device="cpu", gradient_checkpointing=gradient_checkpointing
    )
    if lora_rank:
        causal = add_adapters(causal, LoraConfig(rank=lora_rank), seed=1)
        with torch.no_grad():
            for name, parameter in causal.named_parameters():
                if "lora_B" in name:  # zero at first: no gradient would reach the other factor
                    parameter.normal_(0, 0.25)
    return PolicyModel(causal, HeadSettings(temperature=TEMPERATURE, chunk_tokens=5, entropy_gradient=True))


def plain_logprobs(model: PreTrainedModel, sample: TrainSample) -> torch.Tensor:
    """Return the log-probabilities of the response's tokens, from the sample alone."""
    start, token_ids = len(sample.prompt_token_ids), torch.tensor([sample.prompt_token_ids + sample.response_token_ids])
    logprobs = (model(token_ids).logits[0, start - 1 : -1] / TEMPERATURE).log_softmax(dim=-1)
    return logprobs.gather(1, token_ids[0, start:, None])[:, 0]


def logprobs_by_sample(model: PolicyModel, batch: TrainBatch) -> dict[int, torch.Tensor]:
    found = {}
    for row in all_rows(batch):
        tensors = RowTensors(row, CPU)
        logprobs, _ = model(tensors.inputs)
        found |= {int(index): logprobs[tensors.sequences == index] for index in tensors.sequences.unique()}
    return found


def test_the_packings_are_what_this_file_says() -> None:
    rows = {split: all_rows(packed(samples(), shares=True, num_ranks=split[0], row_tokens=split[1])) for split in SPLIT}
    (row,) = rows[1, 64]
    assert (row.token_ids.size, row.num_sequence_tokens) == (26 + 9, 26 + 20 + 6 + 1)
    assert max(row.token_ids.size for row in rows[3, 16]) <= 16
    holders = {split: [{0, 2, 4, 6} & {*row.sequence_ids.tolist()} for row in rows[split]] for split in SPLIT}
    assert [sum(map(bool, holders[split])) for split in SPLIT] == [1, 1, 2, 2]  # rows with the first prompt
    assert all(any(segment.prompt_length for row in rows[split] for segment in row.segments) for split in SPLIT)
    (repeated,) = all_rows(packed(samples(), shares=False))
    assert repeated.token_ids.size == 53 and not any(segment.prompt_length for segment in repeated.segments)


@pytest.mark.parametrize("split", [SPLIT[0], SPLIT[2]])
@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prompts_give_the_logprobs_and_gradients_of_each_sample_alone(
    tmp_path: Path, family: str, split: tuple[int, int]
) -> None:
    write_family(tmp_path, family)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    model = policy_of(tmp_path)
    found = logprobs_by_sample(model, packed(samples(), shares=True, num_ranks=split[0], row_tokens=split[1]))
    assert found.keys() == set(range(len(samples())))
    for index, sample in enumerate(samples()):
        expected, scale = plain_logprobs(plain, sample), torch.tensor(sample.advantages)
        torch.testing.assert_close(found[index], expected, atol=1e-5, rtol=0)
        (expected * scale).sum().backward()
        (found[index] * scale).sum().backward(retain_graph=True)
    assert difference(take_gradients(model.causal), take_gradients(plain)) < 1e-5


def run_policy(model: PolicyModel, settings: LossSettings, batch: TrainBatch) -> PolicyLosses:
    """Run all rows forward and backward."""
    losses = PolicyLosses(model, settings, CPU)
    for row in all_rows(batch):
        losses(row).backward()
    return losses


ALGORITHMS: dict[str, dict[str, object]] = {
    "token": {"aggregation": "token", "dual_clip": 3.0},
    "sequence": {"aggregation": "sequence", "kl": "loss", "kl_coefficient": 0.2},
    "constant": {"aggregation": "constant", "kl": "loss", "kl_estimator": "k2", "importance": "sequence_mask"},
    "gspo": {"loss": "gspo", "aggregation": "sequence"},
    "cispo": {"loss": "cispo", "aggregation": "token", "importance": "off"},
    "sft": {"name": "sft", "aggregation": "sequence"},
    "masked, entropy": {"aggregation": "token", "mask_truncated": True, "entropy_coefficient": 0.1},
    "masked, sequence": {"aggregation": "sequence", "mask_truncated": True},
}


@pytest.mark.parametrize("split", [SPLIT[0], SPLIT[3]])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_loss_gradients_and_metrics_are_those_of_rows_that_repeat_prompts(
    folder: Path, algorithm: str, split: tuple[int, int]
) -> None:
    config = an_algorithm(**{"steps": 1, **ALGORITHMS[algorithm]})
    settings, model = LossSettings.of(config), policy_of(folder)
    shared, repeated = (
        packed(
            samples(measured=True),
            shares=shares,
            num_ranks=split[0],
            row_tokens=split[1],
            aggregation=config.aggregation,
            mask_truncated=bool(ALGORITHMS[algorithm].get("mask_truncated")),
        )
        for shares in (True, False)
    )
    expected = run_policy(model, settings, repeated)
    expected_gradients = take_gradients(model)
    found = run_policy(model, settings, shared)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6, abs=1e-6)
    assert difference(take_gradients(model), expected_gradients) < 1e-5
    metrics, wanted = (losses.totals.per_token(shared.num_loss_tokens) for losses in (found, expected))
    assert metrics == pytest.approx(wanted, rel=1e-5, abs=1e-6) and shared.num_loss_tokens == 26


@pytest.mark.parametrize(("gradient_checkpointing", "lora_rank"), [(True, 0), (False, 2), (True, 2)])
def test_adapters_and_checkpointing_change_nothing(folder: Path, gradient_checkpointing: bool, lora_rank: int) -> None:
    settings = LossSettings.of(an_algorithm())
    model = policy_of(folder, gradient_checkpointing=gradient_checkpointing, lora_rank=lora_rank)
    expected = run_policy(model, settings, packed(samples(), shares=False))
    expected_gradients = take_gradients(model)
    assert any("lora_A" in name for name in expected_gradients) == bool(lora_rank)
    found = run_policy(model, settings, packed(samples(), shares=True, num_ranks=2))
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)
    assert difference(take_gradients(model), expected_gradients) < 1e-5


@pytest.mark.parametrize("split", [SPLIT[1], SPLIT[2]])
def test_a_critic_has_the_values_loss_and_gradients_of_rows_that_repeat_prompts(
    folder: Path, split: tuple[int, int]
) -> None:
    critic = load_value_model(str(folder), dtype=torch.float32, device="cpu")
    torch.manual_seed(9)
    torch.nn.init.normal_(critic.head.weight)
    found: list[tuple[dict[int, np.ndarray], float, dict[str, torch.Tensor]]] = []
    for shares in (True, False):
        batch = packed(samples(measured=True), shares=shares, num_ranks=split[0], row_tokens=split[1])
        losses, rows = CriticLosses(critic, 0.2, CPU), all_rows(batch)
        for row in rows:
            losses(row).backward()
        with torch.no_grad():
            values = {
                index: measures.values
                for row, of_row in zip(rows, measured(rows, critic, CPU), strict=True)
                for index, measures in by_sequence(row, logprobs=of_row, reference=NOTHING, values=of_row)
            }
        found.append((values, losses.loss.item(), take_gradients(critic)))
    (values, loss, gradients), (expected, expected_loss, expected_gradients) = found
    assert values.keys() == expected.keys() == set(range(7))
    for index, of_sample in expected.items():
        assert values[index] == pytest.approx(of_sample, abs=1e-5)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert difference(gradients, expected_gradients) < 1e-5


def test_no_response_sees_another_to_the_same_prompt(folder: Path) -> None:
    model, given = policy_of(folder), samples()
    others = tuple(3 + token % 40 for token in given[0].response_token_ids)
    changed = [replace(given[0], response_token_ids=others), *given[1:]]
    first, second = (logprobs_by_sample(model, packed(batch, shares=True)) for batch in (given, changed))
    assert not torch.allclose(first[0], second[0], atol=1e-2)
    for index in range(1, len(given)):
        torch.testing.assert_close(first[index], second[index], atol=1e-6, rtol=0)


def test_a_responses_first_token_is_predicted_by_the_last_of_its_prompt() -> None:
    nothing = np.zeros(0, dtype=np.float32)
    row = PackedRow(
        token_ids=np.arange(10),
        position_ids=np.array([0, 1, 2, 3, 0, 1, 2, 2, 3, 0]),
        # p p p r | p p r | r r, after the second prompt (4 and 5) | padding
        segments=(Segment(4), Segment(3), Segment(2, prompt_start=4, prompt_length=2), Segment(1)),
        loss_mask=np.array([0, 0, 0, 1, 0, 0, 1, 1, 1, 0], dtype=np.bool_),
        loss_weights=np.ones(10, dtype=np.float32),
        sampling_logprobs=np.zeros(10, dtype=np.float32),
        advantages=np.zeros(10, dtype=np.float32),
        sequence_ids=np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, -1]),
        old_logprobs=nothing,
        reference_logprobs=nothing,
        returns=nothing,
        old_values=nothing,
    )
    assert predecessors(row).tolist() == [-1, 0, 1, 2, -1, 4, 5, 5, 7, -1]
    inputs = RowTensors(row, CPU).inputs
    assert (inputs.targets.tolist(), inputs.sources.tolist()) == ([3, 6, 7, 8], [2, 5, 5, 7])
    assert row.num_sequence_tokens == 4 + 3 + (2 + 2)
