"""The real vLLM on a tiny random model: sampling, log-probabilities, refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from actors.engine import GenerationEngine
from actors.step_loop import DeadEngine, StaleEngine
from driver.config import PivotConfig
from quickstart.tiny import build_tiny_model
from tests.tiny_model import PROMPT, ModelWeights, expected_logprobs, load_model, push, request, tiny_policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    return load_model(folder)


@pytest.fixture(scope="module")
def engine(folder: Path, model: PreTrainedModel) -> Iterator[GenerationEngine]:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    push(ModelWeights(model), engine, policy_version=1)
    yield engine
    engine.close()


def test_same_seeds_draw_the_same_tokens_whatever_runs_beside_them(engine: GenerationEngine) -> None:
    alone = engine.submit(request("alone", seeds=(1, 2, 3))).result()
    crowd = engine.submit_all([request("other", seeds=(7, 8, 9, 10)), request("again", seeds=(1, 2, 3))])
    assert [rollout.token_ids for rollout in crowd[1].result()] == [rollout.token_ids for rollout in alone]


def test_different_seeds_draw_different_tokens(engine: GenerationEngine) -> None:
    group = engine.submit(request("seeds", seeds=(1, 2, 3, 4))).result()
    assert len({rollout.token_ids for rollout in group}) == 4


def test_group_comes_back_in_the_order_of_its_seeds(engine: GenerationEngine) -> None:
    forward = engine.submit(request("forward", seeds=(1, 2, 3))).result()
    backward = engine.submit(request("backward", seeds=(3, 2, 1))).result()
    assert [rollout.token_ids for rollout in backward] == [rollout.token_ids for rollout in reversed(forward)]


def test_more_samples_than_max_num_seqs_wait_their_turn(engine: GenerationEngine) -> None:
    groups = engine.submit_all([request(f"many-{index}", seeds=tuple(range(8))) for index in range(4)])
    assert [len(group.result()) for group in groups] == [8, 8, 8, 8]  # 32 samples, 16 at once
    assert engine.stats()["running"] == engine.stats()["waiting"] == 0


def test_logprobs_are_those_of_transformers_at_the_same_temperature(
    engine: GenerationEngine, model: PreTrainedModel
) -> None:
    for rollout in engine.submit(request("logprobs", seeds=(1, 2, 3), temperature=0.7)).result():
        expected = expected_logprobs(model, rollout.token_ids, temperature=0.7)
        assert torch.allclose(torch.tensor(rollout.logprobs), expected, atol=1e-3)


def test_temperature_zero_takes_the_most_likely_token(engine: GenerationEngine, model: PreTrainedModel) -> None:
    first, second = engine.submit(request("greedy", seeds=(1, 2), temperature=0)).result()
    with torch.no_grad():
        likely = model(torch.tensor([[*PROMPT, *first.token_ids]])).logits[0, len(PROMPT) - 1 : -1].argmax(-1)
    assert list(first.token_ids) == likely.tolist()
    assert first.token_ids == second.token_ids


def test_response_that_reaches_max_tokens_is_truncated(engine: GenerationEngine) -> None:
    (rollout,) = engine.submit(request("short", max_tokens=4)).result()
    assert (len(rollout.token_ids), rollout.finish_reason, rollout.is_truncated) == (4, "length", True)


def test_response_that_draws_end_of_sequence_stops_and_keeps_the_token(
    engine: GenerationEngine, model: PreTrainedModel
) -> None:
    # To random weights each of 512 tokens is about equally likely: of 64 x 64 draws some end the sequence.
    group = engine.submit(request("ends", seeds=tuple(range(64)), max_tokens=64, temperature=1)).result()
    stopped = [rollout for rollout in group if rollout.finish_reason == "stop"]
    assert stopped
    for rollout in stopped:
        assert rollout.token_ids[-1] == model.config.eos_token_id
        assert model.config.eos_token_id not in rollout.token_ids[:-1]


def test_rollouts_carry_the_version_of_the_weights(engine: GenerationEngine) -> None:
    assert {rollout.policy_version for rollout in engine.submit(request("version", seeds=(1, 2))).result()} == {1}


def test_stats_count_tokens_and_busy_time(engine: GenerationEngine) -> None:
    before = engine.stats()
    group = engine.submit(request("stats", seeds=(1, 2))).result()
    after = engine.stats()
    assert after["tokens"] - before["tokens"] == sum(len(rollout.token_ids) for rollout in group)
    assert after["busy_s"] > before["busy_s"]


def test_prompt_that_leaves_no_room_for_the_response_is_refused(engine: GenerationEngine) -> None:
    with pytest.raises(
        ValueError, match="prompt of 20 tokens leaves no room for a response of 240 in max_model_len 256"
    ):
        engine.submit(request("long", max_tokens=240))


def test_request_that_vllm_refuses_fails_alone(engine: GenerationEngine) -> None:
    with pytest.raises(ValueError, match="vLLM refuses it: temperature must be"):
        engine.submit(request("hot", temperature=100)).result()
    assert engine.submit(request("fine")).result()


def test_engine_without_weights_refuses_to_sample_and_a_closed_one_is_dead(folder: Path) -> None:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    assert engine.policy_version is None
    with pytest.raises(StaleEngine, match="has not received the learner's weights"):
        engine.submit(request("early"))
    engine.close()
    with pytest.raises(DeadEngine, match="closed"):
        engine.submit(request("late"))


def test_pivot_is_frozen_and_samples_at_once(folder: Path) -> None:
    config = PivotConfig(**tiny_policy(folder).model_dump(exclude={"temperature"}))
    engine = GenerationEngine(config, device="cpu")
    (rollout,) = engine.submit(request("pivot", temperature=0)).result()
    assert rollout.policy_version == 0
    with pytest.raises(ValueError, match="frozen"):
        engine.abandon_weight_update().result()
    engine.close()
