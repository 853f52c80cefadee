"""Which faults strike a run, and when: drawn from a seed, each kind of actor with each kind of fault at least once.

Pure: must not know processes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Actor = Literal["policy", "pivot", "scorer", "learner"]
Target = Literal["policy", "pivot", "scorer", "learner", "driver"]
Kind = Literal["kill", "kill_all", "stop", "hang", "pause", "starve"]
"""kill: SIGKILL; kill_all: of the driver with all its actors at once; stop: SIGTERM; hang: SIGSTOP for good (a hung
driver is killed in the end, as a person would do); pause: SIGSTOP, and SIGCONT some seconds later; starve: a tenth of
the processor for some seconds."""

ACTORS: tuple[Actor, ...] = get_args(Actor)
ACTOR_KINDS: tuple[Kind, ...] = ("kill", "hang", "pause", "starve")
DRIVER_KINDS: tuple[Kind, ...] = ("kill", "kill_all", "stop", "hang", "pause", "starve")

Hit = tuple[Target, Kind]
EVERY_HIT: tuple[Hit, ...] = (
    *((actor, kind) for actor in ACTORS for kind in ACTOR_KINDS),
    *(("driver", kind) for kind in DRIVER_KINDS),
)
_LAST_STEPS = 3
"""Without a fault: a run that is over can't be struck."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One strike."""

    number: int  # from 1
    target: Target
    kind: Kind
    after_step: int  # it strikes once metrics.jsonl has this step,
    delay_s: float  # and this much later
    lasts_s: float  # of a pause, a starvation, a driver's hang
    choice: float  # in [0, 1): which of several workers


def plan(hits: Sequence[Hit], *, steps: int, seed: int, dead_after_s: float) -> list[Fault]:
    """The hits in a random order, spread over the steps; pauses are shorter and longer than `dead_after_s`."""
    chance = random.Random(seed)
    order = list(hits)
    chance.shuffle(order)
    last = steps - _LAST_STEPS
    if last < 1:
        raise ValueError(f"{steps} steps leave no room for faults; at least {_LAST_STEPS + 1}")
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


def hits(num: int, *, seed: int) -> list[Hit]:
    """Every kind of fault on every target once, and random ones up to `num`, three of four on actors.

    Raises:
        ValueError: `num` is too small for that.
    """
    if num < len(EVERY_HIT):
        raise ValueError(f"{num} faults are too few: every fault on every kind of actor once makes {len(EVERY_HIT)}")
    chance = random.Random(f"hits {seed}")
    on_actors = [hit for hit in EVERY_HIT if hit[0] != "driver"]
    on_driver = [hit for hit in EVERY_HIT if hit[0] == "driver"]
    more = [chance.choice(on_actors if chance.random() < 0.75 else on_driver) for _ in range(num - len(EVERY_HIT))]
    return [*EVERY_HIT, *more]
