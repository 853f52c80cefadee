"""Read a run folder for verification: every line and every row that counts, as it lies on the disk.

The run's own readers forgive: of a step that was written twice they take the last form. These readers do not, because
the checks have to find such a step. Nothing is written.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from contracts.config.learning import PolicyGradientConfig
from contracts.config.load import load_run_config
from contracts.config.reward import RewardConfig
from contracts.errors import BadInput
from contracts.user_files import guarded
from driver.tracking.line_logs import Event, read_events, step_lines
from driver.tracking.run_folder import RunFolder
from driver.tracking.verify.checkpoint_records import CheckpointRecord, SealedFolders, read_sealed_folders
from driver.tracking.verify.problem_checks import SeedDraws, seed_draws

KILLED = "killed"
"""Status of a run without a summary: it was killed before it could write one."""

RUN_ENDED = "run_ended"
"""Reason of a draw that was dropped because it was under way when the run's last step ended.

The checkpoint of that step is older. It still has the draw among the open ones, for a run that is given more steps.
"""

_COLUMNS = (
    *("step", "group_id", "learned", "learner_version", "policy_version", "last_policy_version"),
    *("reward", "unscored_reason", "item_id", "language", "question"),
)
_PART = re.compile(r"step-(\d{8,})\.parquet")


class StepLine(NamedTuple):
    """Hold one line of metrics.jsonl."""

    step: int
    metrics: Mapping[str, float | None]  # None: a number that was not finite


class SampleRow(NamedTuple):
    """Hold what the checks need of one response."""

    learned: bool
    learner_version: int | None  # None: its group was not learned from
    oldest_version: int
    newest_version: int
    reward: float | None
    unscored_reason: str | None
    parts: Mapping[str, float]  # by name; those that were recorded
    gates: Mapping[str, bool]  # by name; False is shut


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRows:
    """Hold the rows of one group in one step."""

    step: int
    group_id: str
    problems: tuple[tuple[str, str, str], ...]  # item, language and question of the rows, each once
    rows: tuple[SampleRow, ...]

    @property
    def learner_version(self) -> int | None:
        """Return the version of the weights that learned from the group; None where none did."""
        return max((row.learner_version for row in self.rows if row.learner_version is not None), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecords:
    """Hold everything that a run folder says of its groups."""

    folder: Path
    status: str
    group_size: int
    max_staleness: int
    languages: tuple[str, ...]
    seed: int
    steps: tuple[StepLine, ...]  # in the order of the lines
    groups: tuple[GroupRows, ...]  # in the order of the steps
    drops: tuple[Event, ...]  # group_dropped
    imitated: tuple[Event, ...]  # group_learned: groups without samples that were learned from
    events: tuple[Event, ...]  # all others
    sealed: SealedFolders  # checkpoints and export
    reward: RewardConfig | None  # None: nothing was rewarded
    draws: SeedDraws | str  # or why they can't be made again
    reads_shards: bool  # whether every byte of checkpoints and export was read
    steps_in_summary: int | None  # by summary.json; None: it has none, because the run was killed
    unfinished_steps: tuple[int, ...]  # steps with samples that the run did not finish; the next start removes them

    @property
    def is_finished(self) -> bool:
        return self.status == "finished"

    @property
    def checkpoints(self) -> tuple[CheckpointRecord, ...]:
        """Return the checkpoints whose state can be read, oldest first."""
        return self.sealed.checkpoints


def read_records(path: Path, *, reads_shards: bool = False) -> RunRecords:
    """Return what the folder at `path` says of its run; with `reads_shards` every byte of its checkpoints is read.

    A run that was stopped or killed may have begun a step that it has no metrics of. The files of such a step count for
    nothing, as they do when the run is started again.

    Raises:
        BadInput: the folder holds no training run, or one of an earlier version of this project.
    """
    folder = RunFolder(path)
    if not folder.config.exists():
        raise BadInput(f"{path} is not a run folder: it has no config.toml", key="config.toml")
    config = load_run_config(folder.config)
    algorithm = config.algorithm
    status, steps_in_summary = _status(folder.summary)
    steps = tuple(_steps(folder.metrics))
    last_step = max((line.step for line in steps), default=0)
    groups = _groups(folder.samples)
    events = read_events(folder.events)
    counted = [group for group in groups if status == "finished" or group.step <= last_step]
    known = [event for event in events if status == "finished" or (event.step or 0) <= last_step]
    sealed = read_sealed_folders(folder.checkpoints, reads_shards=reads_shards)
    unfinished = sorted({group.step for group in groups} - {group.step for group in counted})
    return RunRecords(
        folder=path,
        status=status,
        group_size=algorithm.samples_per_problem,
        max_staleness=algorithm.max_staleness if isinstance(algorithm, PolicyGradientConfig) else 0,
        languages=tuple(config.data.languages),
        seed=config.run.seed,
        steps=steps,
        groups=tuple(counted),
        drops=tuple(event for event in known if event.kind == "group_dropped"),
        imitated=tuple(event for event in known if event.kind == "group_learned"),
        events=tuple(event for event in known if event.kind not in ("group_dropped", "group_learned")),
        sealed=sealed,
        reward=config.reward if isinstance(algorithm, PolicyGradientConfig) else None,
        draws=seed_draws(config, sealed.checkpoints, events),
        reads_shards=reads_shards,
        steps_in_summary=steps_in_summary,
        unfinished_steps=tuple(unfinished),
    )


def _status(summary: Path) -> tuple[str, int | None]:
    """Return how the run ended, and after how many steps."""
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a kill tore it
        return KILLED, None
    status = found.get("status") if isinstance(found, dict) else None
    if not isinstance(status, str):
        raise BadInput(f"{summary.parent} holds the results of another command, not a training run", key=summary.name)
    return status, found.get("steps")


def _steps(path: Path) -> Iterator[StepLine]:
    for record in step_lines(path):
        yield StepLine(step=record["step"], metrics=record["metrics"])


def _groups(path: Path) -> list[GroupRows]:
    """Return the groups of each step, in the order of their first rows."""
    found: dict[tuple[int, str], list[SampleRow]] = defaultdict(list)
    problems: dict[tuple[int, str], dict[tuple[str, str, str], None]] = defaultdict(dict)
    for record in _sample_records(path):
        key = record["step"], record["group_id"]
        problems[key][record["item_id"], record["language"], record["question"]] = None
        found[key].append(
            SampleRow(
                learned=record["learned"],
                learner_version=record["learner_version"],
                oldest_version=record["policy_version"],
                newest_version=record["last_policy_version"],
                reward=record["reward"],
                unscored_reason=record["unscored_reason"],
                parts=_named(record, "part_"),
                gates=_named(record, "gate_"),
            )
        )
    return [
        GroupRows(step=key[0], group_id=key[1], problems=tuple(problems[key]), rows=tuple(rows))
        for key, rows in found.items()
    ]


def _named(record: Mapping, prefix: str) -> dict:
    """Return the cells of the columns that begin with `prefix`, by the rest of the name, without empty ones."""
    return {
        name.removeprefix(prefix): cell for name, cell in record.items() if cell is not None and name.startswith(prefix)
    }


def _sample_records(path: Path) -> Iterator[dict]:
    """Yield the columns that the checks need, row by row.

    A step that has a file of its own does not count in the merged file: a kill came between the merge and the removal.
    """
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
    with guarded(f"{path} can't be read", key=path.name):
        file = pq.ParquetFile(path)
    with file:
        if missing := [name for name in _COLUMNS if name not in file.schema_arrow.names]:
            raise BadInput(
                f"{path} has no column {', '.join(missing)}: it was written by an earlier version of this project, "
                "which did not record enough to be verified",
                key=path.name,
            )
        scores = [name for name in file.schema_arrow.names if name.startswith(("part_", "gate_"))]
        batches = file.iter_batches(columns=[*_COLUMNS, *scores])
        while True:
            with guarded(f"{path} can't be read", key=path.name):
                if (batch := next(batches, None)) is None:
                    return
                rows = batch.to_pylist()
            yield from rows
