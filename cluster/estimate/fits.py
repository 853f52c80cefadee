"""Compare what a run needs with what its nodes and GPUs have, and refuse at once what cannot fit.

An actor that runs out of memory says so after minutes of loading, or in the middle of a step.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cluster.estimate.actors import estimate
from cluster.estimate.engines import Cache, cpu_cache, gpu_cache
from cluster.estimate.learner import learner_memory
from cluster.estimate.parts import DRIVER_GIB, RAY_GIB, ActorMemory, Memory
from cluster.estimate.shapes import model_size
from cluster.estimate.turns import turns_gib
from cluster.layout import Layout, Placement, Role, is_colocated
from contracts.config.run import Config
from contracts.config.workers import EngineConfig
from contracts.errors import BadInput

_SMALLER = "start fewer actors, choose smaller models or learner.lora, or larger machines"

HOST_ERROR = 0.1
"""Share by which an estimate of host memory may be too high: a run that might just fit is not refused."""
USABLE_GPU = 0.99
"""Share of a GPU's memory that a learner rank can use: the driver keeps a little of it."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Hold the memory that is there, in GiB, as far as it is known."""

    gpu_gib: float | None = None  # of the smallest GPU
    nodes_gib: Mapping[str, float] = field(default_factory=dict)  # host memory by node; empty: not known
    where: Mapping[str, str] = field(default_factory=dict)  # the node of each actor; empty: none is placed yet


def host_total(needs: Mapping[Role, ActorMemory], wanted: Layout) -> float | None:
    """Return the host memory of all actors, the driver and Ray together, in GiB; None if an actor's is not known."""
    total = DRIVER_GIB + RAY_GIB
    for placement in wanted.placements:
        needed = needs[placement.role].host_gib(placement.index)
        if needed is None:
            return None
        total += needed
    return total


def check_memory(config: Config, wanted: Layout, hardware: Hardware) -> None:
    """Refuse a run that cannot fit. What is not known is not refused.

    Args:
        config: with the defaults of its device.
        wanted: the actors of the run.
        hardware: what the cluster, or this machine, has.

    Raises:
        BadInput: a GPU or a node is too small; `key` is what to change.
    """
    roles: set[Role] = {placement.role for placement in wanted.placements}
    needs = estimate(config, wanted.device, roles=roles, gpu_gib=hardware.gpu_gib)
    engines: dict[Role, EngineConfig] = {"policy": config.policy, "pivot": config.pivot}
    for role, engine in engines.items():
        if wanted.of(role):
            _check_cache(role, engine, needs[role])
    if hardware.gpu_gib is not None and wanted.device == "cuda":
        if wanted.of("learner"):
            _check_learner(config, needs["learner"].gpu, hardware.gpu_gib)
        if is_colocated(config, tuple(roles)):
            _check_turns(needs["policy"].gpu, needs["learner"].gpu, hardware.gpu_gib)
        if wanted.of("scorer"):
            _check_scorer(config, needs["scorer"].gpu, hardware.gpu_gib)
    if hardware.where:
        _check_placed(needs, wanted, hardware)
    elif hardware.nodes_gib:
        _check_nodes(needs, wanted, list(hardware.nodes_gib.values()))


def _check_cache(role: Role, engine: EngineConfig, need: ActorMemory) -> None:
    """Check that an engine's cache holds one sequence of the longest length: vLLM starts with no less."""
    size = model_size(engine.model, key=f"{role}.model")
    if size is None or not size.layers.cached:
        return
    if need.gpu is None:
        _check_host_cache(role, engine, cpu_cache(engine, size.layers))
    elif "cache" in need.gpu.parts:
        _check_gpu_cache(role, engine, need.gpu, gpu_cache(engine, size.layers, free_gib=need.gpu.parts["cache"]))


def _check_host_cache(role: Role, engine: EngineConfig, cache: Cache) -> None:
    if cache.sequences(engine.max_model_len) == 0:
        key = f"{role}.kv_cache_gib"
        raise BadInput(
            f"the cache of a {role} worker, {key} {engine.kv_cache_gib:g}, holds {cache.tokens:,} tokens, fewer than "
            f"one sequence of {role}.max_model_len {engine.max_model_len}; raise {key}, or lower {role}.max_model_len",
            key=key,
        )


def _check_gpu_cache(role: Role, engine: EngineConfig, need: Memory, cache: Cache) -> None:
    if cache.sequences(engine.max_model_len) == 0:
        key = f"{role}.num_gpus" if engine.gpus < 1 else f"{role}.tensor_parallel_size"
        held = Memory({name: value for name, value in need.parts.items() if name != "cache"})
        raise BadInput(
            f"a {role} worker needs {held.total_gib:.1f} GiB of each GPU before its cache ({held.formula}), and "
            f"{engine.gpu_memory_share:.0%} of the GPU leaves {cache.tokens:,} tokens for it, fewer than one sequence "
            f"of {role}.max_model_len {engine.max_model_len}; raise {key} or {role}.gpu_memory_utilization, or lower "
            f"{role}.max_model_len or {role}.max_num_batched_tokens",
            key=key,
        )


def _check_learner(config: Config, need: Memory | None, gpu_gib: float) -> None:
    """Check that a rank fits its GPU."""
    if need is None or need.total_gib <= gpu_gib * USABLE_GPU:
        return
    learner = config.learner
    ways = ["raise learner.num_ranks"]
    if not learner.gradient_checkpointing:
        ways.append("set learner.gradient_checkpointing = true")
    if (row_tokens := _fitting_row(config, gpu_gib)) is not None:
        ways.append(f"set learner.row_tokens = {row_tokens}")
    elif (size := _fitting_split(config, gpu_gib)) is not None:
        ways.append(f"set learner.sequence_parallel_size = {size}")
    if not learner.offload_optimizer:
        ways.append("set learner.offload_optimizer = true")
    raise BadInput(
        f"a learner rank needs {need.total_gib:.1f} GiB ({need.formula}), and a GPU has {gpu_gib:.1f} GiB; "
        f"{', '.join(ways)}",
        key="learner.num_ranks",
    )


def _fitting_row(config: Config, gpu_gib: float) -> int | None:
    """Return the longest row that fits a GPU, found by halving; None if none does that holds every sequence."""
    row_tokens = config.row_tokens
    while (row_tokens := row_tokens // 2) >= config.policy.max_model_len:
        if _would_fit(config, gpu_gib, row_tokens=row_tokens):
            return row_tokens
    return None


def _fitting_split(config: Config, gpu_gib: float) -> int | None:
    """Return the fewest ranks that must split a row for it to fit; None if that does not help."""
    current, num_ranks = config.learner.sequence_parallel_size, config.learner.num_ranks
    sizes = [size for size in range(current + 1, num_ranks + 1) if num_ranks % size == 0]
    return next((size for size in sizes if _would_fit(config, gpu_gib, sequence_parallel_size=size)), None)


def _would_fit(config: Config, gpu_gib: float, **keys: int) -> bool:
    """Return whether a rank fits its GPU with other values of some keys of [learner]."""
    changed = config.learner.model_copy(update=keys)
    need = learner_memory(config.model_copy(update={"learner": changed}), "cuda").gpu
    return need is not None and need.total_gib <= gpu_gib * USABLE_GPU


def _check_turns(policy: Memory | None, learner: Memory | None, gpu_gib: float) -> None:
    """Check that a GPU is large enough for each turn of the two actors that share it."""
    if policy is None or learner is None:
        return
    turn, needed = max(turns_gib(policy, learner).items(), key=lambda item: item[1])
    if needed > gpu_gib * USABLE_GPU:
        is_engines = turn == "the policy's turn"
        key = "policy.gpu_memory_utilization" if is_engines else "learner.num_ranks"
        way_out = f"lower {key}" if is_engines else f"raise {key} and policy.num_workers"
        raise BadInput(
            f"{turn} needs {needed:.1f} GiB of a GPU that a policy worker and a learner rank share, and it has "
            f"{gpu_gib:.1f} GiB; {way_out}, or leave out cluster.colocate",
            key=key,
        )


def _check_scorer(config: Config, need: Memory | None, gpu_gib: float) -> None:
    """Check that a scorer fits its share of a GPU."""
    share = min(1.0, config.scorer.num_gpus) * gpu_gib
    if need is not None and need.total_gib > share:
        raise BadInput(
            f"a scorer needs {need.total_gib:.1f} GiB ({need.formula}), and its share of a GPU, scorer.num_gpus "
            f"{config.scorer.num_gpus:g}, is {share:.1f} GiB; raise scorer.num_gpus, or lower scorer.batch_size",
            key="scorer.num_gpus",
        )


def _check_nodes(needs: Mapping[Role, ActorMemory], wanted: Layout, nodes_gib: Sequence[float]) -> None:
    """Check that the nodes have enough host memory: each actor on some node, and all actors together."""
    total = host_total(needs, wanted)
    if total is None:
        return
    largest = max(needed for need in needs.values() if (needed := need.host_gib(0)) is not None)
    if not (_may_fit(total, sum(nodes_gib)) and _may_fit(largest, max(nodes_gib))):
        raise BadInput(
            f"the run needs about {total:.1f} GiB of host memory ({_shares(needs, wanted.placements)}, the driver and "
            f"Ray {DRIVER_GIB + RAY_GIB:.1f}), and {_nodes(nodes_gib)}; {_SMALLER}",
            key="cluster",
        )


def _check_placed(needs: Mapping[Role, ActorMemory], wanted: Layout, hardware: Hardware) -> None:
    """Check that every node has enough host memory for the actors that are placed there."""
    for node, node_gib in hardware.nodes_gib.items():
        here = [placement for placement in wanted.placements if hardware.where.get(placement.name) == node]
        needed = [needs[placement.role].host_gib(placement.index) for placement in here]
        beside = RAY_GIB + (DRIVER_GIB if len(hardware.nodes_gib) == 1 else 0.0)  # else it may be on another node
        total = beside + sum(one for one in needed if one is not None)
        if not _may_fit(total, node_gib):
            raise BadInput(
                f"{node} has {node_gib:.1f} GiB of memory, and the actors that are placed there need about "
                f"{total:.1f} ({_shares(needs, here)}, beside them {beside:g}); {_SMALLER}, or more nodes",
                key="cluster",
            )


def _may_fit(needed_gib: float, there_gib: float) -> bool:
    return needed_gib * (1 - HOST_ERROR) <= there_gib


def _shares(needs: Mapping[Role, ActorMemory], placements: Sequence[Placement]) -> str:
    """Return how many actors of each role need how much, as text."""
    count: Counter[Role] = Counter(placement.role for placement in placements)
    parts = [f"{number} {role} x {host.total_gib:.1f}" for role, number in count.items() if (host := needs[role].host)]
    first = [placement for placement in placements if placement.index == 0 and needs[placement.role].first.parts]
    return ", ".join([*parts, *(f"{each.name} beside it {needs[each.role].first.total_gib:.1f}" for each in first)])


def _nodes(nodes_gib: Sequence[float]) -> str:
    if len(nodes_gib) == 1:
        return f"the machine has {nodes_gib[0]:.1f} GiB"
    return f"{len(nodes_gib)} nodes have {sum(nodes_gib):.1f} GiB, the largest {max(nodes_gib):.1f} GiB"
