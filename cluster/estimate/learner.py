"""Estimate the peak memory of one learner rank.

What stays is added to the largest of three moments: the backward pass of the longest row, the optimiser step, and, on a
CPU, the copy of the policy from which rank 0 writes a checkpoint. With a GPU that copy is beside the rest: it lies in
the host's memory, and the next step begins while it is written. Sources are DeepSpeed's runtime/zero (stage3.py,
config.py) and the project's own code in `actors/learning`; each function says which. Fragmentation of the allocator is
left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.estimate.parts import (
    CUDA_CONTEXT_GIB,
    CUDA_PROCESS_GIB,
    LEARNER_PROCESS_GIB,
    NCCL_GIB,
    ActorMemory,
    Memory,
    gib,
)
from cluster.estimate.shapes import BYTES, Layers, ModelSize, model_size
from contracts.config.device_defaults import Device
from contracts.config.learning import LearnerConfig, PolicyGradientConfig
from contracts.config.run import Config
from contracts.config.section import decided

LIVE_PARAMETERS = 1_000_000_000
"""DeepSpeed's stage3_max_live_parameters: parameters that may be gathered at once."""
SUB_GROUP = 1_000_000_000
"""DeepSpeed's sub_group_size: parameters that an optimiser step handles at once."""
BUCKET_ELEMENTS = 50_000_000
"""Gradients that are reduced at once, as actors/learning/zero_config.py sets it."""
LARGE_MODEL_BYTES = 512 << 20
"""From this size on a rank on a CPU keeps the blocks of its passes apart, as actors/remote/freed_memory.py has it."""
HEAP_FACTOR = 2
"""What a smaller model's step takes of memory over its activations. The C library's heap keeps what is freed, in pieces
that the next tensor often does not fit."""
TILE_ELEMENTS = {"cpu": 2**19, "cuda": 2**24}
"""Elements of a tile of logits, as actors/learning/logprobs.py has them."""
LEAST_BLOCKS = 4
"""Fewest blocks of the vocabulary there."""
TILE_COPIES = 4
"""Tensors of a tile's size that exist at once there: logits in two dtypes, and their exponentials and gradients."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Hold a model of a rank, and how many of its parameters are trained."""

    size: ModelSize
    trained: int


def learner_memory(config: Config, device: Device) -> ActorMemory:
    """Return the memory of one rank: its policy, a frozen reference model and a critic, if the algorithm has them."""
    learner = config.learner
    models = rank_models(config)
    if models is None:
        return ActorMemory(host=None)
    is_on_gpu = device == "cuda"
    trained = sum(model.trained for model in models)
    states = optimizer_states(trained, learner)
    weights = weight_shards(models, learner)
    kept = {"weights": whole_weights(models, learner)}
    host = {"process": CUDA_PROCESS_GIB if is_on_gpu else LEARNER_PROCESS_GIB}
    (host if learner.offload_parameters else kept)["weight shards"] = weights
    if learner.offload_optimizer:
        host |= states | {"copies of gradients": gib(4 * trained / learner.num_ranks)}
    else:
        kept |= states
    copy = gib(models[0].size.parameters * BYTES[learner.dtype])
    moments = (
        backward_pass(config, models, device),
        {} if learner.offload_optimizer else {"copies of gradients": sub_group_copy(models, learner)},
        {} if is_on_gpu else {"copy for a checkpoint": copy},
    )
    kept |= max(moments, key=lambda parts: sum(parts.values()))
    if not is_on_gpu:
        return ActorMemory(host=Memory(_added(kept, host)))
    kept["context and NCCL"] = CUDA_CONTEXT_GIB + NCCL_GIB
    return ActorMemory(host=Memory(host), gpu=Memory(kept), first=Memory({"copy for a checkpoint": copy}))


def sends_adapters(config: Config) -> bool:
    """Return whether the policy workers get adapters, and apply them beside the base weights."""
    return config.learner.lora is not None and config.weights.lora == "adapter"


def pushed_bytes(config: Config) -> float | None:
    """Return the bytes of a weight push: all weights, or the adapters alone. None if the model is not here."""
    models = rank_models(config)
    if models is None:
        return None
    policy = models[0]
    return (policy.trained if sends_adapters(config) else policy.size.parameters) * BYTES[config.learner.dtype]


def rank_models(config: Config) -> list[Model] | None:
    """Return the models of a rank; None if one of them is not here."""
    learner, algorithm = config.learner, config.algorithm
    policy = model_size(config.policy.model, key="policy.model")
    if policy is None:
        return None
    trained = policy.parameters
    if learner.lora is not None:
        trained = policy.adapters(learner.lora.rank, None if learner.lora.targets == "all" else learner.lora.targets)
    models = [Model(size=policy, trained=trained)]
    if isinstance(algorithm, PolicyGradientConfig) and algorithm.kl != "none" and learner.lora is None:
        models.append(Model(size=policy, trained=0))
    if algorithm.name == "ppo":
        critic = model_size(config.critic.model or config.policy.model, key="critic.model")
        if critic is None:
            return None
        models.append(Model(size=critic, trained=critic.parameters))
    return models


def stays_whole(model: Model, learner: LearnerConfig) -> bool:
    """Return whether the model stays gathered between steps, as actors/learning/zero_config.py decides it."""
    num_bytes = model.size.parameters * BYTES[learner.dtype]
    return num_bytes <= learner.keep_whole_mib << 20 and not learner.offload_parameters


def weight_shards(models: Sequence[Model], learner: LearnerConfig) -> float:
    """Return the GiB of a rank's share of all weights: ZeRO-3 keeps it beside what is gathered (arXiv 1910.02054)."""
    return gib(sum(model.size.parameters for model in models) * BYTES[learner.dtype] / learner.num_ranks)


def whole_weights(models: Sequence[Model], learner: LearnerConfig) -> float:
    """Return the GiB of the models that stay gathered. A single rank computes with its shard itself."""
    if learner.num_ranks == 1:
        return 0.0
    whole = [model.size.parameters for model in models if stays_whole(model, learner)]
    return gib(sum(whole) * BYTES[learner.dtype])


def optimizer_states(trained: int, learner: LearnerConfig) -> dict[str, float]:
    """Return the GiB of fp32 master weights and AdamW's two moments, and of gradients added up in fp32, of a share."""
    share = trained / learner.num_ranks
    return {"optimiser states": gib(12 * share), "gradients": gib(4 * share)}


def sub_group_copy(models: Sequence[Model], learner: LearnerConfig) -> float:
    """Return the GiB of a sub-group's gradients, which a step flattens in fp32 (_prepare_fp32_grad_for_sub_group)."""
    return gib(4 * max(min(model.trained / learner.num_ranks, SUB_GROUP) for model in models))


def backward_pass(config: Config, models: Sequence[Model], device: Device) -> dict[str, float]:
    """Return what exists in the middle of the backward pass of a row, or of a rank's slice. The models take turns."""
    learner = config.learner
    num_tokens = -(-config.row_tokens // learner.sequence_parallel_size)
    return {
        "gathered weights": max(live_window(model, learner) for model in models),
        "whole gradients": max(whole_gradients(model, learner, device) for model in models),
        "activations": heap_factor(models[0], learner, device)
        * max(activations(model.size.layers, num_tokens, learner) for model in models),
        "output head": output_head(models[0].size.layers, num_tokens, learner, device),
    }


def heap_factor(policy: Model, learner: LearnerConfig, device: Device) -> int:
    """Return how many times its activations a step holds."""
    is_small = policy.size.parameters * BYTES[learner.dtype] < LARGE_MODEL_BYTES
    return HEAP_FACTOR if device == "cpu" and is_small else 1


def live_window(model: Model, learner: LearnerConfig) -> float:
    """Return the GiB of the parameters that are gathered for a while (stage3_max_live_parameters)."""
    is_gathered = learner.num_ranks > 1 or learner.offload_parameters
    if not is_gathered or stays_whole(model, learner):
        return 0.0
    return gib(min(model.size.parameters, LIVE_PARAMETERS) * BYTES[learner.dtype])


def whole_gradients(model: Model, learner: LearnerConfig, device: Device) -> float:
    """Return the GiB of gradients before they are reduced to shares.

    A CPU keeps those of a whole model until the last row (`reduces_once`). Else they are sent in buckets; the largest
    matrix, which fits into no bucket, has its gradient and a flat copy of it.
    """
    if device == "cpu" and stays_whole(model, learner):
        return gib(model.trained * BYTES[learner.dtype])
    largest = min(model.size.largest, model.trained)
    return gib((2 * largest + min(BUCKET_ELEMENTS, model.trained)) * BYTES[learner.dtype])


def activations(layers: Layers, row_tokens: int, learner: LearnerConfig) -> float:
    """Return the GiB that the layers keep of a row for the backward pass.

    With checkpointing each layer keeps its input alone, and one layer is computed again (arXiv 1604.06174).
    """
    one_layer = row_tokens * layer_bytes(layers, BYTES[learner.dtype])
    if not learner.gradient_checkpointing:
        return gib(layers.num * one_layer)
    return gib(row_tokens * layers.num * layers.hidden * BYTES[learner.dtype] + one_layer)


def layer_bytes(layers: Layers, num_bytes: int) -> int:
    """Return the bytes for each token that a Llama layer keeps, as transformers computes it.

    Hidden width: two norms' results, the attention's result and the sum after it. Attention: queries before and after
    RoPE and its result; keys before and after RoPE, and values. MLP: gate, its activation, up and their product. Both
    norms keep their input in fp32.
    """
    values = 4 * layers.hidden + 3 * layers.queries + 3 * layers.keys + 4 * layers.intermediate
    return values * num_bytes + 2 * layers.hidden * 4


def output_head(layers: Layers, row_tokens: int, learner: LearnerConfig, device: Device) -> float:
    """Return the GiB of a tile of logits and of the fp32 gradient of a block's weights (actors/learning/logprobs)."""
    height = max(1, min(decided(learner.logprob_chunk_tokens), row_tokens))
    width = max(1, min(-(-layers.vocabulary // LEAST_BLOCKS), TILE_ELEMENTS[device] // height))
    gradient = width * layers.hidden * 4 if learner.lora is None else 0
    return gib(TILE_COPIES * height * width * 4 + gradient)


def _added(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Return all parts; those of the same name are summed."""
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in dict.fromkeys((*first, *second))}
