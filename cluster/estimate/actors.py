"""Estimate the memory of every role of a run, from the config and the files of its models. Nothing is loaded."""

from collections.abc import Callable, Iterable

from cluster.estimate.engines import engine_memory
from cluster.estimate.learner import learner_memory, pushed_bytes, sends_adapters
from cluster.estimate.parts import ActorMemory, gib
from cluster.estimate.scorer import scorer_memory
from cluster.estimate.turns import with_states_on_host
from cluster.layout import ROLES, Role, is_colocated
from contracts.config.device_defaults import Device
from contracts.config.run import Config


def estimate(
    config: Config, device: Device, *, roles: Iterable[Role] = ROLES, gpu_gib: float | None = None
) -> dict[Role, ActorMemory]:
    """Return what one actor of each role needs at most.

    Args:
        config: with the defaults of its device.
        device: that the run is on.
        roles: those whose models are looked at.
        gpu_gib: the size of a GPU; None: it is not known.

    Raises:
        BadInput: a file of a model can't be read.
    """
    on_gpu = device == "cuda"
    found: dict[Role, Callable[[], ActorMemory]] = {
        "policy": lambda: engine_memory(
            config.policy, key="policy", on_gpu=on_gpu, gpu_gib=gpu_gib, adapters_gib=_adapters_gib(config)
        ),
        "pivot": lambda: engine_memory(config.pivot, key="pivot", on_gpu=on_gpu, gpu_gib=gpu_gib),
        "scorer": lambda: scorer_memory(config, on_gpu=on_gpu and config.scorer.num_gpus > 0),
        "learner": lambda: _learner(config, device),
    }
    return {role: found[role]() for role in ROLES if role in set(roles)}


def _learner(config: Config, device: Device) -> ActorMemory:
    found = learner_memory(config, device)
    return with_states_on_host(found) if is_colocated(config) else found


def _adapters_gib(config: Config) -> float:
    """Return the GiB of the adapters that a policy worker holds: vLLM's own copy, beside the one that arrived."""
    pushed = pushed_bytes(config) if sends_adapters(config) else None
    return gib(2 * pushed) if pushed is not None else 0.0
