"""Test that the real vLLM computes with exactly the weights that arrive, tensor by tensor."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.generation.step_loop import StaleEngine
from actors.weight_sync.buckets import WeightManifest, learner_checksums
from contracts.rollouts import Rollout, SamplingRequest
from quickstart.tiny import build_tiny_model
from tests.models.tiny import (
    ModelWeights,
    change_weights,
    expected_logprobs,
    load_model,
    push,
    request,
    tiny_policy,
)
from tests.refusals import raised

K_PROJ = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[GenerationEngine]:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    yield engine
    engine.close()


@pytest.fixture
def old(folder: Path) -> PreTrainedModel:
    return load_model(folder)


@pytest.fixture
def new(folder: Path) -> PreTrainedModel:
    model = load_model(folder)
    change_weights(model, seed=1)
    return model


def greedy(engine: GenerationEngine, name: str) -> tuple[int, ...]:
    (rollout,) = engine.submit(request(name, temperature=0)).result()
    return rollout.token_ids


def test_changed_weights_change_the_text_and_the_old_ones_bring_it_back(
    engine: GenerationEngine, old: PreTrainedModel, new: PreTrainedModel
) -> None:
    push(ModelWeights(old), engine, policy_version=1)
    before = greedy(engine, "before")
    push(ModelWeights(new), engine, policy_version=2)
    assert greedy(engine, "changed") != before
    push(ModelWeights(old), engine, policy_version=3)
    assert greedy(engine, "after") == before


def test_engine_computes_with_the_new_weights_in_every_layer(engine: GenerationEngine, new: PreTrainedModel) -> None:
    # The output layer is tied to the embedding, and vLLM computes with a packed copy of it: the copy must be renewed.
    push(ModelWeights(new), engine, policy_version=4)
    (rollout,) = engine.submit(request("new", temperature=0.7)).result()
    expected = expected_logprobs(new, rollout.token_ids, temperature=0.7)
    assert torch.allclose(torch.tensor(rollout.logprobs), expected, atol=1e-3)
    assert rollout.policy_version == 4


def test_the_output_head_has_a_packed_copy_and_the_embedding_has_none(
    engine: GenerationEngine, new: PreTrainedModel
) -> None:
    push(ModelWeights(new), engine, policy_version=5)
    (packed,) = engine._loop.call(lambda decoder: decoder._vllm.apply_model(packed_vocabularies)).result()
    assert packed == ["lm_head"]


def packed_vocabularies(model: nn.Module) -> list[str]:
    """Return the layers with a row for each token that compute with something else than their weights as they are."""
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, VocabParallelEmbedding)}
    return [name for name, layer in layers.items() if layer.cpu_linear is not nn.functional.linear]


def test_checksums_of_engine_and_learner_are_equal(
    engine: GenerationEngine, old: PreTrainedModel, new: PreTrainedModel
) -> None:
    push(ModelWeights(new), engine, policy_version=5)
    checksums = engine.weight_checksums().result()
    assert checksums == learner_checksums(ModelWeights(new))
    others = learner_checksums(ModelWeights(old))
    assert all(checksums[name] != others[name] for name in checksums)


def run_one_token(
    engine: GenerationEngine, long: SamplingRequest, *, weights: ModelWeights, policy_version: int
) -> "Future[tuple[Rollout, ...]]":
    """Push the weights, and begin another update after the first token of `long`: the engine waits there, paused."""
    manifest = WeightManifest.of(weights)
    engine.start_weight_update(manifest).result()  # nothing runs before the push below is finished
    one_token, result = engine.submit_all([request(f"{long.request_id}-one-token", max_tokens=1), long])
    paused: Future[None] = Future()

    def pause(_: object) -> None:  # in the loop's thread, between the first step and the second
        engine.start_weight_update(manifest).add_done_callback(lambda started: paused.set_result(started.result()))

    one_token.add_done_callback(pause)
    push(weights, engine, policy_version=policy_version)
    paused.result()
    assert not result.done()
    return result


def test_update_between_two_steps_lets_running_requests_finish(
    engine: GenerationEngine, old: PreTrainedModel, new: PreTrainedModel
) -> None:
    push(ModelWeights(old), engine, policy_version=6)
    long = {"seeds": (5, 6), "max_tokens": 200, "temperature": 0.7}
    under_old = engine.submit(request("under-old", **long)).result()
    running = run_one_token(engine, request("across", **long), weights=ModelWeights(old), policy_version=6)
    push(ModelWeights(new), engine, policy_version=7)
    across = running.result()
    under_new = engine.submit(request("under-new", **long)).result()
    assert {rollout.token_versions[:2] for rollout in across} == {(6, 7)}
    for kept, first, second in zip(across, under_old, under_new, strict=True):
        assert kept.finish_reason in ("stop", "length")
        assert kept.token_ids[0] == first.token_ids[0] != second.token_ids[0]  # it began with the old weights
        assert kept.token_ids != first.token_ids  # and did not end with them


def test_tensor_that_does_not_arrive_is_named_and_leaves_the_engine_stale(
    engine: GenerationEngine, old: PreTrainedModel
) -> None:
    with raised(ValueError, "8", K_PROJ):
        push(ModelWeights(old, leave_out=K_PROJ), engine, policy_version=8)
    with pytest.raises(StaleEngine):
        engine.submit(request("stale"))
    push(ModelWeights(old), engine, policy_version=9)
    assert engine.weight_checksums().result() == learner_checksums(ModelWeights(old))


def test_manifest_that_does_not_cover_the_model_is_refused_before_anything_changes(
    engine: GenerationEngine, old: PreTrainedModel
) -> None:
    push(ModelWeights(old), engine, policy_version=10)
    with raised(ValueError, K_PROJ):
        push(ModelWeights(old, unannounced=K_PROJ), engine, policy_version=11)
    (rollout,) = engine.submit(request("still")).result()
    assert rollout.policy_version == 10


def test_tensor_of_another_shape_than_announced_is_refused(engine: GenerationEngine, old: PreTrainedModel) -> None:
    class Lying(ModelWeights):
        def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
            return [
                (name, dtype, (1, *shape) if name == K_PROJ else shape) for name, dtype, shape in super().metadata()
            ]

    with raised(ValueError, K_PROJ, "[64, 128]", "[1, 64, 128]"):
        push(Lying(old), engine, policy_version=12)
    with pytest.raises(StaleEngine):
        engine.submit(request("stale"))


def test_update_left_half_done_does_not_hinder_the_next(engine: GenerationEngine, new: PreTrainedModel) -> None:
    engine.start_weight_update(WeightManifest.of(ModelWeights(new))).result()
    held = engine.submit(request("held"))  # waits for the update instead of failing
    push(ModelWeights(new), engine, policy_version=13)
    assert held.result()[0].policy_version == 13


def test_samples_under_way_fail_when_an_update_does(engine: GenerationEngine, old: PreTrainedModel) -> None:
    doomed = request("doomed", seeds=(5, 6), max_tokens=200)
    running = run_one_token(engine, doomed, weights=ModelWeights(old), policy_version=14)
    with raised(ValueError):
        push(ModelWeights(old, leave_out=K_PROJ), engine, policy_version=15)
    with pytest.raises(StaleEngine):
        running.result()
