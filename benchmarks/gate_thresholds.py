"""Show how often a threshold of a gate shuts right outputs, and opens for others, at other values.

    python -m benchmarks.gate_thresholds FILE.jsonl [FILE.jsonl ...]

The files have the shape of `audit.outputs` (docs/rewards.md). A row has one threshold and the values that were tried,
the one in use in bold. For each value it gives, in percent, how many right outputs in the asked language the gate
shuts, the highest such share of a language and source, and how many others it is open for: outputs in another language
for the gate "language", wrong outputs for the other gates. For the gate "language" it also gives how many of the
audit's ways to hide English or a third language it is open for. The table is Markdown.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from contracts.config.reward import GatesConfig
from contracts.config.workers import PolicyConfig
from driver.audit.groups import cheat_groups
from driver.audit.outputs.read import Output, read_outputs, requests_of
from driver.problems.parallel import load_solutions
from languages.facts import LANGUAGES
from rewards.gates import asides, copying, form, identify, japanese, lingua_judge, repetition
from rewards.gates.gates import Gate, build_gates
from rewards.reading import Reading, read_group


class Threshold(NamedTuple):
    """Name a constant of a gate, and the values that are tried."""

    gate: str
    module: ModuleType
    name: str
    values: tuple[float, ...]


NUM_COLUMNS = 5
"""Columns of the table behind those that name the threshold."""
THRESHOLDS = tuple(
    Threshold(*row)
    for row in (
        ("language", identify, "TEXT_SHARE", (0.01, 0.03, 0.1, 0.3)),
        ("language", identify, "MIXED_SHARE", (0.05, 0.125, 0.25, 0.5)),
        ("language", identify, "MIXED_SHARE_SURE", (0.125, 0.25, 0.5)),
        ("language", identify, "LINE_SHARE", (0.05, 0.1, 0.2, 0.5)),
        ("language", identify, "MAX_FOREIGN_LETTERS_LINE", (2, 4, 8)),
        ("language", identify, "MAX_FOREIGN_LETTER_SHARE", (0.1, 0.25, 0.5)),
        ("language", identify, "MAX_FOREIGN_TEXT_SHARE", (0.01, 0.02, 0.04, 0.08, 0.3)),
        ("language", identify, "MIN_LETTERS_ALONE", (12, 30, 60, 120)),
        ("language", identify, "MIN_UNSURE_SHARE", (0.25, 0.5, 0.75)),
        ("language", identify, "MIN_TITLE_WORDS", (3, 4, 6, 12)),
        ("language", identify, "LATIN_SHARE", (0.05, 0.1, 0.2, 0.5)),
        ("language", identify, "MAX_LOWER_CASE_WORDS", (2, 3, 5, 10)),
        ("language", asides, "MAX_ASIDES", (0, 1, 2, 4, 100)),
        ("language", asides, "MAX_ASIDE_WORDS", (4, 8, 16, 100)),
        ("language", asides, "MAX_ASIDE_SHARE", (0.05, 0.15, 0.3, 0.9)),
        ("language", lingua_judge, "MAX_OWN_CONFIDENCE", (0.01, 0.05, 0.15, 0.3)),
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
)


LANGUAGE_CHEATS = ("english reasoning", "disguised english", "hidden english", "other language", "code-mixing")
"""The audit's cheats that the gate "language" has to find."""
NUM_CHEAT_ITEMS = 14
"""Built-in problems of each language that the cheats are made from: each hiding place of English comes twice."""


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


def read_cheats() -> list[Reading]:
    """Return the language cheats of the first built-in problems in every language."""
    solutions = load_solutions("builtin", languages=(), num_items=NUM_CHEAT_ITEMS, seed=0, split="test")
    return [
        reading
        for group in cheat_groups(solutions, seed=0)
        for name, reading in zip(group.names, read_group(group.request), strict=True)
        if name in LANGUAGE_CHEATS
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


def row_of(threshold: Threshold, outputs: Sequence[Read], cheats: Sequence[Reading]) -> str:
    """Return the table's row of one threshold."""
    in_use = getattr(threshold.module, threshold.name)
    columns: list[list[str]] = []
    for value in threshold.values:
        with changed(threshold.module, threshold.name, value):
            gate = gate_named(threshold.gate)
            percents = [*shares(gate, outputs)]
            if threshold.gate == "language":
                percents.append(sum(map(gate.is_open, cheats)) / len(cheats))
        cells = [f"{value:.3g}", *(f"{100 * share:.2f}" for share in percents)]
        columns.append([f"**{cell}**" for cell in cells] if value == in_use else cells)
    cells = [" / ".join(column) for column in zip(*columns, strict=True)]
    cells += [""] * (NUM_COLUMNS - len(cells))
    return f"| `{threshold.gate}` | `{threshold.name}` | {' | '.join(cells)} |"


def main() -> None:
    """Print one row for each threshold as soon as it is measured, with the progress on the error output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    outputs = read(parser.parse_args().files)
    cheats = read_cheats()
    print("| gate | threshold | values | right, shut | highest | others, open | cheats, open |")
    print("|---|---|---|---|---|---|---|")
    for threshold in track(THRESHOLDS, console=Console(stderr=True)):
        print(row_of(threshold, outputs, cheats), flush=True)


if __name__ == "__main__":
    main()
