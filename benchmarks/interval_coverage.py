"""Simulate how often a 95% interval of a difference holds the true difference, where few items were asked.

    python -m benchmarks.interval_coverage [--sets 2000]

Two models answer the same items of one language. An item is right with a probability for each model; a share of the
items is answered alike, as by a model before and after a short training. Both intervals that `compare` writes are
computed for every simulated set: Newcombe's, which decides, and that of the paired bootstrap. An interval that is right
holds the true difference in 95% of the sets; one that is too narrow, in fewer. Starts nothing and reads no file.
"""

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from driver.evaluation.estimates import NO_LEVELS, Estimate, combined, paired_difference
from driver.evaluation.intervals import Interval, change, share_interval

LANGUAGE = {"xx": 1.0}
NUMBERS = (10, 20, 50, 250)
CASES = ((0.05, 0.05), (0.05, 0.2), (0.2, 0.4), (0.5, 0.5), (0.9, 0.95))
"""Probabilities of a right answer before and after."""
ALIKE = 0.5
"""Share of the items whose two answers are right or wrong by one draw."""

Cells = tuple[int, ...]
"""Numbers of items that are: right twice, right before only, right after only, never right."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Hold in which share of the simulated sets each interval held the true difference."""

    newcombe: float
    bootstrap: float


def simulate(before: float, after: float, *, num_items: int, num_sets: int) -> Coverage:
    """Return how often both intervals hold the true difference, over sets that are drawn from seed 0."""
    truth, both = after - before, ALIKE * min(before, after) + (1 - ALIKE) * before * after
    cells = (both, before - both, after - both, 1 - before - after + both)
    drawn = np.random.default_rng(0).multinomial(num_items, cells, size=num_sets)
    counts = Counter(tuple(map(int, found)) for found in drawn)
    held = [(num, *_held(found, truth)) for found, num in counts.items()]
    return Coverage(
        newcombe=sum(num for num, newcombe, _ in held if newcombe) / num_sets,
        bootstrap=sum(num for num, _, bootstrap in held if bootstrap) / num_sets,
    )


def _held(cells: Cells, truth: float) -> tuple[bool, bool]:
    """Return whether the true difference is in Newcombe's interval, and in that of the bootstrap."""
    answers = [
        answer
        for answer, num in zip(((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), cells, strict=True)
        for _ in range(num)
    ]
    before, after = ({"xx": {str(item): pair[side] for item, pair in enumerate(answers)}} for side in (0, 1))
    shares = [_interval(combined(scores, LANGUAGE), len(answers)) for scores in (before, after)]
    newcombe = change(*shares, scores=(before, after), factors=LANGUAGE, levels=NO_LEVELS)
    bootstrap = paired_difference(before, after, LANGUAGE, num_resamples=2000)
    return newcombe.low <= truth <= newcombe.high, bootstrap.low <= truth <= bootstrap.high


def _interval(found: Estimate, num_items: int) -> Interval:
    return share_interval(found.value, found.error, num_items=num_items, num_responses=num_items)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="simulated sets for each row")
    num_sets = parser.parse_args().sets
    table = Table("items", "before", "after", "Newcombe holds it", "bootstrap holds it")
    for num_items in NUMBERS:
        for before, after in CASES:
            found = simulate(before, after, num_items=num_items, num_sets=num_sets)
            shares = (f"{100 * share:.1f}%" for share in (found.newcombe, found.bootstrap))
            table.add_row(str(num_items), f"{before:.0%}", f"{after:.0%}", *shares)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
