"""Write the end of a run: samples, logs, summary and report, each of them whatever becomes of the others."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from actors.remote.process import ProcessInfo
from cluster.launch import collect_logs, first_line
from driver.report.write import write_report
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from driver.tracking.summary import summarise

Piece = TypeVar("Piece")


@dataclass(kw_only=True)
class Ending:
    """Hold what a run ended with, and which pieces of its end could not be written."""

    summary: dict[str, object] = field(default_factory=dict)
    report: Path | None = None
    problems: list[str] = field(default_factory=list)  # each names its piece

    def attempt(self, piece: str, write: Callable[[], Piece]) -> Piece | None:
        """Return what `write` returns; a failure is a problem of the ending, and the other pieces are still written."""
        try:
            return write()
        except Exception as error:
            logging.getLogger(__name__).exception("%s could not be written", piece)
            self.problems.append(f"{piece} could not be written: {type(error).__name__}: {first_line(error)}")
            return None


def end_run(
    folder: RunFolder,
    recorder: RunRecorder,
    processes: Mapping[str, ProcessInfo],
    *,
    status: str,
    seconds: float,
    failure: BaseException | None = None,
) -> Ending:
    """Write every piece of the end of a run, and return what could be written.

    A run whose record is not whole is not finished: the next start ends it again.
    """
    ending = Ending()
    if failure is not None:
        reason = f"{type(failure).__name__}: {failure}"
        ending.attempt(folder.events.name, lambda: recorder.event("run_failed", reason))
    ending.attempt(folder.samples.name, recorder.close)
    if ending.problems and failure is None:
        status = f"failed: {ending.problems[0]}"
    ending.attempt(folder.logs.name, lambda: collect_logs(processes, folder.logs))
    summary = ending.attempt(folder.summary.name, lambda: summarise(folder, status=status, seconds=seconds))
    ending.summary = summary or {}
    ending.report = ending.attempt(folder.report.name, lambda: write_report(folder.path))
    return ending
