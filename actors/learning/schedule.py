"""Compute learning rates by optimiser step: a linear warm-up, then constant, linear or cosine down to a floor."""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Kind: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Describe the learning rate over a run."""

    kind: Kind
    warmup_steps: int  # number of optimiser steps; the last of them has the full rate
    total_steps: int  # optimiser steps of the whole run
    floor: float  # rate of the step after the run's last one, as a fraction of the full rate


def lr_factor(step: int, schedule: Schedule) -> float:
    """Return the learning rate of optimiser step `step` (the first is 0), as a fraction of the full rate.

    In the warm-up it is (step + 1) / warmup_steps. From the first step with the full rate on, it goes linearly or along
    half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5) down to the floor. The floor is reached one
    step after the run's last one, so that with a floor of 0 every step still learns. Later steps keep the floor.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.kind == "constant":
        return 1.0
    full = max(schedule.warmup_steps, 1) - 1
    progress = min(1.0, (step - full) / max(1, schedule.total_steps - full))
    left = 1 - progress if schedule.kind == "linear" else (1 + cos(pi * progress)) / 2
    return schedule.floor + (1 - schedule.floor) * left


def catch_up(rates: LambdaLR) -> None:
    """Set the learning rate of the step that a loaded schedule has reached, by the current length of the run.

    A run that is continued with more steps has another rate there than the saved one, which the optimiser got with its
    state.
    """
    found = [base * factor(rates.last_epoch) for base, factor in zip(rates.base_lrs, rates.lr_lambdas, strict=True)]
    for group, rate in zip(rates.optimizer.param_groups, found, strict=True):
        group["lr"] = rate
    rates._last_lr = found


def learning_rates(optimizer: Optimizer, schedule: Schedule) -> LambdaLR:
    """Return the schedule for torch. Its state dict holds the step only, not the length of the run."""
    return LambdaLR(optimizer, lambda step: lr_factor(step, schedule))
