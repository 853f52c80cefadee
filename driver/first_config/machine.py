"""Propose how many workers and ranks a run gets on a machine: values of config keys, the preferred ones first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Values = Mapping[str, object]

_SHARES = {"policy": 0.25, "pivot": 0.125, "scorer": 0.125, "learner": 0.5}
"""Shares of the cores of a machine without GPUs: the learner computes longest."""
_ENGINES = ("policy", "pivot")
_ADAPTERS: Values = {"learner.lora.rank": 32, "learner.lora.alpha": 64.0, "learner.learning_rate": 1e-5}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Say what a run may take."""

    gpus: int  # 0: it runs on CPUs
    cpus: int
    gpu_gib: float  # memory of one GPU


def proposals(machine: Machine) -> Iterator[Values]:
    """Yield layouts, each smaller in the memory that it needs on a GPU than the one before.

    With one or two GPUs, policy and learner use the first one in turns. With more, pivot and scorer share one, and the
    learner gets at least half of the others.
    """
    if machine.gpus == 0:
        yield _on_cpus(machine.cpus)
        return
    whole = list(_shared(machine) if machine.gpus <= 2 else _apart(machine))
    yield from whole
    for values in whole:
        merged = {"weights.lora": "merged"} if "cluster.colocate" in values else {}
        yield {**values, **_ADAPTERS, **merged}


def _on_cpus(cpus: int) -> Values:
    return {
        **{f"{role}.num_cpus": round(cpus * share, 3) for role, share in _SHARES.items()},
        **{f"{role}.kv_cache_gib": 0.5 for role in _ENGINES},
        "cluster.device": "cpu",
    }


def _on_gpus(machine: Machine) -> Values:
    return {"learner.gradient_checkpointing": True, "cluster.device": "cuda", "cluster.gpu_memory_gib": machine.gpu_gib}


def _shared(machine: Machine) -> Iterator[Values]:
    turns: Values = {
        "policy.gpu_memory_utilization": 0.4,
        "algorithm.max_staleness": 0,
        "cluster.colocate": True,
        **_on_gpus(machine),
    }
    yield turns if machine.gpus == 1 else {**turns, **_pivot_and_scorer()}


def _apart(machine: Machine) -> Iterator[Values]:
    others = machine.gpus - 1
    for tensor_parallel in (1, 2, 4):
        for ranks in range(-(-others // 2), others - tensor_parallel + 1):
            yield {
                "policy.num_workers": (others - ranks) // tensor_parallel,
                "policy.tensor_parallel_size": tensor_parallel,
                "algorithm.max_staleness": 1,
                "learner.num_ranks": ranks,
                **_pivot_and_scorer(),
                **_on_gpus(machine),
            }


def _pivot_and_scorer() -> Values:
    return {"pivot.num_gpus": 0.75, "scorer.num_gpus": 0.25}
