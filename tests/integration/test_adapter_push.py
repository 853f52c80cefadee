"""Test adapters that reach a real engine as adapters, against transformers and peft."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.generation.step_loop import StaleEngine
from actors.learning.lora import AdapterTensor, adapter_tensors, add_adapters, base_parameters
from actors.weight_sync.buckets import WeightManifest, learner_checksums
from contracts.config.learning import LoraConfig
from quickstart.tiny import build_tiny_model
from tests.models.tiny import PROMPT, expected_logprobs, push, request, tiny_policy
from tests.refusals import raised

RANK = 4
TENSORS_PER_BUCKET = 5
NUM_TINY_UPDATES = 50
NUM_TOKENS = 8
TINY = 4e-6


class AdapterWeights:
    """Give a model's adapters as LearnerWeights. `leave_out` is not sent; `renamed` gets another name."""

    def __init__(self, causal: PreTrainedModel, *, leave_out: str = "", renamed: str = "") -> None:
        self._tensors = [(self._name(tensor, renamed), tensor) for tensor in adapter_tensors(causal)]
        self._leave_out = leave_out

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [(name, tensor.weight.dtype, tuple(tensor.weight.shape)) for name, tensor in self._tensors]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        sent = [(name, tensor.copied()) for name, tensor in self._tensors if name != self._leave_out]
        for start in range(0, len(sent), TENSORS_PER_BUCKET):
            yield sent[start : start + TENSORS_PER_BUCKET]

    @staticmethod
    def _name(tensor: AdapterTensor, renamed: str) -> str:
        return tensor.name.replace("layers.0", "layers.9") if tensor.name == renamed else tensor.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[GenerationEngine]:
    engine = GenerationEngine(tiny_policy(folder), device="cpu", weight_backend="adapters", lora_rank=RANK)
    yield engine
    engine.close()


def adapted(folder: Path, *, seed: int, alpha: float = 6.0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Return the model with adapters as training leaves them: B is no longer 0. alpha / rank is 1.5."""
    causal = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    add_adapters(causal, LoraConfig(rank=RANK, alpha=alpha), seed=seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in causal.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    return causal.eval()


def greedy(causal: PreTrainedModel, num_tokens: int) -> list[int]:
    """Return the most probable tokens after PROMPT, by plain forward passes."""
    token_ids = list(PROMPT)
    with torch.no_grad():
        for _ in range(num_tokens):
            token_ids.append(int(causal(torch.tensor([token_ids])).logits[0, -1].argmax()))
    return token_ids[len(PROMPT) :]


def test_an_engine_serves_nothing_before_it_has_adapters(engine: GenerationEngine) -> None:
    assert engine.policy_version is None
    with pytest.raises(StaleEngine):
        engine.submit(request("early"))


def test_greedy_text_is_that_of_peft_version_after_version(engine: GenerationEngine, folder: Path) -> None:
    texts = set()
    for version in (1, 2):
        causal = adapted(folder, seed=version)
        source = AdapterWeights(causal)
        manifest = push(source, engine, policy_version=version)
        assert 0 < manifest.num_bytes < 0.25 * sum(parameter.weight.nbytes for parameter in base_parameters(causal))
        (rollout,) = engine.submit(request(f"greedy-{version}", temperature=0, max_tokens=24)).result()
        assert set(rollout.token_versions) == {version}
        assert list(rollout.token_ids) == greedy(causal, len(rollout.token_ids))
        expected = expected_logprobs(causal, rollout.token_ids, temperature=1.0)
        torch.testing.assert_close(torch.tensor(rollout.logprobs), expected, rtol=0, atol=1e-3)
        assert engine.weight_checksums().result() == learner_checksums(source)
        texts.add(rollout.token_ids)
    base = greedy(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), 24)
    assert len(texts | {tuple(base)}) == 3  # the adapters change what is said


def test_a_running_sample_goes_on_with_new_adapters_and_its_tokens_keep_their_versions(
    engine: GenerationEngine, folder: Path
) -> None:
    push(AdapterWeights(adapted(folder, seed=3)), engine, policy_version=3)
    new = AdapterWeights(adapted(folder, seed=4))
    begun: Future[None] = Future()

    def begin_update(_: object) -> None:  # in the loop's thread, between two steps
        started = engine.start_weight_update(WeightManifest.of(new))
        started.add_done_callback(lambda done: begun.set_result(done.result()))

    clock, running = engine.submit_all(
        [request("clock", max_tokens=5, temperature=0), request("long", max_tokens=40, temperature=0)]
    )
    clock.add_done_callback(begin_update)
    begun.result()
    push(new, engine, policy_version=4)
    ((short,), (long,)) = (clock.result(), running.result())
    assert short.token_versions == (3,) * 5
    assert long.token_versions == (3,) * 5 + (4,) * (len(long.token_ids) - 5) and len(long.token_ids) > 10


def test_an_update_that_lacks_a_tensor_or_fits_no_layer_leaves_the_engine_stale(
    engine: GenerationEngine, folder: Path
) -> None:
    causal = adapted(folder, seed=5)
    name = adapter_tensors(causal)[3].name
    push(AdapterWeights(causal), engine, policy_version=5)
    with raised(ValueError, name):
        push(AdapterWeights(causal, leave_out=name), engine, policy_version=6)
    assert engine.policy_version is None
    push(AdapterWeights(causal), engine, policy_version=6)
    with raised(ValueError, "layers.9"):
        push(AdapterWeights(causal, renamed=name), engine, policy_version=7)
    push(AdapterWeights(causal), engine, policy_version=8)
    assert engine.policy_version == 8


def test_fifty_tiny_updates_are_seen_that_merging_rounds_away(folder: Path) -> None:
    coarse = coarse_model(folder)
    bf16, fp32 = (
        add_adapters(
            AutoModelForCausalLM.from_pretrained(coarse, dtype=dtype), LoraConfig(rank=RANK, alpha=RANK), seed=1
        ).eval()
        for dtype in (torch.bfloat16, torch.float32)
    )
    frozen = [parameter.weight.detach().clone() for parameter in base_parameters(bf16)]
    said = tuple(greedy(fp32, NUM_TOKENS))
    before = expected_logprobs(fp32, said, temperature=1.0)
    engine = GenerationEngine(tiny_policy(coarse), device="cpu", weight_backend="adapters", lora_rank=RANK)
    seen: list[tuple[float, ...]] = []
    for step in range(1, NUM_TINY_UPDATES + 1):
        for causal in (bf16, fp32):
            fill_adapters(causal, a=1.0, b=step * TINY)
        push(AdapterWeights(bf16), engine, policy_version=step)
        (rollout,) = engine.submit(request(f"tiny-{step}", temperature=0, max_tokens=NUM_TOKENS)).result()
        assert rollout.token_ids == said
        seen.append(rollout.logprobs)
        for parameter, whole in zip(base_parameters(bf16), frozen, strict=True):
            assert torch.equal(parameter.copied(), whole), parameter.name
    engine.close()
    shift = expected_logprobs(fp32, said, temperature=1.0) - before
    assert len(set(seen)) == NUM_TINY_UPDATES
    assert shift.abs().max() > 0.002
    torch.testing.assert_close(torch.tensor(seen[-1]) - before, shift, rtol=0, atol=1e-4)


def coarse_model(folder: Path) -> Path:
    """Write the model with 0.375 or -0.375 in the place of every weight with an adapter.

    bf16 has no number within 0.0009 of these, so smaller changes are lost.
    """
    causal = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in causal.named_parameters():
            if name.endswith("_proj.weight"):
                parameter.copy_(torch.where(parameter < 0, -0.375, 0.375))
    coarse = folder.parent / "coarse"
    shutil.copytree(folder, coarse)
    causal.save_pretrained(coarse)
    return coarse


def fill_adapters(causal: PreTrainedModel, *, a: float, b: float) -> None:
    """Set all elements of A and of B, so that every weight changes by rank x a x b. b is rounded to bf16."""
    rounded = float(torch.tensor(b, dtype=torch.bfloat16))
    with torch.no_grad():
        for name, parameter in causal.named_parameters():
            if ".lora_" in name:
                parameter.fill_(a if ".lora_A." in name else rounded)
