"""Show how the weights of the parts decide which outputs rank first: AUC within a question, by share of "reasoning".

    python -m benchmarks.reward_weights runs/NAME/outputs_scores.jsonl

The file is written by `audit` with audit.outputs. Only outputs that no gate shuts have all parts, so only those count.
The part "answer" is left out: what remains is what ranks outputs with the same answer. A row has the weighted sum
`share` x reasoning + (1 - `share`) x numbers; a column has one language.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

STEPS = 10
"""Number of steps from share 0 to share 1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold one output that no gate shuts."""

    is_right: bool
    reasoning: float
    numbers: float

    def value(self, share: float) -> float:
        """Return the weighted sum of the two parts."""
        return share * self.reasoning + (1 - share) * self.numbers


def read_scores(path: Path) -> dict[str, dict[str, list[Scored]]]:
    """Return the labelled outputs in the asked language that no gate shuts, by language and question."""
    found: dict[str, dict[str, list[Scored]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record.get("shut") or record.get("is_right") is None or "parts" not in record:
            continue
        if record.get("in_language") not in (None, "in"):
            continue
        parts = record["parts"]
        scored = Scored(record["is_right"], parts["reasoning"], parts["numbers"])
        found.setdefault(record["language"], {}).setdefault(record["task"], []).append(scored)
    return found


def auc(tasks: Iterable[list[Scored]], share: float) -> float | None:
    """Return the share of (right, wrong) pairs to one question that are in order; equal ones count half."""
    pairs = [
        (right.value(share), wrong.value(share))
        for outputs in tasks
        for right in outputs
        if right.is_right
        for wrong in outputs
        if not wrong.is_right
    ]
    return fmean((right > wrong) + (right == wrong) / 2 for right, wrong in pairs) if pairs else None


def table_of(scores: Mapping[str, Mapping[str, list[Scored]]]) -> Table:
    """Return one row for each share of "reasoning", one column for each language, and their mean."""
    languages = sorted(language for language, tasks in scores.items() if auc(tasks.values(), 0) is not None)
    table = Table("reasoning", "numbers", *languages, "mean", "lowest")
    for step in range(STEPS + 1):
        share = step / STEPS
        found = [value for code in languages if (value := auc(scores[code].values(), share)) is not None]
        shown = (*found, fmean(found), min(found)) if found else ()
        table.add_row(f"{share:.1f}", f"{1 - share:.1f}", *(f"{value:.3f}" for value in shown))
    return table


def main() -> None:
    """Print the table of one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    Console().print(table_of(read_scores(parser.parse_args().scores)))


if __name__ == "__main__":
    main()
