"""Work out the actors of a run and the devices that each one gets, from the config and the size of the cluster.

Starts nothing: `plan` prints the layout, and a run reserves it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from contracts.config.device_defaults import Device
from contracts.config.learning import SftConfig
from contracts.config.run import Config
from contracts.config.workers import NodeLabels

Role = Literal["policy", "pivot", "scorer", "learner"]
ROLES: tuple[Role, ...] = ("policy", "pivot", "scorer", "learner")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Count the CPUs and GPUs of a cluster, or of one bundle."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


def summed(many: Iterable[Resources]) -> Resources:
    """Return what several nodes or bundles have together."""
    counted = tuple(many)
    return Resources(cpus=sum(one.cpus for one in counted), gpus=sum(one.gpus for one in counted))


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Hold one actor: its role, its number within the role, and its bundle."""

    role: Role
    index: int
    bundle: Resources
    num_threads: int  # OpenMP threads of its process
    shares: str = ""  # the actor whose GPU it shares; empty: none, or other actors share this one's
    nodes: NodeLabels = field(default_factory=dict, hash=False)  # labels of the nodes where it may run; empty: all

    @property
    def name(self) -> str:
        return f"{self.role}-{self.index}"

    @property
    def device(self) -> Device:
        """Return what the actor computes on: a process without a GPU of its own may not use another's."""
        return "cuda" if self.bundle.gpus > 0 else "cpu"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Hold what is reserved in one piece, on one node: one actor, or actors that share a GPU."""

    placements: tuple[Placement, ...]

    @property
    def bundle(self) -> Resources:
        """Return the sum of what the actors need. Ray counts GPUs in ten-thousandths."""
        total = summed(placement.bundle for placement in self.placements)
        return Resources(cpus=total.cpus, gpus=round(total.gpus, 4))

    @property
    def nodes(self) -> NodeLabels:
        """Return the labels of the nodes where it may be; `check_settings` lets its actors have no others."""
        return self.placements[0].nodes

    @property
    def name(self) -> str:
        """Return the names of its actors."""
        return " and ".join(placement.name for placement in self.placements)

    @property
    def is_rank(self) -> bool:
        """Return whether a rank of the learner is in it."""
        return any(placement.role == "learner" for placement in self.placements)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Hold all actors of a run."""

    device: Device
    placements: tuple[Placement, ...]

    def of(self, role: Role) -> tuple[Placement, ...]:
        return tuple(placement for placement in self.placements if placement.role == role)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return all slots, in the order of their first actors."""
        members: dict[str, list[Placement]] = {}
        for placement in self.placements:
            members.setdefault(placement.shares or placement.name, []).append(placement)
        return tuple(Slot(placements=tuple(placements)) for placements in members.values())

    @property
    def total(self) -> Resources:
        return summed(placement.bundle for placement in self.placements)


def training_roles(config: Config) -> tuple[Role, ...]:
    """Return the roles that a training run needs.

    A run that imitates references needs no scorer, a pivot only if the data has no translations, and a policy worker
    only to evaluate.
    """
    if not isinstance(config.algorithm, SftConfig):
        return ROLES
    asks_pivot = config.algorithm.sft_target == "pivot"
    absent = {"scorer"} | (set() if config.evaluation.is_wanted else {"policy"}) | (set() if asks_pivot else {"pivot"})
    return tuple(role for role in ROLES if role not in absent)


def layout(config: Config, device: Device, *, roles: tuple[Role, ...] = ROLES) -> Layout:
    """Give each actor what it needs: {GPU: 1, CPU: n} on GPUs ({GPU: k} with tensor parallelism k), {CPU: n} without.

    With tensor parallelism k, vLLM needs its GPUs on one node: one slot of k GPUs, not k slots. A scorer that needs
    part of a GPU shares that of a pivot worker which needs another part. A policy worker and a learner rank that use
    one GPU in turns reserve half of it each, which is how Ray gives both the same one.
    """
    on_gpu = device == "cuda"
    in_turns = is_colocated(config, roles)
    shapes: dict[Role, tuple[int, float, float]] = {
        "policy": (config.policy.num_workers, config.policy.num_cpus, 0.5 if in_turns else config.policy.gpus),
        "pivot": (config.pivot.num_workers, config.pivot.num_cpus, config.pivot.gpus),
        "scorer": (config.scorer.num_workers, config.scorer.num_cpus, config.scorer.num_gpus),
        "learner": (config.learner.num_ranks, config.learner.num_cpus, 0.5 if in_turns else 1),
    }
    labels = config.cluster.nodes
    nodes: dict[Role, NodeLabels] = {
        "policy": labels.policy,
        "pivot": labels.pivot,
        "scorer": labels.scorer,
        "learner": labels.learner,
    }
    return Layout(
        device=device,
        placements=tuple(
            Placement(
                role=role,
                index=index,
                bundle=Resources(cpus=cpus, gpus=gpus if on_gpu else 0),
                num_threads=max(1, math.floor(cpus)),
                shares=_host(config, role, index, roles) if on_gpu else "",
                nodes=nodes[role],
            )
            for role, (count, cpus, gpus) in shapes.items()
            if role in roles
            for index in range(count)
        ),
    )


def is_colocated(config: Config, roles: tuple[Role, ...] = ROLES) -> bool:
    """Return whether policy workers and learner ranks use the same GPUs in turns."""
    return config.cluster.colocate and {"policy", "learner"} <= set(roles)


def _host(config: Config, role: Role, index: int, roles: tuple[Role, ...]) -> str:
    """Return the actor whose GPU this actor shares; empty if it has its own."""
    if role == "learner" and is_colocated(config, roles):
        return f"policy-{index}"
    if role == "scorer" and "pivot" in roles:
        num_beside = _scorers_beside_pivot(config)
        if index < num_beside * config.pivot.num_workers:
            return f"pivot-{index // num_beside}"
    return ""


def _scorers_beside_pivot(config: Config) -> int:
    """Return how many scorers fit on a pivot worker's GPU beside it."""
    if config.pivot.gpus >= 1 or not 0 < config.scorer.num_gpus < 1:
        return 0
    return math.floor((1 - config.pivot.gpus) / config.scorer.num_gpus + 1e-9)
