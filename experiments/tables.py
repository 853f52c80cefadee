"""Write the results of an experiment as a Markdown table, and say what they don't show."""

import math
from collections.abc import Sequence
from dataclasses import replace

from experiments.comparison import LEAST_SEEDS, ArmResult, Mean, is_clear, results_by_arm
from experiments.plan import REFERENCE_ARM
from experiments.rows import Row, newest, of_arm

BEFORE = "(before training)"
"""Names the row of the policy that every arm starts from, on the test problems of the reference arm's seeds."""
_HEADER = (
    "arm",
    "seeds",
    "English",
    "right",
    "in the language",
    "both",
    "well reasoned",
    "unseen",
    "gap",
    f"both, less {REFERENCE_ARM}",
)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return a table for each commit that the rows are of, and the runs that failed."""
    commits = dict.fromkeys(row.commit for row in rows)
    return "\n\n".join(_of_commit([row for row in rows if row.commit == commit], commit) for commit in commits)


def _of_commit(rows: Sequence[Row], commit: str) -> str:
    kept = list(newest(rows).values())
    results = results_by_arm([row for row in kept if not row.failure])
    base = results_by_arm(of_arm(kept, REFERENCE_ARM), moment="before")
    lines = [
        f"Commit {commit}:",
        "",
        _line(_HEADER),
        _line(["---"] * len(_HEADER)),
        *(_line(_cells(replace(result, arm=BEFORE))) for result in base),
        *(_line(_cells(result)) for result in results),
    ]
    lines += ["", *(f"Failed: {row.arm}, seed {row.seed}: {row.failure}" for row in kept if row.failure)]
    if any(result.num_seeds < LEAST_SEEDS for result in results):
        lines.append(f"Arms with fewer than {LEAST_SEEDS} seeds support no claim: their difference is not computed.")
    return "\n".join(lines).rstrip()


def _cells(result: ArmResult) -> list[str]:
    return [
        result.arm,
        str(result.num_seeds),
        _shown(result.english),
        *(_shown(mean) for mean in result.others.values()),
        _shown(result.unseen),
        _shown(result.gap),
        _shown(result.difference, signed=True)
        + (", clear" if result.difference and is_clear(result.difference) else ""),
    ]


def _shown(mean: Mean | None, *, signed: bool = False) -> str:
    if mean is None:
        return ""
    value = f"{mean.value:+.3f}" if signed else f"{mean.value:.3f}"
    return value if math.isnan(mean.error) else f"{value} ± {mean.error:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
