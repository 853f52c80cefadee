"""Read a run folder: what is in it, and what is missing and why.

A file that is absent or damaged becomes a note and no error: report.html is also written for runs that are still going
or have failed.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from driver.audit.outputs.result import OUTPUTS_FILE, OutputAudit, read_outputs_audit
from driver.audit.result import AUDIT_FILE, AuditResult, read_audit
from driver.evaluation.record import JSON as RESULTS
from driver.evaluation.record import ModelResult, read_record
from driver.evaluation.results import RESPONSES, EvaluationResult, Moment, read_evaluations, step_of
from driver.outcome.changes import Rows, TaskChanges, compare_moments, first_and_last, kept_rows
from driver.tracking.line_logs import Event, StepMetrics, read_events, read_metrics
from driver.tracking.samples_file import Cell, find_samples, read_samples

Piece = TypeVar("Piece")
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)
"""Errors of a file that was written by hand or by another version of the project, or that is cut off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """Hold the contents of a run folder."""

    name: str
    config_text: str
    config: Mapping[str, Json]
    steps: tuple[StepMetrics, ...]
    evaluations: Mapping[Moment, EvaluationResult]  # in the order of the steps
    samples: tuple[Mapping[str, Cell], ...]  # of the first steps and the last
    events: tuple[Event, ...]
    summary: Mapping[str, Json]
    notes: tuple[str, ...]  # what is missing or could not be read
    rows: Rows = field(default_factory=dict)  # every response of the first and the last evaluation
    models: Mapping[str, ModelResult] | None = None  # of a folder that `evaluate` wrote; empty: none is measured yet
    audit: AuditResult | None = None  # of a folder that the command `audit` wrote
    outputs_audit: OutputAudit | None = None  # of one that it wrote with audit.outputs

    @property
    def num_steps(self) -> int:
        """Return the number of finished steps."""
        return self.steps[-1].step if self.steps else 0

    @property
    def changes(self) -> list[TaskChanges]:
        """Return what changed on each task between the first and the last evaluation."""
        return compare_moments(self.evaluations, self.rows)

    def setting(self, section: str, key: str) -> Json:
        """Return a value of the config; None where it is not set."""
        found = self.config.get(section)
        return found.get(key) if isinstance(found, dict) else None

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the evaluated languages, then of those in the config, then of those that metrics name."""
        configured = self.setting("data", "languages")
        trained = [str(code) for code in configured] if isinstance(configured, list) else []
        evaluated = [found.language for result in self.evaluations.values() for found in result.languages]
        logged = [name.split("/")[1] for step in self.steps for name in step.metrics if name.startswith("lang/")]
        return tuple(code for code in dict.fromkeys([*evaluated, *trained, *logged]) if code != "all")


def read_run(run_folder: Path, *, sampled_at_each_end: int) -> RunRecord:
    """Read a run folder, with the samples of the first and the last `sampled_at_each_end` steps that have any."""
    notes: list[str] = []
    is_training = not any((run_folder / file).exists() for file in (RESULTS, AUDIT_FILE, OUTPUTS_FILE))

    def piece(file: str, read: Callable[[Path], Piece], otherwise: Piece, *, absent: str) -> Piece:
        path = run_folder / file
        if not path.exists() and not path.with_suffix("").is_dir():  # samples lie in samples/ until they are merged
            notes.append(absent if is_training else "")
            return otherwise
        try:
            return read(path)
        except _DAMAGED as error:
            notes.append(f"{file} could not be read: {type(error).__name__}: {error}")
            return otherwise

    config_text = piece("config.toml", _read_text, "", absent="There is no config.toml.")
    config = piece("config.toml", _read_toml, {}, absent="")
    found = piece("evaluation.json", read_evaluations, {}, absent="Nothing was evaluated yet.")
    evaluations = {moment: found[moment] for moment in sorted(found, key=step_of)}
    models = piece(RESULTS, lambda path: read_record(path.parent), None, absent="")
    rows = {} if models is not None else kept_rows(run_folder / RESPONSES, evaluations)
    notes += [
        f"{RESPONSES}/{moment}.parquet is missing or can't be read: intervals of changes are wider for it."
        for moment in first_and_last(evaluations)
        if moment and models is None and moment not in rows
    ]
    steps = piece("metrics.jsonl", read_metrics, [], absent="No step is finished yet.")
    sampled = find_samples(run_folder / "samples.parquet")
    notes += [
        f"{file.relative_to(run_folder)} could not be read: its responses are missing." for file in sampled.damaged
    ]
    ends = {*sampled.steps[:sampled_at_each_end], *sampled.steps[-sampled_at_each_end:]}
    samples = piece(
        "samples.parquet",
        lambda path: read_samples(path, steps=ends),
        [],
        absent="There are no sample responses yet.",
    )
    events = piece("events.jsonl", read_events, [], absent="")
    summary = piece(
        "summary.json", _read_object, {}, absent="There is no summary: the run is still going, or it failed."
    )
    audit = piece(AUDIT_FILE, read_audit, None, absent="")
    outputs_audit = piece(OUTPUTS_FILE, read_outputs_audit, None, absent="")
    return RunRecord(
        name=run_folder.resolve().name,
        config_text=config_text,
        config=config,
        steps=tuple(steps),
        evaluations=evaluations,
        samples=tuple(samples),
        events=tuple(events),
        summary=summary,
        notes=tuple(note for note in dict.fromkeys(notes) if note),
        rows=rows,
        models=models,
        audit=audit,
        outputs_audit=outputs_audit,
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read_toml(path: Path) -> dict[str, Json]:
    return tomllib.loads(_read_text(path))


def _read_object(path: Path) -> dict[str, Json]:
    found = json.loads(_read_text(path))
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {type(found).__name__}")
    return found
