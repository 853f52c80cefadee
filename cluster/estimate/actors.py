"""Estimate the memory of every role of a run, from the config and the files of its models. Nothing is loaded."""

from cluster.estimate.engines import engine_memory
from cluster.estimate.learner import learner_memory
from cluster.estimate.parts import ActorMemory
from cluster.estimate.scorer import scorer_memory
from cluster.layout import Role
from contracts.config.device_defaults import Device
from contracts.config.run import Config


def estimate(config: Config, device: Device, *, gpu_gib: float | None = None) -> dict[Role, ActorMemory]:
    """Return what one actor of each role needs at most.

    Args:
        config: with the defaults of its device.
        device: that the run is on.
        gpu_gib: the size of a GPU; None: it is not known.

    Raises:
        BadInput: a file of a model can't be read.
    """
    on_gpu = device == "cuda"
    return {
        "policy": engine_memory(config.policy, key="policy", on_gpu=on_gpu, gpu_gib=gpu_gib),
        "pivot": engine_memory(config.pivot, key="pivot", on_gpu=on_gpu, gpu_gib=gpu_gib),
        "scorer": scorer_memory(config, on_gpu=on_gpu and config.scorer.num_gpus > 0),
        "learner": learner_memory(config, device),
    }
