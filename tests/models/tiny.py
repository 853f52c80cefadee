"""Share what the engine tests need: a tiny policy, its weights as a learner offers them, and a push without Ray."""

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from actors.generation.engine import GenerationEngine
from actors.weight_sync.buckets import LearnerWeights, WeightBucket, WeightManifest
from contracts.config.workers import PolicyConfig
from contracts.rollouts import SamplingRequest

PROMPT = tuple(range(40, 60))
TENSORS_PER_BUCKET = 3  # few, so that q, k and v, and gate and up, arrive in different buckets


def tiny_policy(folder: Path) -> PolicyConfig:
    """Return the config of a tiny policy in fp32, so that log-probabilities can be compared closely."""
    return PolicyConfig(
        model=str(folder),
        dtype="float32",
        max_model_len=256,
        max_num_seqs=16,
        max_num_batched_tokens=2048,
        max_response_tokens=64,
        kv_cache_gib=0.0625,
    )


def load_model(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def change_weights(model: PreTrainedModel, *, seed: int) -> None:
    """Move every parameter, embeddings and norms too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


def request(
    request_id: str, *, seeds: tuple[int, ...] = (1,), max_tokens: int = 24, temperature: float = 0.7
) -> SamplingRequest:
    return SamplingRequest(
        request_id=request_id, prompt_token_ids=PROMPT, seeds=seeds, max_tokens=max_tokens, temperature=temperature
    )


def expected_logprobs(model: PreTrainedModel, response: tuple[int, ...], *, temperature: float) -> torch.Tensor:
    """Return the log-probabilities of the response's tokens after PROMPT, by a plain forward pass of transformers."""
    with torch.no_grad():
        logits = model(torch.tensor([[*PROMPT, *response]])).logits[0, len(PROMPT) - 1 : -1]
    return torch.log_softmax(logits / temperature, dim=-1).gather(1, torch.tensor(response)[:, None])[:, 0]


class ModelWeights:
    """Give a plain model's weights as LearnerWeights. `leave_out` is not sent; `unannounced` is not in the manifest."""

    def __init__(self, model: PreTrainedModel, *, leave_out: str = "", unannounced: str = "") -> None:
        self._tensors = [(name, parameter.detach()) for name, parameter in model.named_parameters()]
        self._leave_out = leave_out
        self._unannounced = unannounced

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        return [
            (name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self._tensors if name != self._unannounced
        ]

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        travelling = [(name, tensor) for name, tensor in self._tensors if name != self._leave_out]
        for start in range(0, len(travelling), TENSORS_PER_BUCKET):
            yield travelling[start : start + TENSORS_PER_BUCKET]


def push(weights: LearnerWeights, engine: GenerationEngine, *, policy_version: int) -> WeightManifest:
    """Push all weights into an engine of this process, bucket by bucket; raises what the engine refuses."""
    manifest = WeightManifest.of(weights)
    engine.start_weight_update(manifest).result()
    try:
        for tensors in weights.buckets():
            engine.receive_bucket(WeightBucket.pack(tensors)).result()
        engine.finish_weight_update(policy_version).result()
    except BaseException:
        engine.abandon_weight_update().result()
        raise
    return manifest
