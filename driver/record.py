"""Writing a run down, step by step: metrics, events, samples, and the line that a person sees.

Owns the order in which a finished step reaches the files. Knows the run folder and the recipe's record; no engine.
"""

import time
from collections.abc import Iterable

from driver.consistency import ConsistencyWatch, count_languages
from driver.metrics import Event, EventLog, MetricsLog, PivotUse, StepOutcome, step_metrics
from driver.progress import Progress
from driver.recipes.step import SkippedStep, StepRecord
from driver.run_folder import RunFolder
from driver.samples import SamplesLog
from driver.schema import ScoredGroup, Unscored


class RunRecorder:
    """The recipe's `Recorder` on a run folder."""

    def __init__(self, folder: RunFolder, progress: Progress, *, watch: ConsistencyWatch) -> None:
        self._metrics = MetricsLog(folder.metrics)
        self._events = EventLog(folder.events)
        self._samples = SamplesLog(folder.samples)
        self._progress = progress
        self._watch = watch
        self._told: set[str] = set()  # reasons for unscored responses that were explained already
        self._started = time.monotonic()

    def begin(self, step: int) -> None:
        self._started = time.monotonic()

    def record(self, step: StepRecord) -> None:
        """Everything of the step is on disk before anything that it shows can end the run.

        Raises:
            RunFailed: the policy has left a language (driver/consistency.py).
        """
        scored = tuple(group for group in step.groups if isinstance(group, ScoredGroup))
        update = step.update
        metrics = step_metrics(
            StepOutcome(
                groups=scored,
                dropped=tuple(step.dropped),
                stage_seconds={**step.stage_seconds, "step": time.monotonic() - self._started},
                pivot=PivotUse(
                    num_references=step.references.asked,
                    num_cached=step.references.asked - step.references.requests,
                    num_tokens=step.references.tokens,
                ),
                learning=update.step if update else None,
                push=update.push if update else None,
                scorer=step.scorer,
            )
        )
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
        for skipped in update.skipped if update else ():
            self._events.append(_skipped_event(step.step, skipped))
        self._explain_unscored(step.step, scored)
        self._metrics.append(step.step, metrics)
        self._progress.step(step.step, metrics)
        self._watch.see(count_languages(scored))

    def _explain_unscored(self, step: int, groups: Iterable[ScoredGroup]) -> None:
        """Each reason with more to tell is written out, and said, once a run: a bug in a user's own reward comes back
        with every response."""
        for group in groups:
            for score in group.scores:
                if not isinstance(score, Unscored) or not score.detail or score.reason in self._told:
                    continue
                self._told.add(score.reason)
                event = Event(
                    kind="unscored",
                    reason=score.reason,
                    step=step,
                    group_id=group.group.group_id,
                    detail=score.detail,
                )
                self._events.append(event)
                last_line = score.detail.strip().splitlines()[-1]
                self._progress.note(f"responses stay unscored: {score.reason} ({last_line}); more in events.jsonl")

    def waiting(self, what: str) -> None:
        self._progress.waiting(what)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def event(self, kind: str, reason: str) -> None:
        self._events.append(Event(kind=kind, reason=reason))

    def close(self) -> None:
        """Merge the samples' parts; safe after a failure, which loses no finished step."""
        self._samples.merge()
        self._metrics.close()
        self._events.close()


def _skipped_event(step: int, skipped: SkippedStep) -> Event:
    groups = ", ".join(skipped.group_ids)
    return Event(
        kind="step_skipped",
        reason="not_finite",
        step=step,
        detail=f"optimiser step {skipped.optimizer_step}: loss or gradient is not finite; groups {groups}",
    )
