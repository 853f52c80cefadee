"""Hold and keep the raw results: one line of JSON for each arm and seed that was run."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.tracking.line_logs import JsonLines

PRODUCT = ("languages", "contracts", "rewards", "actors", "cluster", "driver", "quickstart", "experiments")
"""Folders whose uncommitted changes make a result one of another state."""
RESULTS = (":(exclude)experiments/*/results.jsonl", ":(exclude)experiments/*/figures/*")
"""What an experiment writes itself: a run's result doesn't make the next run one of another state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Hold what was measured in one language at one moment, as shares of its items in [0, 1]."""

    num_items: int
    right: float  # the right answer, in any language
    consistent: float  # the response is in the asked language
    right_in_language: float
    reasoned: float  # right, in the asked language, and every step is right


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Hold one run."""

    experiment: str
    arm: str
    seed: int
    commit: str
    digest: str  # of config and models
    machine: str
    seconds: float
    failure: str = ""  # why it has no result; "" if it has one
    trained_languages: tuple[str, ...] = ()
    moments: Mapping[str, Mapping[str, Shares]] | None = None  # "before", "step-10", ..., "after" -> language
    num_steps: int = 0
    rewards: tuple[float, ...] = ()  # mean reward of each step; empty without a reward
    mismatch: tuple[float, ...] = ()  # mean difference of log-probabilities between engine and learner, each step


def read_rows(file: Path) -> list[Row]:
    """Return all rows of a file, oldest first; none where there is no file.

    Raises:
        BadInput: a line is damaged.
    """
    if not file.exists():
        return []
    rows: list[Row] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(_row(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f"{file}, line {number}: {error}; remove the line", key="results") from None
    return rows


def _row(found: dict[str, Any]) -> Row:
    moments = found.pop("moments")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    by_moment = moments and {
        moment: {language: Shares(**shares) for language, shares in by_language.items()}
        for moment, by_language in moments.items()
    }
    return Row(**cast("dict[str, Any]", values), moments=by_moment)


def append_row(file: Path, row: Row) -> None:
    """Add a row to a file."""
    lines = JsonLines(file)
    try:
        lines.append(asdict(row))
    finally:
        lines.close()


def newest(rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """Return the newest row of each arm and seed: a run that failed before may have succeeded since."""
    return {(row.arm, row.seed): row for row in rows}


def current_commit() -> str:
    """Return the commit of the checkout, with "+changes" where the code is not what was committed."""
    commit = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    return f"{commit}+changes" if _git("status", "--porcelain", "-uall", "--", *PRODUCT, *RESULTS) else commit


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def of_arm(rows: Sequence[Row], arm: str) -> list[Row]:
    """Return the rows of an arm that have a result, by seed."""
    return sorted((row for row in rows if row.arm == arm and not row.failure), key=lambda row: row.seed)
