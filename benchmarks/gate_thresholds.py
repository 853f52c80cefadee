"""Show how often a threshold of a gate shuts right outputs, and opens for others, at other values.

    python -m benchmarks.gate_thresholds FILE.jsonl [FILE.jsonl ...]

The files have the shape of `audit.outputs` (docs/rewards.md). A row has one value of one threshold; its columns are the
share of right outputs in the asked language that the gate shuts there, the highest such share of a language and source,
and the share of others that it opens for: of outputs in another language for the gate "language", of wrong outputs for
the others. A star marks the value in use. The table is Markdown.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import track

from contracts.config.reward import GatesConfig
from contracts.config.workers import PolicyConfig
from driver.audit.outputs.read import Output, read_outputs, requests_of
from languages.facts import LANGUAGES
from rewards.gates import asides, copying, form, identify, japanese, lingua_judge, repetition
from rewards.gates.gates import Gate, build_gates
from rewards.reading import Reading, read_group

THRESHOLDS: tuple[tuple[str, ModuleType, str, tuple[float, ...]], ...] = (
    ("language", identify, "TEXT_SHARE", (0.01, 0.02, 0.03, 0.05, 0.1)),
    ("language", identify, "MIXED_SHARE", (0.05, 0.125, 0.25, 0.5)),
    ("language", identify, "MIXED_SHARE_SURE", (0.125, 0.25, 0.5)),
    ("language", identify, "LINE_SHARE", (0.05, 0.1, 0.2)),
    ("language", identify, "MAX_FOREIGN_LETTERS_LINE", (2, 4, 8)),
    ("language", identify, "MAX_FOREIGN_LETTER_SHARE", (0.1, 0.25, 0.5)),
    ("language", identify, "MAX_FOREIGN_TEXT_SHARE", (0.01, 0.02, 0.04, 0.08)),
    ("language", identify, "MIN_LETTERS_ALONE", (12, 30, 60)),
    ("language", identify, "MIN_UNSURE_SHARE", (0.25, 0.5, 0.75)),
    ("language", identify, "MIN_TITLE_WORDS", (3, 4, 6)),
    ("language", identify, "LATIN_SHARE", (0.05, 0.1, 0.2)),
    ("language", identify, "MAX_LOWER_CASE_WORDS", (2, 3, 5)),
    ("language", asides, "MAX_ASIDES", (0, 1, 2, 4)),
    ("language", asides, "MAX_ASIDE_WORDS", (4, 8, 16)),
    ("language", asides, "MAX_ASIDE_SHARE", (0.05, 0.15, 0.3)),
    ("language", lingua_judge, "MAX_OWN_CONFIDENCE", (0.05, 0.15, 0.3)),
    ("language", japanese, "MIN_TEXT_KANA_SHARE", (0.15, 0.25, 0.35, 0.45)),
    ("language", japanese, "MAX_BARE_SHARE", (0.33, 0.6, 0.8)),
    ("repetition", repetition, "MAX_REPEATED_PHRASES", (0.3, 0.45, 0.6)),
    ("repetition", repetition, "MAX_REPEATED_SHAPES", (0.5, 0.75, 0.9)),
    ("repetition", repetition, "MAX_SAME_SENTENCES", (1, 2, 3)),
    ("repetition", repetition, "MAX_REPEATED_LETTERS", (0.25, 1 / 3, 0.5)),
    ("copying", copying, "MAX_COPIED_SHARE", (0.7, 0.8, 0.9)),
    ("copying", copying, "MIN_NEW_NUMBERS", (1, 2, 3)),
    ("format", form, "MAX_TAIL_LETTERS", (100, 200, 400)),
    ("length", form, "MIN_STEP_NUMBERS", (0.25, 0.5, 0.75, 1.01)),
)


@dataclass(frozen=True, slots=True)
class Read:
    """Hold one labelled output and its reading."""

    output: Output
    reading: Reading

    @property
    def group(self) -> tuple[str, str]:
        """Return its source and language."""
        return self.output.source, self.output.language

    def is_other(self, gate: str) -> bool:
        """Return whether the gate should be shut for it, or may be: another language, or a wrong answer."""
        if gate == "language":
            return self.output.in_language == "other"
        return self.output.right is False


def read(files: Sequence[Path]) -> list[Read]:
    """Return the labelled outputs of all files."""
    outputs = [
        output
        for file in files
        for output in read_outputs(file, markers=PolicyConfig.model_fields["thinking_markers"].default)
    ]
    labelled = [output for output in outputs if output.right is not None]
    return [
        Read(output, reading)
        for group, request in requests_of(labelled)
        for output, reading in zip(group, read_group(request), strict=True)
    ]


@contextmanager
def changed(module: ModuleType, name: str, value: float) -> Iterator[None]:
    """Give a constant of a module another value for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def shares(gate: Gate, outputs: Sequence[Read]) -> tuple[float, float, float]:
    """Return the share of right outputs that a gate shuts, the highest of a group, and of others that it opens for."""
    right: dict[tuple[str, str], list[bool]] = {}
    others: list[bool] = []
    for found in outputs:
        if found.output.is_faithful:
            right.setdefault(found.group, []).append(not gate.is_open(found.reading))
        elif found.is_other(gate.name):
            others.append(gate.is_open(found.reading))
    every = [is_shut for group in right.values() for is_shut in group]
    highest = max((sum(group) / len(group) for group in right.values()), default=0.0)
    return sum(every) / max(1, len(every)), highest, sum(others) / max(1, len(others))


def gate_named(name: str) -> Gate:
    """Return a new gate, which has cached nothing."""
    band = GatesConfig()
    gates = build_gates(
        tuple(LANGUAGES), min_length_ratio=band.min_length_ratio, max_length_ratio=band.max_length_ratio
    )
    return next(gate for gate in gates if gate.name == name)


def main() -> None:
    """Print one row for each value of each threshold, with the progress on the error output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    outputs = read(parser.parse_args().files)
    in_use = {name: shares(gate_named(name), outputs) for name in dict.fromkeys(row[0] for row in THRESHOLDS)}
    print("| gate | threshold | value | right, shut | highest | others, open |\n|---|---|---|---|---|---|")
    rows = [(gate, module, name, value) for gate, module, name, values in THRESHOLDS for value in values]
    for gate, module, name, value in track(rows, console=Console(stderr=True)):
        is_used = value == getattr(module, name)
        with changed(module, name, value):
            found = in_use[gate] if is_used else shares(gate_named(gate), outputs)
        percents = " | ".join(f"{100 * share:.2f}" for share in found)
        print(f"| `{gate}` | `{name}` | {value:g}{'*' if is_used else ''} | {percents} |", flush=True)


if __name__ == "__main__":
    main()
