"""Test model families: the learner takes a step and exports, transformers and vLLM load the folder.

Tiny random weights in fp32. One process is the learner (a ZeRO-3 rank, one family after the other) and stays while this
one asks the exported model: what vLLM draws goes back to the very rank that exported, which says how probable it is.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from actors.generation.engine import GenerationEngine
from actors.learning.policy_model import num_drawable_tokens
from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from contracts.batches import StepResult, TrainBatch, TrainSample
from contracts.config.learning import CriticConfig, GrpoConfig, LearnerConfig
from contracts.config.workers import EngineConfig, PivotConfig
from contracts.rollouts import Rollout
from driver.learning.batching import LossWeighting, pack
from quickstart.tiny import tiny_tokenizer
from tests.models.tiny import PROMPT, request, tiny_policy

TEMPERATURE = 0.7
NUM_TOKENS = 512  # of the tokenizer
NUM_PADDED = 64  # rows of a head that stand for no token
ROW_TOKENS = 256
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # as quickstart.tiny's tokenizer has them
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,  # five times the usual: some tokens are much likelier than others
}


@dataclass(frozen=True, kw_only=True)
class Family:
    config: type[PretrainedConfig]
    is_tied: bool
    vocab_size: int = NUM_TOKENS
    changes: Mapping[str, object] = field(default_factory=dict)  # to SIZES


YARN = {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 8.0, "original_max_position_embeddings": 64}
FAMILIES = {
    "llama tied": Family(config=LlamaConfig, is_tied=True),
    "llama untied": Family(config=LlamaConfig, is_tied=False),
    "llama, YaRN": Family(
        config=LlamaConfig, is_tied=True, changes={"max_position_embeddings": 64, "rope_parameters": YARN}
    ),
    "qwen2 tied": Family(config=Qwen2Config, is_tied=True),
    "qwen2 untied, padded": Family(config=Qwen2Config, is_tied=False, vocab_size=NUM_TOKENS + NUM_PADDED),
    "qwen3 tied, padded": Family(config=Qwen3Config, is_tied=True, vocab_size=NUM_TOKENS + NUM_PADDED),
    "qwen3 untied": Family(config=Qwen3Config, is_tied=False),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Hold what the learner did with one family."""

    report: StepResult
    vocab_size: int | None  # the rows that count, where there are others
    walked: dict[str, NDArray[np.float32]]  # its weights, by the names under which they leave it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold one family's results from the learner and from the engine."""

    trained: Trained
    base: Path
    exported: Path
    greedy: Rollout
    drawn: tuple[Rollout, ...]
    learner_logprobs: list[NDArray[np.float32]]  # of `drawn`, by the rank that exported


def build(family: Family, folder: Path) -> Path:
    """Write random weights. The head's rows without a token are large: an engine that does not mask them draws them."""
    sizes = {**SIZES, "vocab_size": family.vocab_size, **family.changes}
    config = family.config.from_dict({**sizes, **SPECIAL, "tie_word_embeddings": family.is_tied})
    torch.manual_seed(3)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".bias", "norm.weight")):  # biases start at 0 and norms at 1: as good as absent
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.get_parameter("lm_head.weight")[NUM_TOKENS:] *= 10
    model.generation_config = GenerationConfig(**SPECIAL)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def sample(response: tuple[int, ...], *, advantage: float) -> TrainSample:
    return TrainSample(
        group_id="1/0/a/de",
        prompt_token_ids=PROMPT,
        response_token_ids=response,
        sampling_logprobs=(-6.0,) * len(response),
        advantages=(advantage,) * len(response),
        policy_version=0,
    )


def packed(samples: list[TrainSample]) -> TrainBatch:
    weighting = LossWeighting(aggregation="token", max_response_tokens=64)
    return pack(
        samples,
        num_ranks=1,
        row_tokens=ROW_TOKENS,
        pad_token_id=SPECIAL["pad_token_id"],
        policy_version=0,
        weighting=weighting,
        share_prompts=True,  # all responses here are to PROMPT
    )


def run_learner(folder: Path, link: Connection) -> None:
    """Run the learner's process: for each family a rank that steps, exports, and measures what it is sent."""
    torch.set_num_threads(1)
    here = place()  # of all of them: DeepSpeed can't join a second process group
    lesson = packed([sample(tuple(range(100 + 30 * k, 120 + 30 * k)), advantage=(-1.0) ** k) for k in range(4)])
    ranks = []
    for index in range(len(FAMILIES)):
        base = folder / f"base-{index}"
        vocab_size = num_drawable_tokens(str(base))
        rank = LearnerRank(setup_of(base, vocab_size), here)
        report = rank.step(lesson.rows[0], num_loss_tokens=lesson.num_loss_tokens, num_sequences=lesson.num_sequences)
        rank.export(folder / f"exported-{index}")
        walked = {name: tensor.numpy() for bucket in rank.weights.buckets() for name, tensor in bucket}
        link.send(Trained(report=report, vocab_size=vocab_size, walked=walked))
        ranks.append(rank)
    for rank in ranks:
        responses: list[tuple[int, ...]] = link.recv()
        found = dict(rank.measure(packed([sample(response, advantage=0.0) for response in responses]).rows[0]))
        link.send([found[sequence].logprobs for sequence in range(len(responses))])


def setup_of(base: Path, vocab_size: int | None) -> RankSetup:
    learner = {"dtype": "float32", "learning_rate": 2e-3, "max_grad_norm": 1000, "keep_whole_mib": 0, "timeout_s": 60}
    learner |= {"logprob_chunk_tokens": 16}
    return RankSetup(
        learner=LearnerConfig.model_validate(learner),
        algorithm=GrpoConfig(steps=1),
        critic=CriticConfig(),
        policy=PolicySource(model=str(base), temperature=TEMPERATURE, vocab_size=vocab_size),
        total_optimizer_steps=1,
        bucket_bytes=100_000,
        seed=1,
    )


def place() -> RankPlace:
    return RankPlace(rank=0, world_size=1, meeting="", device="cpu")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("families")
    bases = [build(family, folder / f"base-{index}") for index, family in enumerate(FAMILIES.values())]
    processes = multiprocessing.get_context("spawn")
    link, far_end = processes.Pipe()
    learner = processes.Process(target=run_learner, args=(folder, far_end))
    learner.start()
    far_end.close()  # the learner has its own end: if it dies, this process gets an EOFError
    try:
        halves = [(cast("Trained", heard(link)), draw(folder / f"exported-{k}")) for k in range(len(FAMILIES))]
        found = {}
        for name, base, (trained, (greedy, *drawn)) in zip(FAMILIES, bases, halves, strict=True):
            link.send([rollout.token_ids for rollout in drawn])
            found[name] = Outcome(
                trained=trained,
                base=base,
                exported=folder / base.name.replace("base", "exported"),
                greedy=greedy,
                drawn=tuple(drawn),
                learner_logprobs=cast("list[NDArray[np.float32]]", heard(link)),
            )
        yield found
    finally:
        learner.kill()
        learner.join()


def draw(exported: Path) -> list[Rollout]:
    """Draw with vLLM: one response greedily, four at the learner's temperature."""
    shared = tiny_policy(exported).model_dump(include=set(EngineConfig.model_fields))
    engine = GenerationEngine(PivotConfig(**shared), device="cpu")
    asked = [request("greedy", temperature=0), request("drawn", seeds=(1, 2, 3, 4), temperature=TEMPERATURE)]
    rollouts = [rollout for group in engine.submit_all(asked) for rollout in group.result()]
    engine.close()
    return rollouts


def heard(link: Connection) -> object:
    assert link.poll(120), "the learner's process says nothing"
    return link.recv()


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_and_vllm_go_the_same_greedy_way(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    prompt = torch.tensor([PROMPT])
    spare = list(range(NUM_TOKENS, FAMILIES[name].vocab_size)) or None
    settings = GenerationConfig(do_sample=False, max_new_tokens=24, suppress_tokens=spare, **SPECIAL)
    generate = cast("Callable[..., torch.Tensor]", load(outcome.exported).generate)
    written = generate(prompt, settings, attention_mask=torch.ones_like(prompt))
    assert tuple(written[0, len(PROMPT) :].tolist()) == outcome.greedy.token_ids
    assert len(set(outcome.greedy.token_ids)) > 4  # no model that says one word for ever


@pytest.mark.parametrize("name", FAMILIES)
def test_learner_transformers_and_vllm_find_a_response_equally_probable(
    outcomes: dict[str, Outcome], name: str
) -> None:
    outcome, model = outcomes[name], load(outcomes[name].exported)
    assert len({rollout.token_ids for rollout in outcome.drawn}) == 4
    for rollout, of_learner in zip(outcome.drawn, outcome.learner_logprobs, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*PROMPT, *rollout.token_ids]])).logits[0, len(PROMPT) - 1 : -1, :NUM_TOKENS]
        everything = (logits / TEMPERATURE).log_softmax(dim=-1)
        of_transformers = everything.gather(1, torch.tensor(rollout.token_ids)[:, None])[:, 0].numpy()
        assert of_learner == pytest.approx(of_transformers, abs=1e-4)
        assert rollout.logprobs == pytest.approx(of_transformers, abs=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_export_is_the_learners_weights_under_the_base_models_names(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    base, exported = tensors(outcome.base), tensors(outcome.exported)
    assert exported.keys() == outcome.trained.walked.keys() == base.keys()
    assert ("lm_head.weight" in exported) is not FAMILIES[name].is_tied
    for tensor_name, tensor in exported.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, torch.from_numpy(outcome.trained.walked[tensor_name])), tensor_name
        assert not torch.equal(tensor, base[tensor_name]), f"{tensor_name} has learned nothing"


@pytest.mark.parametrize("name", FAMILIES)
def test_an_export_keeps_the_base_models_config_and_tokenizer(outcomes: dict[str, Outcome], name: str) -> None:
    outcome, family = outcomes[name], FAMILIES[name]
    model, tokenizer = load(outcome.exported), AutoTokenizer.from_pretrained(outcome.exported)
    assert isinstance(model.config, family.config)
    assert (model.config.vocab_size, model.config.tie_word_embeddings) == (family.vocab_size, family.is_tied)
    assert model.generation_config is not None
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (
        SPECIAL["eos_token_id"],
        SPECIAL["pad_token_id"],
    )
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.vocab_size > NUM_TOKENS])
def test_rows_that_stand_for_no_token_are_never_drawn_and_never_learn(outcomes: dict[str, Outcome], name: str) -> None:
    outcome, model = outcomes[name], load(outcomes[name].exported)
    assert outcome.trained.vocab_size == NUM_TOKENS
    drawn = {token for rollout in (outcome.greedy, *outcome.drawn) for token in rollout.token_ids}
    assert max(drawn) < NUM_TOKENS
    with torch.no_grad():
        unmasked = model(torch.tensor([[*PROMPT, *outcome.greedy.token_ids]])).logits[0].argmax(-1)
    assert int(unmasked.max()) >= NUM_TOKENS  # without the mask they would have been
    head = "model.embed_tokens.weight" if FAMILIES[name].is_tied else "lm_head.weight"
    assert torch.equal(tensors(outcome.exported)[head][NUM_TOKENS:], tensors(outcome.base)[head][NUM_TOKENS:])


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.vocab_size == NUM_TOKENS])
def test_a_head_without_spare_rows_is_not_masked(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].trained.vocab_size is None
    assert outcomes[name].trained.report.metrics["policy/grad_norm"] > 0
