"""Score the texts of the package's side with our modules and compare: exit code 1 if a score differs by over 1e-5.

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
LEAST_SPREAD = 0.01  # of the scores of a case; if they were all alike, agreement would mean nothing


def main() -> int:
    """Compare all cases of a folder. Return the exit code."""
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
    """Print and return whether our scores of one case equal the package's, with two batch sizes."""
    case_file = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    inputs = [
        CometInput(source=one["src"], translation=one["mt"], reference=one.get("ref", ""))
        for one in case_file["samples"]
    ]
    expected = np.array(case_file["scores"])
    differences = []
    for batch_size in (1, 5):
        metric = load_comet(
            str(case),
            encoder=str(case.parent / case_file["encoder"]),
            batch_size=batch_size,
            cache_folder=case.parent / "cache",
        )
        differences.append(float(np.abs(metric.score(inputs) - expected).max()))
    spread = float(np.ptp(expected))
    agrees = max(differences) <= TOLERANCE and spread >= LEAST_SPREAD
    verdict = (
        "" if agrees else "  <- DISAGREES" if spread >= LEAST_SPREAD else "  <- means nothing: the scores are alike"
    )
    print(f"{case.name:42} {len(expected):6} {spread:8.4f} {max(differences):19.2e}{verdict}")
    return agrees


if __name__ == "__main__":
    sys.exit(main())
