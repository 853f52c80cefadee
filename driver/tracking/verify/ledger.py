"""A run folder as an auditor reads it: every line and row that counts, none made better than it is.

Owns the way from files to plain records. The run's own readers forgive (a step that is written twice counts in its last
form); these do not, because whether there is anything to forgive is the question. Nothing is written. Knows the
folder's files; must not know what is right about them (step_checks.py, draw_checks.py).
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from contracts.config.load import load_config
from contracts.errors import BadInput
from driver.run_state.buffered_groups import read_groups
from driver.run_state.checkpoint_files import GROUPS, STATE, read_state
from driver.tracking.json_lines import read_lines
from driver.tracking.metrics import Event, read_events
from driver.tracking.run_folder import RunFolder

KILLED = "killed"
"""The status of a run that left no summary: nobody was there to write one."""

RUN_ENDED = "run_ended"
"""Why a draw was dropped that was under way when the last step was finished. The checkpoint of that step is older, and
still has the draw among the open ones, for a run that is given more steps."""

_COLUMNS = (
    *("step", "group_id", "learned", "learner_version", "policy_version", "last_policy_version"),
    *("reward", "unscored_reason"),
)
_CHECKPOINT = re.compile(r"step-(\d{6,})")
_PART = re.compile(r"step-(\d{8,})\.parquet")


class StepLine(NamedTuple):
    """One line of metrics.jsonl."""

    step: int
    metrics: Mapping[str, float | None]  # None: a number that was not finite


class SampleRow(NamedTuple):
    """What the auditor wants to know of one response."""

    learned: bool
    learner_version: int | None  # None: its group was not learned from
    oldest_version: int
    newest_version: int
    reward: float | None
    unscored_reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRows:
    """The rows of one group in one step."""

    step: int
    group_id: str
    rows: tuple[SampleRow, ...]

    @property
    def learner_version(self) -> int | None:
        """None: it was not learned from."""
        return max((row.learner_version for row in self.rows if row.learner_version is not None), default=None)


class OpenDraw(NamedTuple):
    """A draw that a checkpoint has as neither learned from nor dropped."""

    number: int
    group_id: str  # empty where only its language is known
    language: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """What a checkpoint says of the groups."""

    name: str
    step: int
    policy_version: int
    next_number: int  # draws below it were handed out
    open: tuple[OpenDraw, ...]  # to be asked again, or ready to be learned from


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Everything that a run folder says of its groups."""

    folder: Path
    status: str
    group_size: int
    max_staleness: int
    languages: tuple[str, ...]
    steps: tuple[StepLine, ...]  # in the order of the lines
    groups: tuple[GroupRows, ...]  # in the order of the steps
    drops: tuple[Event, ...]  # group_dropped
    imitated: tuple[Event, ...]  # group_learned: groups without samples that were learned from
    events: tuple[Event, ...]  # all others
    checkpoints: tuple[CheckpointRecord, ...]  # oldest first
    steps_told: int | None  # by summary.json; None: it says nothing, because the run was killed
    not_finished: tuple[str, ...]  # what a step left that the run did not finish; the next start cuts it off

    @property
    def is_finished(self) -> bool:
        return self.status == "finished"


def read_ledger(path: Path) -> Ledger:
    """The folder's books. A run that was stopped or killed may have begun a step that it has no metrics of: what that
    left behind counts for nothing, here as in the run that is started again.

    Raises:
        BadInput: the folder holds no training run, or one of an earlier version of this project.
    """
    folder = RunFolder(path)
    if not folder.config.exists():
        raise BadInput(f"{path} is no run folder: it has no config.toml")
    config = load_config(folder.config)
    status, steps_told = _status(folder.summary)
    steps = tuple(_steps(folder.metrics))
    last_step = max((line.step for line in steps), default=0)
    groups = _groups(folder.samples)
    events = read_events(folder.events)
    counted = [group for group in groups if status == "finished" or group.step <= last_step]
    known = [event for event in events if status == "finished" or (event.step or 0) <= last_step]
    cut = sorted({group.step for group in groups} - {group.step for group in counted})
    return Ledger(
        folder=path,
        status=status,
        group_size=config.algorithm.group_size,
        max_staleness=config.algorithm.max_staleness,
        languages=tuple(config.data.languages),
        steps=steps,
        groups=tuple(counted),
        drops=tuple(event for event in known if event.kind == "group_dropped"),
        imitated=tuple(event for event in known if event.kind == "group_learned"),
        events=tuple(event for event in known if event.kind not in ("group_dropped", "group_learned")),
        checkpoints=tuple(_checkpoints(folder.checkpoints)),
        steps_told=steps_told,
        not_finished=tuple(f"samples of step {step}, which was not finished" for step in cut),
    )


def _status(summary: Path) -> tuple[str, int | None]:
    """How the run ended, and after how many steps."""
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a kill tore it
        return KILLED, None
    status = found.get("status") if isinstance(found, dict) else None
    if not isinstance(status, str):
        raise BadInput(f"{summary.parent} holds what another command measured, not a training run")
    return status, found.get("steps")


def _steps(path: Path) -> Iterator[StepLine]:
    for record in read_lines(path):
        yield StepLine(step=record["step"], metrics=record["metrics"])


def _groups(path: Path) -> list[GroupRows]:
    """By step and group, in the order of their first rows."""
    found: dict[tuple[int, str], list[SampleRow]] = defaultdict(list)
    for record in _sample_records(path):
        found[record["step"], record["group_id"]].append(
            SampleRow(
                learned=record["learned"],
                learner_version=record["learner_version"],
                oldest_version=record["policy_version"],
                newest_version=record["last_policy_version"],
                reward=record["reward"],
                unscored_reason=record["unscored_reason"],
            )
        )
    return [GroupRows(step=step, group_id=group_id, rows=tuple(rows)) for (step, group_id), rows in found.items()]


def _sample_records(path: Path) -> Iterator[dict]:
    """The columns of interest, row by row. Steps that have a file of their own are not in the merged file yet, whatever
    is in it of them: a kill came between the two."""
    parts = sorted(
        (int(name[1]), file)
        for file in path.with_suffix("").glob("step-*.parquet")
        if (name := _PART.fullmatch(file.name))
    )
    if path.exists():
        before = parts[0][0] if parts else None
        yield from (record for record in _records(path) if before is None or record["step"] < before)
    for _, part in parts:
        yield from _records(part)


def _records(path: Path) -> Iterator[dict]:
    with pq.ParquetFile(path) as file:
        if missing := [name for name in _COLUMNS if name not in file.schema_arrow.names]:
            raise BadInput(
                f"{path} has no column {', '.join(missing)}: it was written by an earlier version of this project, "
                "which did not record enough to be verified"
            )
        for batch in file.iter_batches(columns=list(_COLUMNS)):
            yield from batch.to_pylist()


def _checkpoints(folder: Path) -> Iterator[CheckpointRecord]:
    """The whole ones: another name says that it is being written, or was set aside."""
    found = ((name, path) for path in folder.glob("step-*") if (name := _CHECKPOINT.fullmatch(path.name)))
    for _, path in sorted((int(name[1]), path) for name, path in found):
        if (path / STATE).exists():
            yield _checkpoint(path)


def _checkpoint(path: Path) -> CheckpointRecord:
    try:
        state = read_state(path)
    except (TypeError, KeyError, ValueError) as error:
        raise BadInput(f"{path / STATE} is of another version of this project, or damaged: {error}") from None
    again = [OpenDraw(draw["number"], "", draw["language"]) for draw in state.open["again"]]
    kept = [
        OpenDraw(draw.number, draw.group_id, draw.problem.language)
        for draw, _ in (read_groups(path / GROUPS) if (path / GROUPS).exists() else ())
    ]
    return CheckpointRecord(
        name=path.name,
        step=state.step,
        policy_version=state.policy_version,
        next_number=state.open["stream"]["number"],
        open=tuple(sorted([*again, *kept])),
    )
