"""Show a person what a run does: live lines on a terminal; without one, a plain line for each thing that happens."""

import logging
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console as Terminal
from rich.live import Live
from rich.text import Text

from contracts.waiting import NOTE_EVERY_S, duration

_STEPS_IN_ETA = 10
"""The time that is left is estimated from so many of the last steps."""

_RATES = {
    "policy": ("throughput/policy_tokens_per_s", "tok/s"),
    "pivot": ("throughput/pivot_tokens_per_s", "tok/s"),
    "scorer": ("throughput/scorer_texts_per_s", "texts/s"),
    "learner": ("throughput/learner_tokens_per_s", "tok/s"),
}


class Console:
    """Print what a run does; to be used as a context manager.

    On a terminal one line is redrawn in place, or as many as its width needs, and notes scroll above. Without a
    terminal every step, phase and note is a line of its own, and nothing is redrawn.
    """

    def __init__(self, console: Terminal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._phases: dict[str, _Phase] = {}
        self._steps: _Steps | None = None
        self._wait = ""
        self._measured = ""
        self._wait_shown_until = 0.0
        live = Live(get_renderable=self.lines, console=console, refresh_per_second=4, transient=True)
        self._live = live if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(Text(text), soft_wrap=True)

    def waiting(self, text: str) -> None:
        """Show what the run waits for, until the next step or until the text is not repeated any more."""
        self._wait = text
        self._wait_shown_until = self._clock() + NOTE_EVERY_S + 1
        if text and self._live is None:
            self.note(text)

    @contextmanager
    def phase(self, what: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show `what` with its seconds ("loading policy ... 12 s") while the body runs; several may run at once.

        Yields the function to call with the number that is done, of `total`.
        """
        phase = _Phase(what, total=total, started=self._clock())
        self._phases[what] = phase
        if self._live is None:
            self.note(f"{what} ...")
        outcome = "failed"
        try:
            yield lambda num_done: self._advance(phase, num_done)
            outcome = "done"
        finally:
            del self._phases[what]
            self._wait = ""
            self.note(f"{what}: {outcome} in {duration(self._clock() - phase.started)}")

    def start_steps(self, total: int, *, done: int = 0) -> None:
        """Start to count steps; `done` of them were made by an earlier start of the run."""
        self._steps = _Steps(total=total, done=done, started=self._clock())

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show that a step ended: its number (the first is 1) and its metrics.

        Raises:
            ValueError: `start_steps` was not called before.
        """
        if self._steps is None:
            raise ValueError("start_steps must be called before step")
        self._steps.finish(step, metrics, now=self._clock())
        self._wait = ""
        if self._live is None:
            self.note(self._steps.text(now=self._clock(), measured=self._measured))

    def measured(self, text: str, *, short: str) -> None:
        """Print what an evaluation measured, and show it in short with every step from now on."""
        self._measured = short
        self.note(text)

    def _advance(self, phase: "_Phase", num_done: int) -> None:
        tenth_before, tenth = phase.tenths, phase.advance(num_done)
        if self._live is None and tenth > tenth_before and num_done != phase.total:
            self.note(phase.text(now=self._clock()))

    def lines(self) -> Text:
        """Return the live lines at this moment: nothing is cut off that fits into the terminal's width."""
        rows = [self._steps.parts(now=self._clock(), measured=self._measured)] if self._steps is not None else []
        rows += [[phase.text(now=self._clock())] for phase in list(self._phases.values())]
        if self._wait and self._clock() < self._wait_shown_until:
            rows.append([self._wait])
        return Text("\n".join(_in_width(rows, self._console.width)), no_wrap=True, overflow="ellipsis")


def _in_width(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the rows in as few lines as possible; a line begins with a part, and has at most `width` columns.

    Parts of a row are two blanks apart, rows a bar. A part that is longer than a line has a line of its own.
    """
    lines = [""]
    for row in rows:
        for number, part in enumerate(row):
            longer = f"{lines[-1]}{'  ' if number else '  |  '}{part}" if lines[-1] else part
            if lines[-1] and cell_len(longer) > width:
                lines.append(part)
            else:
                lines[-1] = longer
    return lines


class _Phase:
    """Hold the progress of a piece of work before, between or after the steps."""

    def __init__(self, what: str, *, total: int | None, started: float) -> None:
        self.what = what
        self.total = total
        self.started = started
        self._num_done = 0

    @property
    def tenths(self) -> int:
        return 10 * self._num_done // self.total if self.total else 0

    def advance(self, num_done: int) -> int:
        self._num_done = num_done
        return self.tenths

    def text(self, *, now: float) -> str:
        count = f" {self._num_done}/{self.total}" if self.total is not None else ""
        return f"{self.what}{count} ... {duration(now - self.started)}"


class _Steps:
    """Hold the number of the last step, what it measured, and how long the last steps took."""

    def __init__(self, *, total: int, done: int, started: float) -> None:
        self._total = total
        self._done = done
        self._metrics: Mapping[str, float] = {}
        self._last_end = started
        self._durations: deque[float] = deque(maxlen=_STEPS_IN_ETA)

    def finish(self, step: int, metrics: Mapping[str, float], *, now: float) -> None:
        self._done = step
        self._metrics = metrics
        self._durations.append(now - self._last_end)
        self._last_end = now

    def text(self, *, now: float, measured: str) -> str:
        return "  ".join(self.parts(now=now, measured=measured))

    def parts(self, *, now: float, measured: str) -> list[str]:
        """Return what a line says of the last step, the most important first."""
        parts = [f"step {self._done}/{self._total}"]
        if self._durations:
            parts.append(f"ETA {duration(self._eta_s(now))}")
        if (accuracy := self._metrics.get("lang/all/accuracy")) is not None:
            parts.append(f"accuracy {accuracy:.0%}")
        if measured:
            parts.append(measured)
        if (reward := self._metrics.get("reward/mean")) is not None:
            parts.append(f"reward {reward:.3f}")
        elif self._metrics.get("response/unscored"):
            parts.append("reward unscored")
        elif (loss := self._metrics.get("policy/loss")) is not None:  # references are imitated: there is no reward
            parts.append(f"loss {loss:.3f}")
        for stage, (name, unit) in _RATES.items():
            if (rate := self._metrics.get(name)) is not None:
                parts.append(f"{stage} {rate:,.0f} {unit}")
        return parts

    def _eta_s(self, now: float) -> float:
        """Return the seconds left: the last steps' mean for each step left, less what this step has already taken."""
        mean = sum(self._durations) / len(self._durations)
        return max(0.0, mean * (self._total - self._done) - (now - self._last_end))


def quiet_logs(path: Path) -> None:
    """Send all logging and warnings of this process to the file at `path`, so that the console stays readable."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.split(".")[0] in ("ray", "transformers", "datasets"):
            logger.handlers[:] = []
            logger.propagate = True
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that can't be written must not fill the console with tracebacks
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", ResourceWarning)  # libraries leave sockets open, which tells a user nothing
