"""Run a benchmark, hold its results, and write them as JSON and as the tables that go into docs/results.md."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from statistics import median

from benchmarks.measure import Round, Sizes
from cluster.environment import prepare_process

Notes = Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Hold the system's rounds beside those of a bare loop on the same work."""

    name: str
    unit: str  # of work; rates are per second
    ours: str  # what our side was
    bare: str  # what the bare side was
    aim: float | None  # the least ratio that is good enough; None if there is no aim
    our_rounds: tuple[Round, ...]
    bare_rounds: tuple[Round, ...]
    work: str  # one round, in words
    notes: Notes = field(default_factory=dict)

    @property
    def rates(self) -> tuple[float, float]:
        """Return the median rates of our side and of the bare side."""
        return median(one.rate for one in self.our_rounds), median(one.rate for one in self.bare_rounds)

    @property
    def ratios(self) -> list[float]:
        """Return the ratio of the two rates of each round. The two sides of a round ran next to each other."""
        return [ours.rate / bare.rate for ours, bare in zip(self.our_rounds, self.bare_rounds, strict=True)]

    @property
    def busy_ratio(self) -> float | None:
        """Return the median ratio of work per processor time: steadier than the clock on a machine that is shared."""
        pairs = list(zip(self.our_rounds, self.bare_rounds, strict=True))
        if not all(ours.busy_s and bare.busy_s for ours, bare in pairs):
            return None
        return median((ours.work / ours.busy_s) / (bare.work / bare.busy_s) for ours, bare in pairs)

    def summary(self) -> dict[str, object]:
        """Return the numbers that are computed from the rounds, for JSON."""
        rates = dict(zip(("ours", "bare"), self.rates, strict=True))
        return {"rate": rates, "ratio": median(self.ratios), "ratio_by_processor_time": self.busy_ratio}


@dataclass(frozen=True, kw_only=True)
class StageSplit:
    """Hold how the time of whole steps divides into stages, which may overlap.

    A stage's window goes from its first start to its last end.
    """

    name: str
    work: str
    steps: tuple[Mapping[str, float], ...]  # seconds by stage, "step" among them
    notes: Notes = field(default_factory=dict)

    @property
    def medians(self) -> dict[str, float]:
        """Return the median seconds by stage."""
        stages = dict.fromkeys(stage for step in self.steps for stage in step)
        return {stage: median(step[stage] for step in self.steps if stage in step) for stage in stages}

    def summary(self) -> dict[str, object]:
        """Return the numbers that are computed from the steps, for JSON."""
        return {"median": self.medians}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Hold a number that is compared with no other side."""

    name: str
    what: str  # is counted
    values: tuple[float, ...]  # one of each try
    aim: float | None  # the median that is good enough; None if there is no aim
    work: str  # one try, in words
    is_at_most: bool = False  # the aim is the largest value that is good enough, not the least

    def summary(self) -> dict[str, object]:
        """Return the numbers that are computed from the values, for JSON."""
        return {"median": median(self.values)}


@dataclass(frozen=True, kw_only=True)
class ProcessMemory:
    """Hold the peaks of one process, in GiB."""

    name: str
    planned_gib: float | None  # by `plan`, for an actor
    anonymous_gib: float
    shared_gib: float  # with files or other processes


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """Hold the memory of all processes of a run."""

    name: str
    work: str
    processes: tuple[ProcessMemory, ...]
    together_gib: float  # most at one moment; what processes share is counted once

    def summary(self) -> dict[str, object]:
        """Return the numbers that are computed from the processes, for JSON."""
        return {"sum_of_peaks_gib": sum(process.anonymous_gib for process in self.processes)}


Outcome = Comparison | StageSplit | Figure | MemoryUse


def measured(name: str, sizes: Sizes) -> list[Outcome]:
    """Run a benchmark in this process, which afterwards is not fit for another."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps the output of libraries out of the results
    prepare_process()
    return import_module(f"benchmarks.{name}").run(sizes)


def as_json(outcome: Outcome) -> dict[str, object]:
    """Return all that was measured, and the numbers computed from it."""
    return asdict(outcome) | outcome.summary()


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return Markdown tables, each with what was measured below it."""
    comparisons = [outcome for outcome in outcomes if isinstance(outcome, Comparison)]
    parts = [_comparisons(comparisons)] if comparisons else []
    figures = [outcome for outcome in outcomes if isinstance(outcome, Figure)]
    parts += [_figures(figures)] if figures else []
    parts += [_stages(outcome) for outcome in outcomes if isinstance(outcome, StageSplit)]
    parts += [_memory(outcome) for outcome in outcomes if isinstance(outcome, MemoryUse)]
    return "\n\n".join(parts)


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            one.name,
            *(f"{_number(rate)} {one.unit}/s" for rate in one.rates),
            f"{median(one.ratios):.3g}",
            f"{min(one.ratios):.3g} to {max(one.ratios):.3g}",
            "" if one.busy_ratio is None else f"{one.busy_ratio:.3g}",
            _aim(median(one.ratios), one.aim),
        ]
        for one in comparisons
    ]
    table = _table(["", "ours", "bare", "ratio (median)", "spread", "by processor time", "aim"], rows)
    explained = [
        f"- {one.name}: {len(one.ratios)} rounds each of {one.work}. Ours: {one.ours}. Bare: {one.bare}."
        f"{_notes(one.notes)}"
        for one in comparisons
    ]
    return "\n".join([table, "", *explained])


def _figures(figures: Sequence[Figure]) -> str:
    rows = [
        [
            one.name,
            _figure(median(one.values)),
            f"{_figure(min(one.values))} to {_figure(max(one.values))}",
            _aim(median(one.values), one.aim, is_at_most=one.is_at_most),
        ]
        for one in figures
    ]
    explained = [f"- {one.name}: {one.what}; {one.work}." for one in figures]
    return "\n".join([_table(["", "median", "spread", "aim"], rows), "", *explained])


def _stages(split: StageSplit) -> str:
    medians = split.medians
    whole = medians.get("step", sum(medians.values()))
    rows = [[stage, f"{seconds:.2f}", f"{100 * seconds / whole:.0f} %"] for stage, seconds in medians.items()]
    table = _table([f"{split.name}: stage", "seconds (median)", "of the step"], rows)
    return "\n".join([table, "", f"- {split.name}: {len(split.steps)} steps of {split.work}.{_notes(split.notes)}"])


def _memory(use: MemoryUse) -> str:
    rows = [
        [
            process.name,
            "" if process.planned_gib is None else f"{process.planned_gib:.1f}",
            f"{process.anonymous_gib:.1f}",
            f"{process.shared_gib:.1f}",
        ]
        for process in use.processes
    ]
    table = _table([f"{use.name}: process", "`plan` says, GiB", "anonymous (peak)", "shared (peak)"], rows)
    total = f"- {use.name}: {use.work}. All processes at one moment: at most {use.together_gib:.1f} GiB."
    return "\n".join([table, "", total])


def _aim(value: float, aim: float | None, *, is_at_most: bool = False) -> str:
    if aim is None:
        return "none"
    is_met = value <= aim if is_at_most else value >= aim
    return f"{'at most ' if is_at_most else ''}{aim}: {'met' if is_met else 'missed'}"


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _notes(notes: Notes) -> str:
    written = [f"{name} {_number(value)}" for name, value in notes.items()]
    return f" {'; '.join(written)}." if written else ""


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
