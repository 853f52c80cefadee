"""Test weights that change during samples of the real vLLM: which version drew each token, from which cache."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.generation.step_loop import StaleEngine
from actors.weight_sync.buckets import WeightManifest
from contracts.rollouts import Rollout, SamplingRequest
from quickstart.tiny import build_tiny_model
from tests.models.tiny import ModelWeights, change_weights, load_model, push, tiny_policy
from tests.refusals import raised

PROMPT = tuple(range(40, 180))  # longer than a block of 128 tokens: vLLM would reuse its keys and values
TEMPERATURE = 0.7

Models = dict[int, PreTrainedModel]  # by version


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def models(folder: Path) -> Models:
    """Weights far apart: where one draws, the others' log-probabilities are another's by much more than rounding."""
    models = {version: load_model(folder) for version in (3, 4, 5)}
    for seed in (4, 5):
        change_weights(models[seed], seed=seed)
    return models


@pytest.fixture
def engine(folder: Path) -> Iterator[GenerationEngine]:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    yield engine
    engine.close()


def request(
    request_id: str, *, seeds: Sequence[int] = (1,), max_tokens: int, prompt: tuple[int, ...] = PROMPT
) -> SamplingRequest:
    return SamplingRequest(
        request_id=request_id,
        prompt_token_ids=prompt,
        seeds=tuple(seeds),
        max_tokens=max_tokens,
        temperature=TEMPERATURE,
    )


def run_steps(
    engine: GenerationEngine, num_steps: int, *requests: SamplingRequest, model: PreTrainedModel, version: int
) -> "list[Future[tuple[Rollout, ...]]]":
    """Push the model, let the requests begin, and pause the engine after so many steps, at the start of an update."""
    weights = ModelWeights(model)
    manifest = WeightManifest.of(weights)
    engine.start_weight_update(manifest).result()  # so that all begin in one step, when the push below is finished
    clock, *groups = engine.submit_all([request(f"clock-{version}", max_tokens=num_steps, prompt=(5, 6)), *requests])
    paused: Future[None] = Future()

    def pause(_: object) -> None:  # in the loop's thread, between two steps
        engine.start_weight_update(manifest).add_done_callback(lambda started: paused.set_result(started.result()))

    clock.add_done_callback(pause)
    push(weights, engine, policy_version=version)
    paused.result()
    assert len(clock.result()[0].token_ids) == num_steps
    return groups


def expected_logprobs(rollout: Rollout, models: Models, *, prompt: tuple[int, ...] = PROMPT) -> torch.Tensor:
    """By plain forwards of transformers: each version reads the keys and values that the versions before it left."""
    tokens, cache, logits, start = (*prompt, *rollout.token_ids), DynamicCache(), [], 0
    end = len(prompt) - 1  # the first token is drawn when the last one of the prompt is read
    for version, drawn in groupby(rollout.token_versions):
        end += len(list(drawn))
        with torch.no_grad():
            read = models[version](torch.tensor([tokens[start:end]]), past_key_values=cache, use_cache=True)
        logits.append(read.logits[0])
        start = end
    drawn_from = torch.cat(logits)[len(prompt) - 1 :] / TEMPERATURE
    return torch.log_softmax(drawn_from, dim=-1).gather(1, torch.tensor(rollout.token_ids)[:, None])[:, 0]


def is_drawn_so(rollout: Rollout, models: Models, *, prompt: tuple[int, ...] = PROMPT) -> bool:
    expected = expected_logprobs(rollout, models, prompt=prompt)
    return torch.allclose(torch.tensor(rollout.logprobs), expected, atol=1e-4)


def test_tokens_carry_the_version_that_drew_them_and_its_log_probability(
    engine: GenerationEngine, models: Models
) -> None:
    (running,) = run_steps(engine, 3, request("across", max_tokens=40, seeds=(5, 6)), model=models[3], version=3)
    push(ModelWeights(models[4]), engine, policy_version=4)
    for rollout in running.result():
        assert rollout.token_versions == (3,) * 3 + (4,) * (len(rollout.token_ids) - 3)
        assert (rollout.policy_version, rollout.last_policy_version) == (3, 4)
        assert len(rollout.token_ids) > 3
        assert is_drawn_so(rollout, models)
        # Had the old weights drawn them, or the new ones computed all keys and values anew, these would be others.
        after = torch.tensor(rollout.logprobs)[3:]
        for other in (3, 4):
            alone = expected_logprobs(rollout, {3: models[other], 4: models[other]})[3:]
            assert not torch.allclose(after, alone, atol=1e-3)


def test_two_updates_during_one_sample_leave_three_versions(engine: GenerationEngine, models: Models) -> None:
    (running,) = run_steps(engine, 2, request("across", max_tokens=30), model=models[3], version=3)
    assert run_steps(engine, 4, model=models[4], version=4) == []
    push(ModelWeights(models[5]), engine, policy_version=5)
    (rollout,) = running.result()
    assert rollout.token_versions == (3,) * 2 + (4,) * 4 + (5,) * (len(rollout.token_ids) - 6)
    assert rollout.last_policy_version == 5
    assert is_drawn_so(rollout, models)


def test_requests_that_come_while_an_update_is_open_wait_for_its_version(
    engine: GenerationEngine, models: Models
) -> None:
    run_steps(engine, 2, model=models[3], version=3)
    held = engine.submit(request("held", max_tokens=10))
    push(ModelWeights(models[4]), engine, policy_version=4)
    (rollout,) = held.result()
    assert set(rollout.token_versions) == {4}
    assert is_drawn_so(rollout, models)


def test_samples_that_wait_for_their_turn_begin_with_the_new_weights_prompt_included(
    engine: GenerationEngine, models: Models
) -> None:
    # max_num_seqs is 16: of 24 samples some wait. They must not read the prompt as the old weights saw it.
    (running,) = run_steps(engine, 3, request("many", seeds=range(24), max_tokens=12), model=models[3], version=3)
    push(ModelWeights(models[4]), engine, policy_version=4)
    rollouts = running.result()
    began = [rollout.policy_version for rollout in rollouts]
    assert began == sorted(began)
    assert set(began) == {3, 4}
    for rollout in rollouts:
        assert is_drawn_so(rollout, models)


def test_keys_and_values_of_a_sample_that_an_update_overtook_are_not_reused(
    engine: GenerationEngine, models: Models
) -> None:
    (running,) = run_steps(engine, 3, request("across", max_tokens=60), model=models[3], version=3)
    push(ModelWeights(models[4]), engine, policy_version=4)
    (across,) = running.result()
    prompt = (*PROMPT, *across.token_ids)
    (rollout,) = engine.submit(request("after", max_tokens=10, prompt=prompt)).result()
    assert set(rollout.token_versions) == {4}
    assert is_drawn_so(rollout, models, prompt=prompt)


def test_other_weights_under_the_same_version_do_not_reuse_its_keys_and_values(
    engine: GenerationEngine, models: Models
) -> None:
    # As after a restart of the learner, which may do an optimiser step again and end elsewhere.
    (running,) = run_steps(engine, 3, request("across", max_tokens=60), model=models[3], version=4)
    push(ModelWeights(models[4]), engine, policy_version=4)
    (rollout,) = engine.submit(request("after", max_tokens=10)).result()
    assert is_drawn_so(rollout, models)
    assert set(running.result()[0].token_versions) == {4}


def test_weights_that_go_back_leave_no_sample_of_the_newer_ones(engine: GenerationEngine, models: Models) -> None:
    (running,) = run_steps(engine, 3, request("across", max_tokens=60), model=models[5], version=5)
    held = engine.submit(request("held", max_tokens=4))
    push(ModelWeights(models[4]), engine, policy_version=4)
    with raised(StaleEngine, "5", "4"):
        running.result()
    assert set(held.result()[0].token_versions) == {4}
