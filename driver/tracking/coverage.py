"""Find out up to which step a run's record is whole: a checkpoint is worth nothing without the record of its steps.

A step's line in metrics.jsonl is written last, and says how many groups were dropped and whether there were responses.
So a step is whole where its line is there, and the other files have what the line says.
"""

from collections import Counter
from dataclasses import dataclass

from driver.tracking.line_logs import StepMetrics, read_events, read_metrics
from driver.tracking.run_folder import RunFolder
from driver.tracking.samples_file import FoundSamples, check_samples, find_samples

_RUN_ENDED = "run_ended"
"""Reason of a draw that was dropped after the last step: no line of metrics.jsonl counts it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Hold up to which step a record is whole."""

    step: int  # the last one; 0: none is
    last_step: int  # the last one that any file has; 0: nothing was recorded
    file: str  # the file that lacks the step after it
    lack: str  # what is missing, as a sentence for a person


def coverage(folder: RunFolder) -> Coverage:
    """Return up to which step the record is whole.

    Raises:
        BadInput: a file holds what no run writes, or samples.parquet can't be read.
    """
    check_samples(folder.samples)
    steps, events, samples = read_metrics(folder.metrics), read_events(folder.events), find_samples(folder.samples)
    dropped = Counter(event.step for event in events if event.kind == "group_dropped" and event.reason != _RUN_ENDED)
    imitated = Counter(event.step for event in events if event.kind == "group_learned")
    last_step = max([*(line.step for line in steps), *(event.step or 0 for event in events), *samples.steps], default=0)
    whole, file, lack = 0, folder.metrics.name, f"{folder.metrics.name} ends at step {steps[-1].step if steps else 0}"
    for line in steps:
        if line.step != whole + 1:
            lack = f"{folder.metrics.name} has no step {whole + 1}"
            break
        if found := _missing(line, num_dropped=dropped[line.step], num_imitated=imitated[line.step], samples=samples):
            file, what = found
            lack = f"{file} lacks {what} of step {line.step}"
            break
        whole = line.step
    return Coverage(step=whole, last_step=last_step, file=file, lack=lack)


def _missing(
    line: StepMetrics, *, num_dropped: int, num_imitated: int, samples: FoundSamples
) -> tuple[str, str] | None:
    """Return the file that has less of a step than its metrics say, and what it lacks."""
    if "response_length/mean" in line.metrics:
        if not samples.knows(line.step):
            return "samples.parquet", "the responses"
    elif num_imitated < line.metrics.get("group/used", 0):
        return "events.jsonl", "groups that were learned from"
    if num_dropped < sum(value for name, value in line.metrics.items() if name.startswith("group/dropped_")):
        return "events.jsonl", "groups that were dropped"
    return None
