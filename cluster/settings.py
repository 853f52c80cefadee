"""Check before anything starts what an actor would refuse after minutes: settings that its device or model can't do."""

from importlib.util import find_spec

from cluster.layout import Role, layout
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from contracts.config.workers import WeightBackend
from contracts.errors import BadInput
from contracts.model_config import read_model_config, why_indivisible

_FLASH = "flash_attention_2"


def check_settings(config: Config, device: Device, *, roles: tuple[Role, ...]) -> None:
    """Check the settings of these roles for a device. Models that are not on this machine are not looked into.

    Raises:
        BadInput: a setting is refused; `key` is the setting.
    """
    if "learner" in roles:
        _check_attention(config, device)
        _check_weights(config, device)
    _check_labels(config, device, roles)
    for role, engine in (("policy", config.policy), ("pivot", config.pivot)):
        size = engine.tensor_parallel_size
        if role not in roles or size == 1:
            continue
        key = f"{role}.tensor_parallel_size"
        facts = read_model_config(engine.model, key=f"{role}.model")
        if facts is not None and (why := why_indivisible(facts, size)) is not None:
            raise BadInput(f"{key} = {size}: {engine.model} {why}; choose a divisor of it", key=key)


def weight_backend(config: Config, device: Device) -> WeightBackend:
    """Return how weights travel. "auto" is NCCL between GPUs, and Ray's object store without GPUs."""
    if config.cluster.colocate:
        return "ipc"
    if config.learner.lora is not None and config.weights.lora == "adapter":
        return "adapters"
    if config.weights.backend != "auto":
        return config.weights.backend
    return "nccl" if device == "cuda" else "object_store"


def _check_attention(config: Config, device: Device) -> None:
    learner, key = config.learner, "learner.attention"
    if learner.attention != _FLASH:
        return
    if device == "cpu":
        raise BadInput(_needs_gpus(key, _FLASH), key=key)
    if find_spec("flash_attn") is None:
        raise BadInput(
            f'{key} = "{_FLASH}" needs the package flash-attn, which is not installed; set it to "auto"', key=key
        )
    if learner.dtype == "float32":
        raise BadInput(f'{key} = "{_FLASH}" needs half precision, and learner.dtype is "float32"', key=key)


def _check_weights(config: Config, device: Device) -> None:
    weights, size = config.weights, config.policy.tensor_parallel_size
    if device == "cpu" and config.cluster.colocate:
        raise BadInput(
            'cluster.colocate shares GPUs, and this run has none; leave it out, or set cluster.device = "cuda" where '
            "there are GPUs",
            key="cluster.colocate",
        )
    if device == "cpu" and weights.backend == "nccl":
        raise BadInput(_needs_gpus("weights.backend", weights.backend), key="weights.backend")
    if size > 1 and weight_backend(config, device) == "object_store":
        way_out = (
            'set weights.backend = "nccl"'
            if device == "cuda"
            else 'set it to 1, or cluster.device = "cuda" where there are GPUs'
        )
        raise BadInput(
            f"policy.tensor_parallel_size is {size}, and weights that travel through Ray's object store reach engines "
            f"of one process only; {way_out}",
            key="weights.backend" if device == "cuda" else "policy.tensor_parallel_size",
        )


def _check_labels(config: Config, device: Device, roles: tuple[Role, ...]) -> None:
    """Check that actors which share a GPU may run on the same nodes."""
    for slot in layout(config, device, roles=roles).slots:
        for placement in slot.placements:
            if placement.nodes != slot.nodes:
                key, first = f"cluster.nodes.{placement.role}", slot.placements[0]
                raise BadInput(
                    f"{placement.name} shares the GPU of {first.name}, and {key} differs from "
                    f"cluster.nodes.{first.role}; give both the same labels",
                    key=key,
                )


def _needs_gpus(key: str, value: str) -> str:
    return (
        f'{key} = "{value}" needs GPUs, and this run has none; set it to "auto", or set cluster.device = "cuda" where '
        "there are GPUs"
    )
