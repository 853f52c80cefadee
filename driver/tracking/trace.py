"""Write what ran when in chosen steps as a trace: stages and actors as lanes, and groups as arrows from draw to update.

The file is in Chrome's trace event format, which https://ui.perfetto.dev and chrome://tracing show. All times are of
the driver's clock, so lanes agree: a call begins when the driver sends it, and ends when its answer is there.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.files import write_whole

STAGES, ACTORS, STEPS = "stages", "actors", "steps"
LEARN = "learn"
"""The stage in which a group is learned from."""


@dataclass(frozen=True, slots=True)
class Span:
    """Hold one call: where it ran, what it was, and from when to when, in seconds."""

    part: str  # STAGES, ACTORS or STEPS
    lane: str
    name: str
    start: float
    end: float


@dataclass(slots=True)
class _Window:
    """Hold a step that is traced. `end` is infinite while it goes on."""

    step: int
    start: float
    end: float = float("inf")
    learned: tuple[str, ...] = ()  # ids of groups

    def overlaps(self, span: Span) -> bool:
        return span.start < self.end and span.end > self.start


class Trace:
    """Collect the calls that overlap the chosen steps, and write them when such a step ends, and once more later.

    A call that is under way at the end of the last chosen step is written once it has ended.
    """

    def __init__(self, path: Path, steps: Collection[int] = (), *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._steps = frozenset(steps)
        self._now = now
        self._windows: list[_Window] = []
        self._spans: list[Span] = []
        self._is_written = True

    def begin(self, step: int) -> None:
        """Begin a step. One that is done again is traced as it was done last."""
        if step in self._steps:
            self._windows = [window for window in self._windows if window.step != step]
            self._windows.append(_Window(step, self._now()))

    def end(self, step: int, learned: Sequence[str]) -> None:
        """End a step that has learned from these groups."""
        for window in self._windows:
            if window.step == step:
                window.end, window.learned = self._now(), tuple(learned)
                self._keep(Span(STEPS, "step", f"step {step}", window.start, window.end))
        self.write()

    def called(self, stage: str, of: str, start: float) -> None:
        """Take a call of a stage that ends now; `of` is the group that it was made for, or empty."""
        if self._windows:
            self._keep(Span(STAGES, stage, of or stage, start, self._now()))

    def answered(self, worker: str, request: str, start: float) -> None:
        """Take an answer of an actor that has come now, to a request that was sent at `start`."""
        if self._windows:
            self._keep(Span(ACTORS, worker, request, start, self._now()))

    def _keep(self, span: Span) -> None:
        if any(window.overlaps(span) for window in self._windows):
            self._spans.append(span)
            self._is_written = False

    def write(self) -> None:
        """Write the file, if there is anything new."""
        if self._is_written:
            return
        events = [*_slices(self._spans), *_arrows(self._spans, self._windows)]
        write_whole(self._path, json.dumps({"displayTimeUnit": "ms", "traceEvents": events}))
        self._is_written = True


def _slices(spans: Sequence[Span]) -> Iterator[dict[str, object]]:
    """Yield one event for each span, and before them the names of the lanes."""
    lanes = _lanes(spans)
    for process in dict.fromkeys(process for process, *_ in lanes.values()):
        name = (STEPS, STAGES, ACTORS)[process - 1]
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    for process, thread, lane in dict.fromkeys(lanes.values()):
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": lane}}
    for span, (process, thread, _) in lanes.items():
        yield _event("X", span, process, thread) | {"dur": round((span.end - span.start) * 1e6, 1)}


def _event(kind: str, span: Span, process: int, thread: int) -> dict[str, object]:
    return {"ph": kind, "name": span.name, "cat": span.lane, "pid": process, "tid": thread, "ts": _us(span.start)}


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def _lanes(spans: Sequence[Span]) -> dict[Span, tuple[int, int, str]]:
    """Return process, thread and name of each span's lane. What ran at the same time in a lane gets rows of its own."""
    rows: dict[tuple[str, str], list[float]] = {}  # when each row of a lane is free again
    placed: dict[Span, tuple[str, str, int]] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        ends = rows.setdefault((span.part, span.lane), [])
        row = next((number for number, end in enumerate(ends) if end <= span.start), len(ends))
        ends[row:] = [span.end] if row == len(ends) else [span.end, *ends[row + 1 :]]
        placed[span] = (span.part, span.lane, row)
    parts = (STEPS, STAGES, ACTORS)
    order = sorted(set(placed.values()), key=lambda key: (parts.index(key[0]), key[1], key[2]))
    threads = {key: number for number, key in enumerate(order, start=1)}
    return {span: (parts.index(key[0]) + 1, threads[key], key[1]) for span, key in placed.items()}


def _arrows(spans: Sequence[Span], windows: Sequence[_Window]) -> Iterator[dict[str, object]]:
    """Yield the arrows of each group that a traced step has learned from: through its stages, to the update."""
    lanes = _lanes(spans)
    stages = [span for span in spans if span.part == STAGES]
    for window in windows:
        updates = [span for span in stages if span.lane == LEARN and window.overlaps(span)]
        for group in window.learned if updates else ():
            own = sorted((span for span in stages if span.name == group), key=lambda span: span.start)
            if own:
                yield from _arrow(f"{group}@{window.step}", [*own, updates[0]], lanes)


def _arrow(name: str, way: Sequence[Span], lanes: dict[Span, tuple[int, int, str]]) -> Iterator[dict[str, object]]:
    for number, span in enumerate(way):
        kind = "s" if number == 0 else "f" if number == len(way) - 1 else "t"
        process, thread, _ = lanes[span]
        event = _event(kind, span, process, thread) | {"id": name, "name": "group", "cat": "group"}
        yield event | ({"bp": "e"} if kind == "f" else {})
