"""Draw from a seed which faults are injected into a run, and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Actor = Literal["policy", "pivot", "scorer", "learner"]
Target = Literal["policy", "pivot", "scorer", "learner", "driver"]
Kind = Literal["kill", "kill_all", "stop", "hang", "pause", "starve"]
"""kill: SIGKILL; kill_all: SIGKILL to the driver and all its actors at once; stop: SIGTERM; hang: SIGSTOP for good (a
hung driver is killed in the end, as a person would do); pause: SIGSTOP, and SIGCONT some seconds later; starve: a tenth
of the processor for some seconds."""

ACTORS: tuple[Actor, ...] = get_args(Actor)
ACTOR_KINDS: tuple[Kind, ...] = ("kill", "hang", "pause", "starve")
DRIVER_KINDS: tuple[Kind, ...] = ("kill", "kill_all", "stop", "hang", "pause", "starve")

FaultType = tuple[Target, Kind]
EVERY_TYPE: tuple[FaultType, ...] = (
    *((actor, kind) for actor in ACTORS for kind in ACTOR_KINDS),
    *(("driver", kind) for kind in DRIVER_KINDS),
)
_LAST_STEPS = 3
"""Steps at the end without a fault: nothing can be injected into a run that is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Hold one fault and its moment."""

    number: int  # from 1
    target: Target
    kind: Kind
    after_step: int  # it is injected once metrics.jsonl has this step,
    delay_s: float  # and this much later
    lasts_s: float  # seconds of a pause, a starvation, or a hang of the driver
    choice: float  # in [0, 1): which of several workers


def plan(types: Sequence[FaultType], *, steps: int, seed: int, dead_after_s: float) -> list[Fault]:
    """Return a fault of each type in a random order, spread over the steps.

    Pauses are both shorter and longer than `dead_after_s`, the silence after which a worker counts as dead.

    Raises:
        ValueError: there are too few steps.
    """
    chance = random.Random(seed)
    order = list(types)
    chance.shuffle(order)
    last = steps - _LAST_STEPS
    if last < 1:
        raise ValueError(f"a run of {steps} steps is too short for faults; it needs at least {_LAST_STEPS + 1}")
    return [
        Fault(
            number=index + 1,
            target=target,
            kind=kind,
            after_step=1 + int((index + chance.random()) / len(order) * (last - 1)),
            delay_s=chance.uniform(0, 3),
            lasts_s=chance.uniform(0.3, 1.7) * dead_after_s,
            choice=chance.random(),
        )
        for index, (target, kind) in enumerate(order)
    ]


def fault_types(num: int, *, seed: int) -> list[FaultType]:
    """Return every kind of fault on every target once, and random ones up to `num`, three of four on actors.

    Raises:
        ValueError: `num` is too small for that.
    """
    if num < len(EVERY_TYPE):
        raise ValueError(f"{num} faults are too few: every kind of fault on every target once makes {len(EVERY_TYPE)}")
    chance = random.Random(f"hits {seed}")
    on_actors = [found for found in EVERY_TYPE if found[0] != "driver"]
    on_driver = [found for found in EVERY_TYPE if found[0] == "driver"]
    more = [chance.choice(on_actors if chance.random() < 0.75 else on_driver) for _ in range(num - len(EVERY_TYPE))]
    return [*EVERY_TYPE, *more]
