"""What a benchmark gives back, and the one way in which two sides are compared.

Owns the interleaving of rounds and the arithmetic of ratios. Knows nothing of what is measured.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.machine import processor_seconds
from contracts.config.run import Config


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much every benchmark does; the rest is the config's."""

    config: Config  # of a run, its paths absolute
    rounds: int  # that count; one before them warms up
    threads: int  # of every actor
    groups: int  # prompts, or references, a round
    group_size: int  # responses to each
    sequences: int  # that a learner's step is made of


@dataclass(frozen=True, kw_only=True)
class Round:
    """One turn of one side."""

    work: float  # in the comparison's unit
    seconds: float
    busy_s: float = 0.0  # processor time of the side's processes, whoever else used the machine; 0 is not known

    @property
    def rate(self) -> float:
        return self.work / self.seconds


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of two that do the same work in turn."""

    turn: Callable[[int], Round]  # round number -> what it did
    processes: tuple[int, ...]  # ids, on this machine


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The system beside a bare loop on the same work, round by round."""

    name: str
    unit: str  # of work; rates are per second
    ours: str  # what the two sides were
    bare: str
    aim: float | None  # least ratio that is good enough; None where there is none
    our_rounds: tuple[Round, ...]
    bare_rounds: tuple[Round, ...]
    work: str  # one round, in words
    notes: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def our_rate(self) -> float:
        return median(one.rate for one in self.our_rounds)

    @property
    def bare_rate(self) -> float:
        return median(one.rate for one in self.bare_rounds)

    @property
    def ratios(self) -> list[float]:
        """Of the rates of each round's two sides, which ran next to each other."""
        return [ours.rate / bare.rate for ours, bare in zip(self.our_rounds, self.bare_rounds, strict=True)]

    @property
    def busy_ratio(self) -> float | None:
        """The median ratio of work per processor time: steadier than the clock where others use the machine too."""
        pairs = list(zip(self.our_rounds, self.bare_rounds, strict=True))
        if not all(ours.busy_s and bare.busy_s for ours, bare in pairs):
            return None
        return median((ours.work / ours.busy_s) / (bare.work / bare.busy_s) for ours, bare in pairs)

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def is_met(self) -> bool | None:
        return None if self.aim is None else self.ratio >= self.aim

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": f"{self.unit}/s",
            "ours": {"what": self.ours, "median": self.our_rate, "rounds": [one.rate for one in self.our_rounds]},
            "bare": {"what": self.bare, "median": self.bare_rate, "rounds": [one.rate for one in self.bare_rounds]},
            "ratio": {"median": self.ratio, "least": min(self.ratios), "most": max(self.ratios)},
            "ratio_by_processor_time": self.busy_ratio,
            "aim": self.aim,
            "is_met": self.is_met,
            "work": self.work,
            "notes": dict(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class StageSplit:
    """Where the time of whole steps goes: windows from a stage's first start to its last end, which may overlap."""

    name: str
    work: str
    steps: tuple[Mapping[str, float], ...]  # seconds by stage, "step" among them
    notes: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def medians(self) -> dict[str, float]:
        stages = dict.fromkeys(stage for step in self.steps for stage in step)
        return {stage: median(step[stage] for step in self.steps if stage in step) for stage in stages}

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": "s",
            "median": self.medians,
            "steps": [dict(step) for step in self.steps],
            "work": self.work,
            "notes": dict(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number that has no other side."""

    name: str
    what: str  # is counted
    values: tuple[float, ...]  # one of each try
    aim: float | None  # median that is good enough; None where there is no aim
    work: str  # one try, in words
    is_at_most: bool = False  # the aim is the largest that will do, else the least

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def is_met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.median <= self.aim if self.is_at_most else self.median >= self.aim

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "what": self.what,
            "median": self.median,
            "values": list(self.values),
            "aim": self.aim,
            "is_at_most": self.is_at_most,
            "is_met": self.is_met,
            "work": self.work,
        }


Outcome = Comparison | StageSplit | Figure


def interleaved(ours: Side, bare: Side, *, rounds: int) -> tuple[tuple[Round, ...], tuple[Round, ...]]:
    """Both sides in turn on the same round, after one that does not count; the side that starts changes every round.

    A machine that grows slower while it works, or is shared for a while, then hurts both sides alike.
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
    """One round of a side, with the processor time of its processes."""
    before = processor_seconds(side.processes)
    done = side.turn(number)
    return replace(done, busy_s=processor_seconds(side.processes) - before)


def timed(work: Callable[[], float]) -> Round:
    """One round of something that says how much it did."""
    started = time.perf_counter()
    done = work()
    return Round(work=done, seconds=time.perf_counter() - started)
