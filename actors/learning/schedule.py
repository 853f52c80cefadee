"""Learning rates by optimiser step: a linear warm-up, then constant, linear or cosine down to a floor.

Owns the formula. Knows torch's scheduler; must not know DeepSpeed, the config or what is trained.
"""

from dataclasses import dataclass
from math import cos, pi
from typing import Literal, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Kind: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What the rate does over a run."""

    kind: Kind
    warmup_steps: int  # optimiser steps; the last of them has the full rate
    total_steps: int  # optimiser steps of the whole run
    floor: float  # the rate that the step after the last would have, as a fraction of the full one


def lr_factor(step: int, schedule: Schedule) -> float:
    """The learning rate of optimiser step `step` (the first is 0), as a fraction of the full one.

    Over the warm-up (step + 1) / warmup_steps. From the first step with the full rate on, linear or along half a cosine
    (Loshchilov & Hutter 2017, arXiv 1608.03983) down to the floor, which the step after the run's last one would have:
    with a floor of 0 every step still learns. Later steps keep it.
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
    """The rate of the step that a loaded schedule has reached, by the run's length of now: a run that is continued
    with more steps has another rate there than the one that was saved, which the optimiser got with its state."""
    found = [base * factor(rates.last_epoch) for base, factor in zip(rates.base_lrs, rates.lr_lambdas, strict=True)]
    for group, rate in zip(rates.optimizer.param_groups, found, strict=True):
        group["lr"] = rate
    rates._last_lr = found


def learning_rates(optimizer: Optimizer, schedule: Schedule) -> LambdaLR:
    """The schedule for torch. A plain function inside: its state dict holds the step alone, not how long the run is."""
    return LambdaLR(optimizer, lambda step: lr_factor(step, schedule))
