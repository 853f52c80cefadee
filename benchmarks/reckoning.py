"""Reckon the seconds of a step from first principles: bytes and operations over the speeds of one kind of machine.

Nothing is measured. Every number that is not arithmetic is a constant of `Machine`, so that a measurement can replace
it. Stages overlap only where the loop lets them.
"""

from dataclasses import dataclass, fields
from math import ceil

from cluster.estimate.engines import gpu_cache, gpu_parts, step_gib, token_bytes
from cluster.estimate.learner import pushed_bytes
from cluster.estimate.parts import gib
from cluster.estimate.shapes import BYTES, ModelSize, model_size
from contracts.config.learning import PolicyGradientConfig
from contracts.config.run import Config
from contracts.config.section import decided
from contracts.config.workers import EngineConfig


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Hold a constant with its unit and what it is."""

    value: float
    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Hold the speeds of H100 GPUs of 80 GB, eight to a node, and of the program's own work on the host."""

    gpu_gib: Constant = Constant(value=79.6, unit="GiB", meaning="memory of a GPU")
    gpus_per_node: Constant = Constant(value=8, unit="", meaning="GPUs of a node")
    flops: Constant = Constant(value=989e12, unit="FLOP/s", meaning="dense bfloat16 operations of a GPU (data sheet)")
    learner_use: Constant = Constant(value=0.40, unit="", meaning="share of them that a learner's row reaches")
    prefill_use: Constant = Constant(value=0.50, unit="", meaning="share of them that prompts reach in vLLM")
    encoder_use: Constant = Constant(value=0.10, unit="", meaning="share of them that an encoder's batches reach")
    core_flops: Constant = Constant(value=5e10, unit="FLOP/s", meaning="operations of a CPU core in an encoder")
    memory: Constant = Constant(value=2.68e12, unit="B/s", meaning="GPU memory: 80 % of the data sheet's 3.35e12")
    nvlink: Constant = Constant(value=250e9, unit="B/s", meaning="collectives inside a node, each GPU, one way")
    network: Constant = Constant(value=45e9, unit="B/s", meaning="between nodes, each GPU: 400 Gbit/s at 90 %")
    host_memory: Constant = Constant(value=20e9, unit="B/s", meaning="an offloaded optimiser step in host memory")
    host_link: Constant = Constant(value=50e9, unit="B/s", meaning="between a GPU and pinned host memory (PCIe 5)")
    turn: Constant = Constant(value=1.0, unit="s", meaning="a change of turns of a shared GPU, beside its copies")
    all_reduce: Constant = Constant(value=20e-6, unit="s", meaning="a small all-reduce between GPUs of a node")
    engine_step: Constant = Constant(value=1.5e-3, unit="s", meaning="vLLM's own work for a step, on the host")
    engine_sequence: Constant = Constant(value=18e-6, unit="s", meaning="the same for each sequence of the step")
    hidden: Constant = Constant(value=0.5, unit="", meaning="share of a row's collectives that computing hides")
    zero_row: Constant = Constant(value=0.15, unit="s", meaning="DeepSpeed's hooks for a row of a sharded model")
    bucket: Constant = Constant(value=10e-3, unit="s", meaning="a bucket of a weight push: two waits of all ranks")
    gates: Constant = Constant(value=6e-3, unit="s", meaning="gates and answers of a response of 1,000 tokens")
    last_group: Constant = Constant(value=1.0, unit="s", meaning="scoring that is left when the last group is drawn")
    tail: Constant = Constant(value=1.08, unit="", meaning="on-policy generation over that of equally long responses")

    def named(self) -> dict[str, Constant]:
        """Return all constants by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Work:
    """Hold the mean lengths of a step, in tokens."""

    prompt: int = 300
    response: int = 1000
    reference: int = 500


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Hold the seconds of a step, by stage. Scoring and the pivot go on while the policy generates."""

    generation: float
    pivot: float
    scoring: float
    learner: float
    push: float
    whole: float


def step_time(config: Config, machine: Machine, work: Work) -> StepTime:
    """Return the seconds of a step of a policy-gradient run on GPUs.

    On-policy, generation, learner and push follow each other. With staleness the learner and the generation of the next
    step overlap, and the longer of them counts. Between turns on shared GPUs the states of the learner are moved.
    """
    algorithm = config.algorithm
    assert isinstance(algorithm, PolicyGradientConfig)
    generation, pivot = generation_s(config, machine, work), pivot_s(config, machine, work)
    scoring, learner, push = scoring_s(config, machine, work), learner_s(config, machine, work), push_s(config, machine)
    drawn = max(generation, pivot, scoring)
    in_turn = drawn * machine.tail.value + machine.last_group.value + learner + turns_s(config, machine)
    whole = max(drawn, learner) if algorithm.max_staleness else in_turn
    return StepTime(generation=generation, pivot=pivot, scoring=scoring, learner=learner, push=push, whole=whole + push)


def tokens_per_s(engine: EngineConfig, size: ModelSize, machine: Machine, *, sequences: float, context: float) -> float:
    """Return the tokens/s of one worker that decodes so many sequences of a mean context at once.

    A step reads all weights and the keys and values of every sequence once (arXiv 2211.05102, section 2). Meanwhile
    vLLM plans the next step.
    """
    parallel = engine.tensor_parallel_size
    weights = size.weight_bytes(engine.dtype) / parallel
    cached = sequences * context * token_bytes(engine, size.layers)
    reduces = 2 * size.layers.num * machine.all_reduce.value if parallel > 1 else 0.0
    host = machine.engine_step.value + sequences * machine.engine_sequence.value
    return sequences / max((weights + cached) / machine.memory.value + reduces, host)


def sequences_at_once(
    engine: EngineConfig, size: ModelSize, machine: Machine, *, tokens: float, offered: float
) -> float:
    """Return how many sequences a worker decodes at once: what it may, what its cache holds, and what it is offered."""
    weights = gib(size.weight_bytes(engine.dtype))
    held = sum(gpu_parts(engine, weights=weights, step=step_gib(size.layers, engine)).values())
    free = engine.gpu_memory_share * machine.gpu_gib.value - held
    fitting = gpu_cache(engine, size.layers, free_gib=free).tokens / tokens
    return max(1.0, min(decided(engine.max_num_seqs), fitting, offered))


def generation_s(config: Config, machine: Machine, work: Work) -> float:
    """Return the seconds in which the policy workers draw the responses of a step."""
    algorithm, engine, size = config.algorithm, config.policy, _size(config.policy.model)
    assert isinstance(algorithm, PolicyGradientConfig)
    responses = algorithm.groups_per_step * algorithm.group_size
    each = responses / engine.num_workers
    offered = each * (algorithm.max_staleness + 1)
    sequences = sequences_at_once(engine, size, machine, tokens=work.prompt + work.response, offered=offered)
    rate = tokens_per_s(engine, size, machine, sequences=sequences, context=work.prompt + work.response / 2)
    prompts = algorithm.groups_per_step / engine.num_workers * work.prompt
    return each * work.response / rate + _prefill_s(engine, size, machine, prompts)


def pivot_s(config: Config, machine: Machine, work: Work) -> float:
    """Return the seconds in which the pivot answers the items of a step, none of which is cached."""
    engine, size = config.pivot, _size(config.pivot.model)
    asked = config.algorithm.groups_per_step * engine.num_references / engine.num_workers
    tokens = work.prompt + work.reference
    sequences = sequences_at_once(engine, size, machine, tokens=tokens, offered=asked)
    rate = tokens_per_s(engine, size, machine, sequences=sequences, context=work.prompt + work.reference / 2)
    return asked * work.reference / rate + _prefill_s(engine, size, machine, asked * work.prompt)


def scoring_s(config: Config, machine: Machine, work: Work) -> float:
    """Return the seconds of a scorer for its part of a step: gates on the host, then the encoder's layers."""
    scorer, size = config.scorer, _size(config.scorer.model)
    responses = config.algorithm.groups_per_step * config.algorithm.samples_per_problem / scorer.num_workers
    layers = size.parameters - size.layers.vocabulary * size.layers.hidden
    on_gpu, on_cpu = machine.flops.value * machine.encoder_use.value, machine.core_flops.value * scorer.num_cpus
    speed = on_gpu if scorer.num_gpus else on_cpu
    return responses * machine.gates.value + 2 * layers * responses * work.response / speed


def learner_s(config: Config, machine: Machine, work: Work) -> float:
    """Return the seconds of a batch's forward and backward passes and its optimiser steps."""
    learner, size = config.learner, _size(config.policy.model)
    samples = config.algorithm.groups_per_step * config.algorithm.samples_per_problem
    prompts = config.algorithm.groups_per_step if learner.share_prompts else samples
    tokens = (samples * work.response + prompts * work.prompt) / learner.num_ranks
    rows = ceil(tokens * learner.sequence_parallel_size / config.row_tokens)
    passes = config.algorithm.epochs
    in_row = rows * (gathers_s(size, config, machine) + machine.zero_row.value)
    head = head_s(size, config, machine, positions=samples * work.response / learner.num_ranks)
    steps = config.algorithm.optimizer_steps * optimizer_s(size, config, machine)
    return passes * (compute_s(size, config, machine, tokens=tokens) + in_row + head) + steps


def compute_s(size: ModelSize, config: Config, machine: Machine, *, tokens: float) -> float:
    """Return the seconds of the matrix products of a rank: 6 operations a parameter and token, 8 if computed again.

    2 in the forward and 4 in the backward pass (arXiv 2001.08361, section 2.1). Attention's own products are left out.
    """
    operations = 8 if config.learner.gradient_checkpointing else 6
    return operations * size.parameters * tokens / (machine.flops.value * machine.learner_use.value)


def gathers_s(size: ModelSize, config: Config, machine: Machine) -> float:
    """Return the seconds that a row waits for ZeRO-3's collectives: weights for each pass, and gradients.

    A layer is gathered for the forward and the backward pass, and once more if it is computed again. Each rank receives
    the shares of all others. Computing hides a part of it only: a bucket that is gathered ahead is less than a layer.
    """
    ranks, learner = config.learner.num_ranks, config.learner
    passes = 4 if learner.gradient_checkpointing else 3
    num_bytes = passes * size.parameters * BYTES[learner.dtype] * (ranks - 1) / ranks
    return num_bytes / _link(machine, ranks) * (1 - machine.hidden.value)


def head_s(size: ModelSize, config: Config, machine: Machine, *, positions: float) -> float:
    """Return the seconds in which the head's backward pass adds up the fp32 gradient of its weights, chunk by chunk."""
    chunks = positions / decided(config.learner.logprob_chunk_tokens)
    return chunks * size.layers.vocabulary * size.layers.hidden * 4 * 2 / machine.memory.value


def optimizer_s(size: ModelSize, config: Config, machine: Machine) -> float:
    """Return the seconds of an optimiser step: 16 bytes of states a parameter, read and written."""
    learner = config.learner
    speed = machine.host_memory if learner.offload_optimizer else machine.memory
    return 2 * 16 * size.parameters / learner.num_ranks / speed.value


def push_s(config: Config, machine: Machine) -> float:
    """Return the seconds of a weight push: gathered to rank 0, sent to all workers, and copied three times there."""
    num_bytes = pushed_bytes(config)
    assert num_bytes is not None, f"{config.policy.model} has no sizes"
    gpus = config.learner.num_ranks + config.policy.num_workers * config.policy.tensor_parallel_size
    buckets = ceil(num_bytes / (decided(config.weights.bucket_mib) << 20))
    moved = num_bytes / _link(machine, config.learner.num_ranks) + num_bytes / _link(machine, gpus)
    return moved + 3 * 2 * num_bytes / machine.memory.value + buckets * machine.bucket.value


def turns_s(config: Config, machine: Machine) -> float:
    """Return the seconds in which a shared GPU changes hands twice: the rank's 18 bytes a parameter out and back."""
    if not config.cluster.colocate:
        return 0.0
    states = 18 * _size(config.policy.model).parameters / config.learner.num_ranks
    return 2 * (machine.turn.value + states / machine.host_link.value)


def _prefill_s(engine: EngineConfig, size: ModelSize, machine: Machine, tokens: float) -> float:
    """Return the seconds in which a worker computes prompts: 2 operations a parameter and token."""
    speed = machine.flops.value * machine.prefill_use.value * engine.tensor_parallel_size
    return 2 * size.parameters * tokens / speed


def _link(machine: Machine, gpus: int) -> float:
    """Return the speed between so many GPUs, in bytes/s: that of the network where they are on several nodes."""
    return (machine.nvlink if gpus <= machine.gpus_per_node.value else machine.network).value


def _size(model: str) -> ModelSize:
    size = model_size(model, key="model")
    assert size is not None, f"{model} has no sizes"
    return size
