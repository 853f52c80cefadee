"""Compare two sides in the one way that all benchmarks use: in turn, round by round."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.machine import processor_seconds
from contracts.config.run import Config


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Hold how much every benchmark does; all other settings are the config's."""

    config: Config  # of a run, with absolute paths
    rounds: int  # that count; one more warms up
    threads: int  # of every actor
    groups: int  # prompts, or references, in a round
    group_size: int  # responses to each
    sequences: int  # in a learner's batch


@dataclass(frozen=True, kw_only=True)
class Round:
    """Hold what one turn of one side did."""

    work: float  # in the comparison's unit
    seconds: float
    busy_s: float = 0.0  # processor time of the side's processes; 0 if it is not known

    @property
    def rate(self) -> float:
        """Return the work per second."""
        return self.work / self.seconds


@dataclass(frozen=True, kw_only=True)
class Side:
    """Hold one of the two sides that do the same work in turn."""

    turn: Callable[[int], Round]  # round number -> what was done in it
    processes: tuple[int, ...]  # process ids on this machine


Rounds = tuple[tuple[Round, ...], tuple[Round, ...]]
"""The rounds of our side and of the bare side."""


def interleaved(ours: Side, bare: Side, *, rounds: int) -> Rounds:
    """Run both sides in turn on the same round, after one round that does not count.

    The side that starts changes every round. So a machine that slows down, or is shared for a while, hurts both alike.
    """
    our_rounds: list[Round] = []
    bare_rounds: list[Round] = []
    for number in range(rounds + 1):
        if number % 2:
            bare_round, our_round = turn(bare, number), turn(ours, number)
        else:
            our_round, bare_round = turn(ours, number), turn(bare, number)
        if number:
            our_rounds.append(our_round)
            bare_rounds.append(bare_round)
    return tuple(our_rounds), tuple(bare_rounds)


def turn(side: Side, number: int) -> Round:
    """Run one round of a side and measure the processor time of its processes."""
    before = processor_seconds(side.processes)
    done = side.turn(number)
    return replace(done, busy_s=processor_seconds(side.processes) - before)


def timed(work: Callable[[], float]) -> Round:
    """Time one round of work that returns how much it did."""
    started = time.perf_counter()
    done = work()
    return Round(work=done, seconds=time.perf_counter() - started)
