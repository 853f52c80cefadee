"""Writing a run down, step by step: metrics, events, samples, and the line that a person sees.

Owns the order in which a finished step reaches the files. Knows the run folder and the recipe's record; no engine.
"""

import time

from driver.metrics import Event, EventLog, MetricsLog, PivotUse, StepOutcome, step_metrics
from driver.progress import Progress
from driver.recipes.grpo import StepRecord
from driver.run_folder import RunFolder
from driver.samples import SamplesLog
from driver.schema import ScoredGroup


class RunRecorder:
    """The recipe's `Recorder` on a run folder."""

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._metrics = MetricsLog(folder.metrics)
        self._events = EventLog(folder.events)
        self._samples = SamplesLog(folder.samples)
        self._progress = progress
        self._started = time.monotonic()

    def begin(self, step: int) -> None:
        self._started = time.monotonic()

    def record(self, step: StepRecord) -> None:
        scored = tuple(group for group in step.groups if isinstance(group, ScoredGroup))
        update = step.update
        metrics = step_metrics(
            StepOutcome(
                groups=scored,
                dropped=tuple(step.dropped),
                stage_seconds=step.stage_seconds | {"step": time.monotonic() - self._started},
                pivot=PivotUse(
                    num_references=step.references.asked,
                    num_cached=step.references.asked - step.references.requests,
                    num_tokens=step.references.tokens,
                ),
                learning=update.step if update else None,
                push=update.push if update else None,
            )
        )
        if update:
            metrics["packing/efficiency"] = update.packing_efficiency
        if scored:
            self._samples.append(step.step, scored)
        for group in step.dropped:
            self._events.append(
                Event(
                    kind="group_dropped",
                    reason=group.reason,
                    step=step.step,
                    group_id=group.group_id,
                    detail=group.detail,
                )
            )
        self._metrics.append(step.step, metrics)
        self._progress.step(step.step, metrics)

    def waiting(self, what: str) -> None:
        self._progress.waiting(what)

    def event(self, kind: str, reason: str) -> None:
        self._events.append(Event(kind=kind, reason=reason))

    def close(self) -> None:
        """Merge the samples' parts; safe after a failure, which loses no finished step."""
        self._samples.merge()
        self._metrics.close()
        self._events.close()
