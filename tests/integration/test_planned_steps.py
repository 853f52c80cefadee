"""Test an engine whose core plans a step ahead, as vLLM does on GPUs: versions stay exact, and texts are vLLM's own."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from vllm import SamplingParams
from vllm.inputs.engine import tokens_input
from vllm.outputs import RequestOutput

from actors.generation.engine import GenerationEngine, VllmDecoder
from quickstart.tiny import build_tiny_model
from tests.integration.test_token_versions import Models, is_drawn_so, request, run_steps
from tests.models.tiny import ModelWeights, change_weights, load_model, push, tiny_policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def models(folder: Path) -> Models:
    models = {version: load_model(folder) for version in (3, 4)}
    change_weights(models[4], seed=4)
    return models


@pytest.fixture
def engine(folder: Path) -> Iterator[GenerationEngine]:
    """Start an engine with a queue of two batches. vLLM's own switch for it is off on CPUs."""
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    engine._loop.call(_plan_ahead).result()
    yield engine
    engine.close()


def _plan_ahead(decoder: VllmDecoder) -> None:
    core = decoder._vllm.engine_core.engine_core  # type: ignore[attr-defined]
    core.batch_queue_size, core.batch_queue = 2, deque(maxlen=2)
    core.step_fn = core.step_with_batch_queue


def _num_queued(decoder: VllmDecoder) -> int:
    return len(decoder._vllm.engine_core.engine_core.batch_queue)  # type: ignore[attr-defined]


def test_a_step_under_way_ends_before_the_weights_change(engine: GenerationEngine, models: Models) -> None:
    (running,) = run_steps(engine, 3, request("across", max_tokens=40, seeds=(5, 6)), model=models[3], version=3)
    assert engine._loop.call(_num_queued).result() == 0
    push(ModelWeights(models[4]), engine, policy_version=4)
    for rollout in running.result():
        assert set(rollout.token_versions) == {3, 4}
        assert is_drawn_so(rollout, models)


def test_texts_are_those_of_vllm_itself(engine: GenerationEngine, models: Models) -> None:
    """Random weights draw every kind of token, many of them bytes that are no text."""
    push(ModelWeights(models[3]), engine, policy_version=3)
    asked = request("texts", seeds=tuple(range(32)), max_tokens=24)
    rollouts = engine.submit(asked).result()

    def by_vllm(decoder: VllmDecoder) -> dict[int, tuple[tuple[int, ...], str]]:
        found: dict[int, tuple[tuple[int, ...], str]] = {}
        for seed in asked.seeds:
            parameters = SamplingParams(temperature=asked.temperature, seed=seed, max_tokens=24)
            decoder._vllm.add_request(f"seed-{seed}", tokens_input(list(asked.prompt_token_ids)), parameters)
        while len(found) < len(asked.seeds):
            for output in decoder._vllm.step():
                assert isinstance(output, RequestOutput)
                if output.finished:
                    completion = output.outputs[0]
                    found[int(output.request_id.split("-")[1])] = tuple(completion.token_ids), completion.text
        return found

    expected = engine._loop.call(by_vllm).result()
    assert {
        seed: (rollout.token_ids, rollout.text) for seed, rollout in zip(asked.seeds, rollouts, strict=True)
    } == expected


def test_samples_go_on_after_the_engine_slept(engine: GenerationEngine, models: Models) -> None:
    """On a CPU vLLM frees nothing, but pauses, forgets the cache and computes it again as on a GPU."""
    (running,) = run_steps(engine, 3, request("across", max_tokens=40, seeds=(5, 6)), model=models[3], version=3)
    assert isinstance(engine.sleep().result(), bool)
    asked_meanwhile = engine.submit(request("meanwhile", max_tokens=2))
    engine.wake_weights().result()
    push(ModelWeights(models[4]), engine, policy_version=4)
    assert engine.heartbeat().result().busy_s >= 0 and not running.done() and not asked_meanwhile.done()
    engine.wake_cache().result()
    for rollout in running.result():
        assert set(rollout.token_versions) == {3, 4}
        assert rollout.token_versions[:3] == (3, 3, 3)
    assert set(asked_meanwhile.result()[0].token_versions) == {4}
