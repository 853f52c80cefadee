"""Draw from a seed which faults are injected into a run, and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Actor = Literal["policy", "pivot", "scorer", "learner"]
Target = Literal["policy", "pivot", "scorer", "learner", "driver"]
Signal = Literal["kill", "kill_all", "stop", "hang", "pause", "starve", "slow"]
"""kill: SIGKILL; kill_all: SIGKILL to the driver and all its actors at once; stop: SIGTERM; hang: SIGSTOP for good (a
hung driver is killed in the end, as a person would do); pause: SIGSTOP, and SIGCONT some seconds later; starve: a tenth
of the processor for some seconds; slow: a thirtieth for much longer, so that heartbeats go on and work hardly does."""
Stage = Literal[
    "kill_shards", "kill_manifest", "kill_rename", "kill_pointer", "kill_pruning", "kill_export", "kill_merge"
]
"""SIGKILL to the driver and all its actors in a stage of a checkpoint (the learner's shards are written; the manifest;
it has its name, and `latest` not yet; `latest` names it; an old one is being removed), of the export at the end, or
while samples are merged at the end."""
Loss = Literal["full_disk", "lost_record"]
"""full_disk: nothing can be written for some seconds; lost_record: kill_all, then the steps that the newest checkpoint
rests on are cut off from metrics.jsonl, as a power cut can do."""
Kind = Literal[Signal, Stage, Loss]

ACTORS: tuple[Actor, ...] = get_args(Actor)
ACTOR_KINDS: tuple[Signal, ...] = ("kill", "hang", "pause", "starve")
DRIVER_KINDS: tuple[Signal, ...] = ("kill", "kill_all", "stop", "hang", "pause", "starve")
STAGES: tuple[Stage, ...] = get_args(Stage)
END_STAGES: tuple[Stage, ...] = ("kill_export", "kill_merge")
"""They come once, after the last step, in this order."""

FaultType = tuple[Target, Kind]
ON_ACTORS: tuple[FaultType, ...] = (
    *((actor, kind) for actor in ACTORS for kind in ACTOR_KINDS),
    ("policy", "slow"),
)
ON_DRIVER: tuple[FaultType, ...] = (
    *(("driver", kind) for kind in DRIVER_KINDS),
    *(("driver", stage) for stage in STAGES if stage not in END_STAGES),
    ("driver", "full_disk"),
    ("driver", "lost_record"),
)
AT_END: tuple[FaultType, ...] = tuple(("driver", stage) for stage in END_STAGES)
EVERY_TYPE: tuple[FaultType, ...] = (*ON_ACTORS, *ON_DRIVER, *AT_END)
_LAST_STEPS = 3
_LAST_SHARE = 0.25
"""So many steps at the end, and at least this share of all, have no moment of a fault. Faults come later than their
moments: a slow worker takes half a minute, and nothing can be injected into a run that is over."""


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
    """Return a fault of each type in a random order, spread over the steps; those of the end come after the last one.

    Pauses are both shorter and longer than `dead_after_s`, the silence after which a worker counts as dead.

    Raises:
        ValueError: there are too few steps.
    """
    chance = random.Random(seed)
    order = [found for found in types if found not in AT_END]
    chance.shuffle(order)
    at_end = [found for found in AT_END if found in types]
    last = steps - max(_LAST_STEPS, int(steps * _LAST_SHARE))
    if last < 1:
        raise ValueError(f"a run of {steps} steps is too short for faults; it needs at least {_LAST_STEPS + 1}")
    moments = [1 + int((index + chance.random()) / len(order) * (last - 1)) for index in range(len(order))]
    return [
        Fault(
            number=index + 1,
            target=target,
            kind=kind,
            after_step=moment,
            delay_s=chance.uniform(0, 3),
            lasts_s=chance.uniform(0.3, 1.7) * dead_after_s,
            choice=chance.random(),
        )
        for index, ((target, kind), moment) in enumerate(
            zip([*order, *at_end], [*moments, *(steps for _ in at_end)], strict=True)
        )
    ]


def fault_types(num: int, *, seed: int) -> list[FaultType]:
    """Return every kind of fault on every target once, and random ones up to `num`, three of four on actors.

    Raises:
        ValueError: `num` is too small for that.
    """
    if num < len(EVERY_TYPE):
        raise ValueError(f"{num} faults are too few: every kind of fault on every target once makes {len(EVERY_TYPE)}")
    chance = random.Random(f"hits {seed}")
    more = [chance.choice(ON_ACTORS if chance.random() < 0.75 else ON_DRIVER) for _ in range(num - len(EVERY_TYPE))]
    return [*EVERY_TYPE, *more]
