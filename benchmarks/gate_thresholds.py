"""Show how often a threshold of a gate shuts right outputs, and wrong ones or other languages, at other values.

    python -m benchmarks.gate_thresholds FILE.jsonl [FILE.jsonl ...]

The files have the shape of `audit.outputs` (docs/rewards.md). A row has one value of one threshold; its columns are the
share of right outputs in the asked language that the gate shuts there, the highest such share of a language and source,
and the share of outputs in another language, or of wrong ones, that it leaves open. A star marks the value in use.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from contracts.rollouts import ScoreRequest
from languages.facts import LANGUAGES
from rewards.gates import copying, form, identify, japanese, lingua_judge, repetition
from rewards.gates.gates import Gate, build_gates
from rewards.reading import Reading, read_group

THRESHOLDS: tuple[tuple[str, ModuleType, str, tuple[float, ...]], ...] = (
    ("language", identify, "TEXT_SHARE", (0.01, 0.02, 0.03, 0.05, 0.1)),
    ("language", identify, "MIXED_SHARE", (0.05, 0.125, 0.25, 0.5)),
    ("language", identify, "MIXED_SHARE_SURE", (0.125, 0.25, 0.5)),
    ("language", identify, "LINE_SHARE", (0.05, 0.1, 0.2)),
    ("language", identify, "MAX_FOREIGN_TEXT_SHARE", (0.01, 0.02, 0.04, 0.08)),
    ("language", identify, "MIN_LETTERS_ALONE", (12, 30, 60)),
    ("language", lingua_judge, "MAX_OWN_CONFIDENCE", (0.05, 0.15, 0.3)),
    ("language", japanese, "MIN_TEXT_KANA_SHARE", (0.15, 0.25, 0.35, 0.45)),
    ("language", japanese, "MAX_BARE_SHARE", (0.33, 0.6, 0.8)),
    ("repetition", repetition, "MAX_REPEATED_PHRASES", (0.3, 0.45, 0.6)),
    ("repetition", repetition, "MAX_REPEATED_SHAPES", (0.5, 0.75, 0.9)),
    ("copying", copying, "MAX_COPIED_SHARE", (0.7, 0.8, 0.9)),
    ("length", form, "MIN_STEP_NUMBERS", (0.25, 0.5, 0.75, 1.01)),
)


@dataclass(frozen=True, slots=True)
class Output:
    """Hold one output and what is known of it."""

    group: tuple[str, str]  # source and language
    reading: Reading
    is_right: bool  # and in the asked language
    is_other: bool  # in another language, or wrong


def read_outputs(files: list[Path]) -> list[Output]:
    """Return the labelled outputs in known languages."""
    found: list[Output] = []
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["language"] not in LANGUAGES or row.get("is_right") is None:
                continue
            request = ScoreRequest(
                language=row["language"],
                question=row["question"],
                question_en=row["question_en"],
                reference=row["reference"],
                responses=(row["response"],),
                truncated=(False,),
            )
            is_in = row.get("in_language", "in") == "in"
            found.append(
                Output(
                    group=(row.get("source", ""), row["language"]),
                    reading=read_group(request)[0],
                    is_right=row["is_right"] and is_in,
                    is_other=row.get("in_language") == "other" or not row["is_right"],
                )
            )
    return found


@contextmanager
def changed(module: ModuleType, name: str, value: float) -> Iterator[None]:
    """Give a constant of a module another value for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def shares(gate: Gate, outputs: list[Output]) -> tuple[float, float, float]:
    """Return the share of right outputs that a gate shuts, the highest of a group, and of others that it opens."""
    right: dict[tuple[str, str], list[bool]] = {}
    others: list[bool] = []
    for output in outputs:
        if output.is_right:
            right.setdefault(output.group, []).append(not gate.is_open(output.reading))
        elif gate.name != "language" or output.is_other:
            others.append(gate.is_open(output.reading))
    every = [is_shut for group in right.values() for is_shut in group]
    highest = max((sum(group) / len(group) for group in right.values()), default=0.0)
    return sum(every) / max(1, len(every)), highest, sum(others) / max(1, len(others))


def main() -> None:
    """Print one row for each value of each threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    outputs = read_outputs(parser.parse_args().files)
    table = Table("gate", "threshold", "value", "right, shut", "highest", "others, open")
    for gate_name, module, name, values in THRESHOLDS:
        for value in values:
            with changed(module, name, value):
                gates = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
                gate = next(gate for gate in gates if gate.name == gate_name)
                found = shares(gate, outputs)
            mark = "*" if value == getattr(module, name) else ""
            table.add_row(gate_name, name, f"{value:g}{mark}", *(f"{100 * share:.2f}%" for share in found))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
