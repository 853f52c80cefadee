"""Test adapters on real ZeRO-3 ranks: training, reference, and what vLLM and an exported folder get.

Two learners with adapters take a few steps; a copy of the model in plain transformers and peft says what must come out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.weight_sync.buckets import learner_checksums
from contracts.rollouts import Rollout
from quickstart.tiny import build_tiny_model, tiny_tokenizer
from tests.integration.programs.lora_ranks import (
    ALPHA,
    BUCKET_BYTES,
    CHAT_TEMPLATE,
    RANK,
    Job,
    Outcome,
    a_row,
    finish,
    start,
)
from tests.models.tiny import PROMPT, expected_logprobs, push, request, tiny_policy


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tied")


@pytest.fixture(scope="module")
def untied_model(tied_model: Path) -> Path:
    """So wide that the learner takes its matrices apart: what has no more than 100,000 elements stays whole."""
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=512,
        intermediate_size=640,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    folder = tied_model.parent / "untied"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def jobs(tied_model: Path, untied_model: Path) -> dict[str, Job]:
    return {
        "whole": Job(model=tied_model, num_ranks=1, keep_whole_mib=1024, gradient_checkpointing=False),
        "sharded": Job(model=untied_model, num_ranks=2, keep_whole_mib=0, gradient_checkpointing=True),
    }


@pytest.fixture(scope="module")
def outcomes(jobs: dict[str, Job], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("outcomes")
    running = {name: start(job, folder / name) for name, job in jobs.items()}
    return {name: finish(ranks, folder / name) for name, ranks in running.items()}


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def with_adapters(job: Job, outcome: Outcome) -> PreTrainedModel:
    """Return the model on disk with the trained adapters on top of it, by plain peft in this process."""
    settings = peft.LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules="all-linear")
    causal = cast(PreTrainedModel, peft.inject_adapter_in_model(settings, load(job.model))).eval()
    adapters = {name: tensor for name, tensor in outcome.held.items() if ".lora_" in name}
    assert len(adapters) == 2 * 7 * 2
    causal.load_state_dict(adapters, strict=False)
    return causal


every_job = pytest.mark.parametrize("name", ["whole", "sharded"])


@every_job
def test_the_first_walk_is_the_checkpoint_under_its_own_names(
    outcomes: dict[str, Outcome], jobs: dict[str, Job], name: str
) -> None:
    outcome, expected = outcomes[name], dict(load(jobs[name].model).named_parameters())
    assert list(outcome.weights_before) == list(expected)
    assert outcome.metadata == [(key, torch.float32, tuple(tensor.shape)) for key, tensor in expected.items()]
    for key, tensor in expected.items():
        torch.testing.assert_close(outcome.weights_before[key], tensor.detach(), rtol=0, atol=0)


def test_the_model_was_sharded_where_it_should_be(outcomes: dict[str, Outcome]) -> None:
    whole, sharded = outcomes["whole"], outcomes["sharded"]
    assert whole.num_whole == len(whole.held)
    assert sharded.num_whole == len(sharded.held) - 16  # seven matrices in each of two layers, embedding, head


@every_job
def test_adapters_learn_and_nothing_else_does(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.losses[-1] < outcome.losses[0]
    for key, tensor in outcome.weights_before.items():
        own = key.replace("_proj.", "_proj.base_layer.")
        assert torch.equal(outcome.held[own], tensor), own
        assert torch.equal(outcome.weights_after[key], tensor) == ("_proj." not in key), key


@every_job
def test_the_walk_gives_the_weights_that_peft_merges(
    outcomes: dict[str, Outcome], jobs: dict[str, Job], name: str
) -> None:
    outcome = outcomes[name]
    causal = with_adapters(jobs[name], outcome)
    for layer in causal.modules():
        if isinstance(layer, peft.tuners.lora.Linear):
            layer.merge()
    for key, tensor in causal.named_parameters():
        if ".lora_" not in key:
            merged = outcome.weights_after[key.replace(".base_layer.", ".")]
            torch.testing.assert_close(merged, tensor.detach(), rtol=1e-6, atol=1e-7)


@every_job
def test_the_reference_is_the_base_model_before_and_after_training(
    outcomes: dict[str, Outcome], jobs: dict[str, Job], name: str
) -> None:
    before, after = outcomes[name].measured_before, outcomes[name].measured_after
    assert np.array_equal(before.reference_logprobs, before.logprobs)  # B is 0
    assert np.array_equal(after.reference_logprobs, before.reference_logprobs)
    assert np.abs(after.logprobs - after.reference_logprobs).max() > 0.1
    response = tuple(a_row(0).token_ids[len(PROMPT) :].tolist())
    base = expected_logprobs(load(jobs[name].model), response, temperature=1.0)
    trained = expected_logprobs(with_adapters(jobs[name], outcomes[name]), response, temperature=1.0)
    torch.testing.assert_close(torch.tensor(after.reference_logprobs), base, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.tensor(after.logprobs), trained, rtol=0, atol=1e-5)


def test_a_bucket_holds_no_more_than_its_limit_adapters_included(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["sharded"]
    assert len(outcome.bucket_names) > 5
    assert any(len(names) > 1 for names in outcome.bucket_names)
    for names in outcome.bucket_names:
        layers = [name.removesuffix(".weight") for name in names]
        gathered = sum(
            tensor.nbytes
            for key, tensor in outcome.held.items()
            if any(key.startswith(f"{layer}.") for layer in layers)
        )
        assert gathered <= BUCKET_BYTES or len(names) == 1


@every_job
def test_an_export_is_the_merged_model_with_tokenizer_and_the_given_template(
    outcomes: dict[str, Outcome], name: str
) -> None:
    outcome = outcomes[name]
    loaded, problems = cast(
        tuple[PreTrainedModel, dict[str, set[str]]],
        AutoModelForCausalLM.from_pretrained(outcome.exported, output_loading_info=True),
    )
    assert not problems["missing_keys"] and not problems["unexpected_keys"]
    for parameter, tensor in loaded.named_parameters():
        torch.testing.assert_close(tensor.detach(), outcome.weights_after[parameter], rtol=0, atol=0)
    tokenizer = AutoTokenizer.from_pretrained(outcome.exported)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert loaded.generation_config is not None
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id
    assert not [path.name for path in outcome.exported.iterdir() if "adapter" in path.name]


class Walked:
    """Serve buckets, as a learner's rank 0 gave them, as LearnerWeights."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return self._outcome.metadata

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        for names in self._outcome.bucket_names:
            yield [(name, self._outcome.weights_after[name]) for name in names]


def drawn(engine: GenerationEngine, request_id: str, *, temperature: float) -> Rollout:
    (rollout,) = engine.submit(request(request_id, max_tokens=48, temperature=temperature)).result()
    return rollout


@every_job
def test_what_is_pushed_as_adapters_are_the_trained_ones_with_their_scale(
    outcomes: dict[str, Outcome], name: str
) -> None:
    outcome = outcomes[name]
    expected = {}
    for key, tensor in outcome.held.items():
        layer, dot, side = key.partition(".lora_")
        if dot:
            side = side.removesuffix(".default.weight")
            expected[f"base_model.model.{layer}.lora_{side}.weight"] = tensor * (ALPHA / RANK if side == "B" else 1)
    assert outcome.pushed.keys() == expected.keys()
    assert outcome.pushed_metadata == [(key, torch.float32, tuple(each.shape)) for key, each in outcome.pushed.items()]
    for key, tensor in expected.items():
        torch.testing.assert_close(outcome.pushed[key], tensor, rtol=0, atol=0)


class Adapters:
    """Serve adapters, as a learner's rank 0 gave them, as LearnerWeights."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return self._outcome.pushed_metadata

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        yield list(self._outcome.pushed.items())


@every_job
def test_an_engine_with_adapters_says_what_peft_says(
    outcomes: dict[str, Outcome], jobs: dict[str, Job], name: str
) -> None:
    outcome = outcomes[name]
    engine = GenerationEngine(tiny_policy(jobs[name].model), device="cpu", weight_backend="adapters", lora_rank=RANK)
    push(Adapters(outcome), engine, policy_version=1)
    sample = drawn(engine, "push", temperature=1.0)
    checksums = engine.weight_checksums().result()
    engine.close()
    assert checksums == learner_checksums(Adapters(outcome))
    expected = expected_logprobs(with_adapters(jobs[name], outcome), sample.token_ids, temperature=1.0)
    torch.testing.assert_close(torch.tensor(sample.logprobs), expected, rtol=0, atol=1e-3)


@every_job
def test_an_engine_that_was_pushed_to_and_one_that_loads_the_export_say_the_same(
    outcomes: dict[str, Outcome], jobs: dict[str, Job], name: str
) -> None:
    outcome = outcomes[name]
    frozen = GenerationEngine(tiny_policy(outcome.exported), device="cpu")
    exported, exported_sample = (drawn(frozen, "export", temperature=temperature) for temperature in (0, 1.0))
    frozen.close()

    engine = GenerationEngine(tiny_policy(jobs[name].model), device="cpu", weight_backend="object_store")
    push(Walked(outcome), engine, policy_version=1)
    pushed, pushed_sample = (drawn(engine, "push", temperature=temperature) for temperature in (0, 1.0))
    engine.close()

    assert pushed.token_ids == exported.token_ids
    assert pushed_sample.token_ids == exported_sample.token_ids
    for ours, theirs in ((pushed, exported), (pushed_sample, exported_sample)):
        torch.testing.assert_close(torch.tensor(ours.logprobs), torch.tensor(theirs.logprobs), rtol=0, atol=1e-4)
    expected = expected_logprobs(with_adapters(jobs[name], outcome), pushed_sample.token_ids, temperature=1.0)
    torch.testing.assert_close(torch.tensor(pushed_sample.logprobs), expected, rtol=0, atol=1e-3)
    # The base model would have said something else.
    base = expected_logprobs(load(jobs[name].model), pushed_sample.token_ids, temperature=1.0)
    assert (expected - base).abs().max() > 0.1
