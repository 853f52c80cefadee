"""Test the real vLLM on a tiny random model: sampling, log-probabilities, answer probabilities, refusals."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.learning.logprobs import HeadSettings
from actors.learning.policy_model import PolicyModel, load_causal_model, num_drawable_tokens
from actors.learning.rows import RowInputs
from contracts.batches import Segment
from contracts.config.workers import EngineConfig, PivotConfig
from contracts.rollouts import AnswerProbabilityRequest
from quickstart.tiny import build_tiny_model
from tests.models.tiny import (
    PROMPT,
    ModelWeights,
    change_weights,
    expected_logprobs,
    load_model,
    push,
    request,
    tiny_policy,
)
from tests.refusals import raised

ANSWER = (7, 300, 41)
PROMPTS = (PROMPT, (*PROMPT, *range(100, 150)), tuple(range(5, 205)), PROMPT)  # one twice, one that begins alike


def answer_request(
    request_id: str, *, prompts: tuple[tuple[int, ...], ...] = PROMPTS, answer: tuple[int, ...] = ANSWER
) -> AnswerProbabilityRequest:
    return AnswerProbabilityRequest(request_id=request_id, prompts=prompts, answer_token_ids=answer)


def expected_probabilities(model: PreTrainedModel, *, answer: tuple[int, ...] = ANSWER) -> list[float]:
    """Return the answer's token probabilities after each of PROMPTS, by transformers at temperature 1."""
    expected = []
    for prompt in PROMPTS:
        with torch.no_grad():
            probabilities = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].softmax(-1)
        expected.append(float(probabilities.gather(1, torch.tensor(answer)[:, None]).mean()))
    return expected


def tiny_pivot(folder: Path) -> PivotConfig:
    """Start the tiny policy's engine, frozen."""
    shared = set(EngineConfig.model_fields)
    return PivotConfig(**tiny_policy(folder).model_dump(include=shared))


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


def test_every_token_carries_the_version_of_the_weights(engine: GenerationEngine) -> None:
    for rollout in engine.submit(request("version", seeds=(1, 2))).result():
        assert rollout.token_versions == (1,) * len(rollout.token_ids)


def test_a_prompt_that_opens_thinking_makes_an_unclosed_response_thinking(
    folder: Path, engine: GenerationEngine
) -> None:
    opening = tuple(AutoTokenizer.from_pretrained(folder).encode("<think>\n", add_special_tokens=False))
    asked = request("thinking", seeds=(1, 2))
    for rollout in engine.submit(replace(asked, prompt_token_ids=PROMPT + opening)).result():
        assert rollout.text == ""
        assert rollout.num_thinking_tokens == len(rollout.token_ids)
    (plain,) = engine.submit(request("plain")).result()
    assert (plain.thinking, plain.num_thinking_tokens) == ("", 0) and plain.text


def test_stats_count_tokens_and_busy_time(engine: GenerationEngine) -> None:
    before, begun = engine.stats(), engine.heartbeat().result()
    group = engine.submit(request("stats", seeds=(1, 2))).result()
    after, done = engine.stats(), engine.heartbeat().result()
    drawn = sum(len(rollout.token_ids) for rollout in group)
    assert after["tokens"] - before["tokens"] == drawn
    assert after["busy_s"] > before["busy_s"]
    assert done.work - begun.work >= drawn + 2 * len(PROMPT) and done.turns > begun.turns
    assert done.busy_s - begun.busy_s == pytest.approx(after["busy_s"] - before["busy_s"])


def test_prompt_that_leaves_no_room_for_the_response_is_refused(engine: GenerationEngine) -> None:
    with raised(ValueError, "20", "240", "256"):
        engine.submit(request("long", max_tokens=240))


def test_request_that_vllm_refuses_fails_alone(engine: GenerationEngine) -> None:
    with raised(ValueError, "temperature"):
        engine.submit(request("hot", temperature=100)).result()
    assert engine.submit(request("fine")).result()


def test_answer_probabilities_are_those_of_transformers_beside_samples_that_stay_the_same(
    engine: GenerationEngine, model: PreTrainedModel
) -> None:
    alone = engine.submit(request("alone", seeds=(1, 2, 3), max_tokens=64)).result()
    sampling = engine.submit(request("beside", seeds=(1, 2, 3), max_tokens=64))
    answers = [engine.answer_probabilities(answer_request(f"answer-{index}")) for index in range(3)]
    assert [rollout.token_ids for rollout in sampling.result()] == [rollout.token_ids for rollout in alone]
    expected = expected_probabilities(model)
    assert len({round(value, 6) for value in expected}) == 3  # one of the four prompts is there twice
    for answer in answers:
        assert answer.result() == pytest.approx(expected, rel=1e-4)
    assert engine.stats()["running"] == engine.stats()["waiting"] == 0


def test_log_likelihoods_after_a_shared_context_are_those_of_transformers(
    engine: GenerationEngine, model: PreTrainedModel
) -> None:
    """A block of the cache has 128 tokens here. The last two share one that reaches into their answers."""
    context, other = tuple(range(20, 180)), tuple(range(20, 120))
    pairs = [(context, answer) for answer in ((7, 300, 41), (7, 300, 42), (9,), (7, 300, 41))]
    pairs += [(other, (*range(120, 160), last)) for last in (50, 51)]
    requests = [
        AnswerProbabilityRequest(request_id=f"{i}", prompts=(p,), answer_token_ids=a, measure="log_likelihood")
        for i, (p, a) in enumerate(pairs)
    ]
    answers = [engine.answer_probabilities(request) for request in requests]
    for (prompt, answer), found in zip(pairs, answers, strict=True):
        with torch.no_grad():
            logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = float(logprobs.gather(1, torch.tensor(answer)[:, None]).sum())
        assert found.result() == pytest.approx([expected], abs=1e-3)


def test_a_likely_answer_is_worth_more_than_an_unlikely_one(engine: GenerationEngine, model: PreTrainedModel) -> None:
    (rollout,) = engine.submit(request("likely", temperature=0, max_tokens=3)).result()
    likely, unlikely = rollout.token_ids, ANSWER
    found = [engine.answer_probabilities(answer_request("x", answer=answer)).result() for answer in (likely, unlikely)]
    assert found[0][0] == pytest.approx(expected_probabilities(model, answer=likely)[0], rel=1e-4)
    assert found[0][0] > 1.2 * found[1][0]


def test_prompt_that_leaves_no_room_for_the_answer_has_no_probability(
    engine: GenerationEngine, model: PreTrainedModel
) -> None:
    # max_model_len is 256 and vLLM draws one token more: 252 and 3 fit, 253 and 3 don't.
    fits, too_long = tuple(range(252)), tuple(range(253))
    found = engine.answer_probabilities(answer_request("long", prompts=(too_long, PROMPT, fits))).result()
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(expected_probabilities(model)[0], rel=1e-4)
    assert 0 < found[2] < 1
    (alone,) = engine.answer_probabilities(answer_request("alone", prompts=(too_long,))).result()
    assert math.isnan(alone)


def test_answer_or_prompt_without_a_token_is_refused(engine: GenerationEngine) -> None:
    with raised(ValueError, "0"):
        engine.answer_probabilities(answer_request("empty", answer=()))
    with raised(ValueError, "2", "0"):
        engine.answer_probabilities(answer_request("bare", prompts=(PROMPT, ())))


def test_answer_probabilities_follow_the_weights(folder: Path) -> None:
    model = load_model(folder)
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    with raised(StaleEngine):
        engine.answer_probabilities(answer_request("early"))
    found = []
    for version in (1, 2):
        change_weights(model, seed=version)
        sampling = engine.submit(request(f"sampled-{version}", max_tokens=64)) if version > 1 else None
        push(ModelWeights(model), engine, policy_version=version)
        found.append(engine.answer_probabilities(answer_request(f"answer-{version}")).result())
        assert found[-1] == pytest.approx(expected_probabilities(model), rel=1e-4)
        assert sampling is None or len(sampling.result()) == 1
    assert found[0] != pytest.approx(found[1], rel=1e-2)
    engine.close()


def test_engine_without_weights_refuses_to_sample_and_a_closed_one_is_dead(folder: Path) -> None:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="object_store")
    assert engine.policy_version is None
    with raised(StaleEngine):
        engine.submit(request("early"))
    engine.close()
    with raised(DeadEngine):
        engine.submit(request("late"))


def test_pivot_is_frozen_samples_at_once_and_ends_at_a_stop_token(folder: Path, model: PreTrainedModel) -> None:
    with torch.no_grad():
        (first,) = model(torch.tensor([PROMPT])).logits[0, -1:].argmax(-1).tolist()
    stop = AutoTokenizer.from_pretrained(folder).decode([first])
    config = tiny_pivot(folder).model_copy(update={"stop_tokens": (stop,)})
    engine = GenerationEngine(config, device="cpu")
    (rollout,) = engine.submit(request("pivot", temperature=0)).result()
    assert set(rollout.token_versions) == {0}
    assert (rollout.token_ids, rollout.finish_reason) == ((first,), "stop")
    with raised(ValueError):
        engine.abandon_weight_update().result()
    engine.close()


def build_padded_model(plain: Path, folder: Path, *, num_padding: int) -> Path:
    """Build the tiny model with an untied head of more rows than token ids; the extra rows are by far the likeliest."""
    config = LlamaConfig.from_pretrained(plain)
    config.tie_word_embeddings, config.vocab_size = False, config.vocab_size + num_padding
    torch.manual_seed(3)
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        model.lm_head.weight[-num_padding:] *= 100  # of so many random rows some fit any hidden state
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(plain).save_pretrained(folder)
    return folder


def test_rows_of_the_head_that_are_no_token_are_never_drawn_nor_counted(folder: Path, tmp_path: Path) -> None:
    padded = build_padded_model(folder, tmp_path / "padded", num_padding=48)
    plain = load_model(padded)
    with torch.no_grad():
        next_token = plain(torch.tensor([PROMPT])).logits[0, -1].softmax(-1)
    assert next_token[512:].sum() > 0.99  # unmasked, hardly anything else would be drawn

    engine = GenerationEngine(tiny_pivot(padded), device="cpu")
    sampled = engine.submit(request("sampled", seeds=tuple(range(8)), temperature=0.7)).result()
    greedy = engine.submit(request("greedy", temperature=0)).result()
    engine.close()
    assert max(token for rollout in (*sampled, *greedy) for token in rollout.token_ids) < 512

    num_drawable = num_drawable_tokens(str(padded))
    assert num_drawable == 512
    head = HeadSettings(temperature=0.7, chunk_tokens=8, vocab_size=num_drawable)
    learner = PolicyModel(load_causal_model(str(padded), dtype=torch.float32, device="cpu"), head)
    for rollout in sampled:
        row = torch.tensor([[*PROMPT, *rollout.token_ids]])
        places = torch.arange(row.shape[1])
        asked = places[len(PROMPT) :]
        with torch.no_grad():
            inputs = RowInputs(row, places[None], asked - 1, row[0, asked], (Segment(row.shape[1]),))
            logprobs, _ = learner(inputs)
        torch.testing.assert_close(torch.tensor(rollout.logprobs), logprobs, atol=1e-4, rtol=0)
