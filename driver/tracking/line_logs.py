"""Write and read metrics.jsonl and events.jsonl: logs of one JSON object a line, which survive a kill.

Every line is flushed as it is written, so that a kill can tear only the last one. A torn line is closed by the next
start and passed over by every reader: the step that it belongs to was not finished.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from contracts.errors import BadInput
from contracts.files import whole_file
from contracts.metrics.registry import refuse_unknown
from contracts.user_files import guarded


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMetrics:
    """Hold one line of metrics.jsonl."""

    step: int
    time: float  # seconds since the epoch
    metrics: Mapping[str, float]  # by name; without numbers that were not finite


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Hold one line of events.jsonl: a failure, restart, skip or drop, and why."""

    kind: str
    reason: str
    step: int | None = None  # None: the event belongs to the run, not to a step
    group_id: str | None = None
    detail: str = ""
    time: float = 0.0  # seconds since the epoch; set by the log


class MetricsLog:
    """Append steps to metrics.jsonl. A step that is logged again replaces itself and all steps after it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lines = JsonLines(path)
        self._clock = clock

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step; a number that JSON can't hold (NaN, infinity) is written as null.

        Raises:
            UnknownMetric: a metric is not declared. Nothing is written.
        """
        refuse_unknown(metrics)
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._lines.append({"step": step, "time": self._clock(), "metrics": finite})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class EventLog:
    """Append events to events.jsonl."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lines = JsonLines(path)
        self._clock = clock

    def append(self, event: Event) -> None:
        """Write an event with the time of now."""
        self._lines.append({**asdict(event), "time": self._clock()})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def read_metrics(path: Path) -> list[StepMetrics]:
    """Return the run's steps in order; a step that a resumed run did again counts in its last form.

    An empty list where there is no file.
    """
    return [
        StepMetrics(
            step=record["step"],
            time=record["time"],
            metrics={name: value for name, value in record["metrics"].items() if value is not None},
        )
        for record in _last_forms(path)
    ]


def read_events(path: Path) -> list[Event]:
    """Return the run's events, oldest first; an empty list where there is no file."""
    return [Event(**record) for record in _event_lines(path)]


def cut_metrics(path: Path, *, after_step: int) -> None:
    """Remove the steps after `after_step`; each of the others stays once."""
    replace_lines(path, [record for record in _last_forms(path) if record["step"] <= after_step])


def cut_events(path: Path, *, after_step: int) -> None:
    """Remove the events of later steps, which happen again; events of the run itself stay."""
    replace_lines(path, [record for record in _event_lines(path) if (record.get("step") or 0) <= after_step])


def _last_forms(path: Path) -> list[dict]:
    """Return one line for each step, in order: a step that is logged again replaces itself and all after it."""
    steps: dict[int, dict] = {}
    for record in step_lines(path):
        while steps and next(reversed(steps)) >= record["step"]:
            steps.popitem()
        steps[record["step"]] = record
    return list(steps.values())


# --- JSON lines -------------------------------------------------------------------------------------------------------


class JsonLines:
    """Append flushed lines of JSON to a file; a line that a kill has torn is closed first."""

    def __init__(self, path: Path) -> None:
        is_torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        # A response may hold a lone surrogate, which UTF-8 can't: it is written as the escape that JSON has for it.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        if is_torn:
            self._file.write("\n")

    def append(self, record: Mapping[str, object]) -> None:
        """Write one line.

        Raises:
            ValueError: a number is one that JSON can't hold (NaN, infinity).
        """
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def step_lines(path: Path) -> Iterator[dict]:
    """Yield the lines of metrics.jsonl as they were written, without torn ones; nothing where there is no file.

    Raises:
        BadInput: a line is not one that a run writes.
    """
    return read_lines(path, _is_step)


def _event_lines(path: Path) -> Iterator[dict]:
    """Yield the lines of events.jsonl as they were written, without torn ones; nothing where there is no file."""
    return read_lines(path, _is_event)


def read_lines(path: Path, is_own: Callable[[Mapping[str, object]], bool] | None = None) -> Iterator[dict]:
    """Yield the objects of a file of JSON lines without those that a kill has torn; nothing where there is no file.

    Raises:
        BadInput: an object is not one that `is_own` accepts, or the file can't be read.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise BadInput(f"{path} is not a file; move it away, or choose another run.name", key=path.name)
    with guarded(f"{path} can't be read", key=path.name):
        opened = path.open(encoding="utf-8", errors="replace")  # a line may be torn inside a character
    with opened as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            except (ValueError, RecursionError):  # an integer of thousands of digits, or deep nesting
                record = {}
            if not isinstance(record, dict):
                continue
            if is_own is not None and not is_own(record):
                raise BadInput(
                    f"{path}, line {number}: it is no line that a run writes; remove it, or choose another run.name",
                    key=path.name,
                )
            yield record


def _is_step(record: Mapping[str, object]) -> bool:
    metrics = record.get("metrics")
    return (
        record.keys() == {"step", "time", "metrics"}
        and _is_whole_number(record["step"])
        and _is_number(record["time"])
        and isinstance(metrics, dict)
        and all(value is None or _is_number(value) for value in metrics.values())
    )


def _is_event(record: Mapping[str, object]) -> bool:
    texts, group = [record.get(name, "") for name in ("kind", "reason", "detail")], record.get("group_id")
    return (
        {"kind", "reason"} <= record.keys() <= {field.name for field in fields(Event)}
        and all(isinstance(text, str) for text in texts)
        and (group is None or isinstance(group, str))
        and (record.get("step") is None or _is_whole_number(record["step"]))
        and _is_number(record.get("time", 0.0))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def replace_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Replace the lines of a file, whole or not at all; a file that does not exist is not made."""
    if not path.exists():
        return
    with whole_file(path) as aside, closing(JsonLines(aside)) as lines:
        for record in records:
            lines.append(record)
