"""Scores the texts of `package_side` with our modules and compares: exit code 1 where a score differs by over 1e-5.

python -m benchmarks.comet_parity.our_side FOLDER
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from rewards.comet.feeding import CometInput
from rewards.comet.metric import load_comet

TOLERANCE = 1e-5
LEAST_SPREAD = 0.01  # of the scores of a case: were they all alike, agreement would say nothing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    cases = sorted(path.parent for path in folder.glob("*/expected.json"))
    if not cases:
        print(f"{folder} holds no cases; run package_side first", file=sys.stderr)
        return 1
    print(f"{'case':42} {'scores':>6} {'spread':>8} {'largest difference':>19}")
    results = [compare(case) for case in cases]
    print(f"{sum(results)} of {len(results)} agree within {TOLERANCE:g}")
    return 0 if all(results) else 1


def compare(case: Path) -> bool:
    """Whether our scores of one case are the package's, in two sizes of batches."""
    told = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    inputs = [
        CometInput(source=one["src"], translation=one["mt"], reference=one.get("ref", "")) for one in told["samples"]
    ]
    expected = np.array(told["scores"])
    differences = []
    for batch_size in (1, 5):
        metric = load_comet(
            str(case),
            encoder=str(case.parent / told["encoder"]),
            batch_size=batch_size,
            cache_folder=case.parent / "cache",
        )
        differences.append(float(np.abs(metric.score(inputs) - expected).max()))
    spread = float(np.ptp(expected))
    agrees = max(differences) <= TOLERANCE and spread >= LEAST_SPREAD
    verdict = (
        "" if agrees else "  <- DISAGREES" if spread >= LEAST_SPREAD else "  <- says nothing: the scores are alike"
    )
    print(f"{case.name:42} {len(expected):6} {spread:8.4f} {max(differences):19.2e}{verdict}")
    return agrees


if __name__ == "__main__":
    sys.exit(main())
