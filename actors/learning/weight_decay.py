"""Divide a model's parameters into those that AdamW decays and those that it does not. Must not import DeepSpeed."""

from typing import TypeAlias

from torch import nn

ParameterGroup: TypeAlias = "dict[str, list[nn.Parameter] | float]"
"""A parameter group of torch's optimizers: `params` and their `weight_decay`."""


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[ParameterGroup]:
    """Return the parameters that learn, in groups for AdamW: norms and biases, which have one dimension, do not decay.

    Hugging Face's Trainer leaves the same parameters out, by their names. A group without parameters is left out, and
    without decay there is one group.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if weight_decay == 0:
        return [{"params": learning, "weight_decay": 0.0}]
    decayed = [parameter for parameter in learning if _num_dimensions(parameter) > 1]
    others = [parameter for parameter in learning if _num_dimensions(parameter) <= 1]
    groups: list[ParameterGroup] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _num_dimensions(parameter: nn.Parameter) -> int:
    """Return the number of dimensions of the whole parameter: a rank holds a sharded one as a flat piece."""
    return len(getattr(parameter, "ds_shape", parameter.shape))
