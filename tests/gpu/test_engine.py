"""Test vLLM on a GPU: sampling, log-probabilities, versions of tokens, weight updates, the mask of the vocabulary."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.weight_sync.buckets import WeightManifest, learner_checksums
from contracts.config.workers import EngineConfig, PivotConfig, PolicyConfig
from contracts.rollouts import Rollout
from quickstart.tiny import VOCABULARY, build_tiny_model
from tests.gpu.device import CLOSE, DEVICE, DTYPE, needs_gpus
from tests.integration.test_engine import build_padded_model
from tests.models.tiny import (
    ModelWeights,
    change_weights,
    expected_logprobs,
    load_model,
    push,
    request,
    tiny_policy,
)

pytestmark = needs_gpus(1)

NUM_PADDING = 48


def small_policy(folder: Path) -> PolicyConfig:
    return tiny_policy(folder).model_copy(update={"dtype": DTYPE, "gpu_memory_utilization": 0.2})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def models(folder: Path) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Return the model as it is, and one whose weights are all others. Both have the engine's number format."""
    old, new = load_model(folder), load_model(folder)
    change_weights(new, seed=1)
    dtype = getattr(torch, DTYPE)
    return old.to(dtype), new.to(dtype)


@pytest.fixture(scope="module")
def engine(folder: Path, models: tuple[PreTrainedModel, PreTrainedModel]) -> Iterator[GenerationEngine]:
    engine = GenerationEngine(small_policy(folder), device=DEVICE, weight_backend="object_store")
    push(ModelWeights(models[0]), engine, policy_version=1)
    yield engine
    engine.close()


def distance(model: PreTrainedModel, rollout: Rollout) -> float:
    """Return the mean distance of the engine's log-probabilities from those of transformers in fp32."""
    expected = expected_logprobs(model.float(), rollout.token_ids, temperature=0.7)
    return float((torch.tensor(rollout.logprobs) - expected).abs().mean())


def test_the_same_seeds_draw_the_same_tokens(engine: GenerationEngine) -> None:
    alone = engine.submit(request("alone", seeds=(1, 2, 3))).result()
    again = engine.submit(request("again", seeds=(1, 2, 3))).result()
    assert [rollout.token_ids for rollout in again] == [rollout.token_ids for rollout in alone]
    assert len({rollout.token_ids for rollout in alone}) == 3


def test_log_probabilities_are_those_of_transformers_before_and_after_an_update(
    folder: Path, engine: GenerationEngine, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    for version, weights in ((2, models[1]), (3, models[0])):
        push(ModelWeights(weights), engine, policy_version=version)
        (rollout,) = engine.submit(request(f"version-{version}", max_tokens=64)).result()
        assert set(rollout.token_versions) == {version}
        plain, changed = load_model(folder), load_model(folder)
        change_weights(changed, seed=1)
        served, other = (changed, plain) if version == 2 else (plain, changed)
        assert distance(served, rollout) < CLOSE
        assert distance(other, rollout) > 3 * CLOSE


def test_checksums_of_engine_and_learner_are_equal(
    engine: GenerationEngine, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    for version, weights in ((4, models[1]), (5, models[0])):
        push(ModelWeights(weights), engine, policy_version=version)
        assert engine.weight_checksums().result() == learner_checksums(ModelWeights(weights))


def test_tokens_carry_the_version_that_drew_them(
    engine: GenerationEngine, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    manifest = WeightManifest.of(ModelWeights(models[1]))
    first, across = engine.submit_all([request("first", max_tokens=2), request("across", seeds=(5, 6), max_tokens=200)])
    paused: Future[None] = Future()

    def pause(_: object) -> None:  # in the loop's thread, between two steps
        engine.start_weight_update(manifest).add_done_callback(lambda started: paused.set_result(started.result()))

    first.add_done_callback(pause)
    paused.result()
    assert not across.done()
    push(ModelWeights(models[1]), engine, policy_version=6)
    for rollout in across.result():
        assert rollout.token_versions[0] == 5 and rollout.token_versions[-1] == 6
        assert list(rollout.token_versions) == sorted(rollout.token_versions)


def test_rows_of_the_head_that_are_no_token_are_never_drawn(folder: Path, tmp_path: Path) -> None:
    padded = build_padded_model(folder, tmp_path / "padded", num_padding=NUM_PADDING)
    shared = set(EngineConfig.model_fields)
    engine = GenerationEngine(PivotConfig(**small_policy(padded).model_dump(include=shared)), device=DEVICE)
    sampled = engine.submit(request("sampled", seeds=tuple(range(8)))).result()
    greedy = engine.submit(request("greedy", temperature=0)).result()
    engine.close()
    assert max(token for rollout in (*sampled, *greedy) for token in rollout.token_ids) < VOCABULARY
