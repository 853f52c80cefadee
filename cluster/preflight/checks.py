"""Work out from the config what the run needs of each node."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.capacity import Node
from cluster.estimate.learner import pushed_bytes
from cluster.host_memory import GIB
from cluster.layout import Layout, Placement, Role, summed
from cluster.preflight.facts import NodeNeeds
from cluster.settings import weight_backend
from contracts.config.device_defaults import with_device_defaults
from contracts.config.reward import needs_encoder, needs_translator
from contracts.config.run import Config
from contracts.config.section import decided


@dataclass(frozen=True, kw_only=True)
class NodeCheck:
    """Say what to check on one node."""

    node: Node
    needs: NodeNeeds
    bfloat16_keys: tuple[str, ...] = ()  # config keys that ask for bfloat16 on its GPUs
    object_store_gib: float = 0.0  # what weights need of Ray's object store there


def checks_where_placed(
    config: Config, wanted: Layout, where: Mapping[str, str], nodes: Iterable[Node], *, marker: str
) -> tuple[NodeCheck, ...]:
    """Return the checks of the nodes that actors were placed on.

    Args:
        config: of the run.
        wanted: its layout.
        where: the node's name by the actor's.
        nodes: the cluster's.
        marker: a file in the folder of run folders that nodes with learner ranks must see.
    """
    found = ((node, [one for one in wanted.placements if where.get(one.name) == node.name]) for node in nodes)
    return tuple(_check(config, node, placements, wanted, marker=marker) for node, placements in found if placements)


def checks_everywhere(config: Config, wanted: Layout, nodes: Iterable[Node]) -> tuple[NodeCheck, ...]:
    """Return the checks of all nodes that actors may be placed on."""
    found = ((node, [one for one in wanted.placements if node.may_hold(one)]) for node in nodes)
    return tuple(_check(config, node, placements, wanted) for node, placements in found if placements)


def _check(config: Config, node: Node, placements: list[Placement], wanted: Layout, *, marker: str = "") -> NodeCheck:
    roles: tuple[Role, ...] = tuple(dict.fromkeys(placement.role for placement in placements))
    gpus = min(summed(placement.bundle for placement in placements).gpus, node.total.gpus)
    return NodeCheck(
        node=node,
        needs=NodeNeeds(
            models=_models(config, roles), num_gpus=math.ceil(gpus), marker=marker if "learner" in roles else ""
        ),
        bfloat16_keys=_bfloat16_keys(config, roles) if gpus else (),
        object_store_gib=_object_store_gib(config, wanted) if {"policy", "learner"} & set(roles) else 0.0,
    )


def _object_store_gib(config: Config, wanted: Layout) -> float:
    """Return what a weight push has in the object store: a bucket that is read, and the next one that is written.

    0 where no weights travel, or another way, or the size of the model is not known.
    """
    travel = {"policy", "learner"} <= {placement.role for placement in wanted.placements}
    pushed = pushed_bytes(config) if travel else None
    if pushed is None or weight_backend(config, wanted.device) not in ("object_store", "adapters"):
        return 0.0
    bucket = decided(with_device_defaults(config, wanted.device).weights.bucket_mib) << 20
    return min(2 * bucket, pushed) / GIB


def _models(config: Config, roles: tuple[Role, ...]) -> dict[str, str]:
    """Return the models that these roles load, by their config key."""
    has_learner, has_scorer = "learner" in roles, "scorer" in roles
    needs_seq2seq = has_scorer and needs_translator(config.reward, config.comet)
    models = {
        "policy.model": config.policy.model if has_learner or "policy" in roles else None,
        "pivot.model": config.pivot.model if "pivot" in roles else None,
        "scorer.model": config.scorer.model if has_scorer and needs_encoder(config.reward) else None,
        "critic.model": config.critic.model if has_learner and config.algorithm.name == "ppo" else None,
        "comet.model": config.comet.model if has_scorer and config.reward.needs_comet else None,
        "translator.model": config.translator.model if needs_seq2seq else None,
    }
    return {key: model for key, model in models.items() if model is not None}


def _bfloat16_keys(config: Config, roles: tuple[Role, ...]) -> tuple[str, ...]:
    engines = (("policy", config.policy), ("pivot", config.pivot))
    return tuple(f"{role}.dtype" for role, engine in engines if role in roles and engine.dtype == "bfloat16")
