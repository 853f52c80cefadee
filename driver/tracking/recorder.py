"""Writing a run down, step by step: metrics, events, samples, and the line that a person sees.

Owns the order in which a finished step reaches the files. Knows the run folder and the recipe's record; no engine.
"""

import time
from collections.abc import Iterable

from contracts.rollouts import DroppedGroup, ScoredGroup, Unscored
from driver.tracking.consistency import ConsistencyWatch, count_languages
from driver.tracking.console import Console
from driver.tracking.cut import cut_record
from driver.tracking.metrics import Event, EventLog, MetricsLog, StepOutcome, step_metrics
from driver.tracking.run_folder import RunFolder
from driver.tracking.samples_file import SamplesLog
from driver.tracking.step_record import SkippedStep, StepRecord


class RunRecorder:
    """The recipe's `Recorder` on a run folder."""

    def __init__(self, folder: RunFolder, console: Console, *, watch: ConsistencyWatch) -> None:
        self._folder = folder
        self._open()
        self._console = console
        self._watch = watch
        self._told: set[str] = set()  # reasons for unscored responses that were explained already
        self._started = time.monotonic()

    def _open(self) -> None:
        self._metrics = MetricsLog(self._folder.metrics)
        self._events = EventLog(self._folder.events)
        self._samples = SamplesLog(self._folder.samples)

    def begin(self, step: int) -> None:
        self._started = time.monotonic()

    def record(self, step: StepRecord) -> None:
        """Everything of the step is on disk before anything that it shows can end the run.

        Raises:
            RunFailed: the policy has left a language (driver/tracking/consistency.py).
        """
        scored = tuple(group for group in step.groups if isinstance(group, ScoredGroup))
        update = step.update
        metrics = step_metrics(
            StepOutcome(
                groups=scored,
                dropped=tuple(step.dropped),
                stage_seconds={**step.stage_seconds, "step": time.monotonic() - self._started},
                pivot=step.references,
                learning=update.step if update else None,
                push=update.push if update else None,
                policy_version=step.policy_version,
                scorer=step.scorer,
                feed=step.metrics,
            )
        )
        if scored:
            self._samples.append(step.step, scored, learned_by=dict.fromkeys(step.learned, step.policy_version))
        self._imitated(step, scored)
        self.dropped(step.dropped, step=step.step)
        for skipped in update.skipped if update else ():
            self._events.append(_skipped_event(step.step, skipped))
        self._explain_unscored(step.step, scored)
        self._metrics.append(step.step, metrics)
        self._console.step(step.step, metrics)
        self._watch.see(count_languages(scored))

    def _imitated(self, step: StepRecord, scored: Iterable[ScoredGroup]) -> None:
        """Groups that were learned from without a sample: their text was given, no engine drew it."""
        sampled = {group.group.group_id for group in scored}
        for group_id in step.learned:
            if group_id not in sampled:
                self._events.append(Event(kind="group_learned", reason="imitated", step=step.step, group_id=group_id))

    def dropped(self, groups: Iterable[DroppedGroup], *, step: int) -> None:
        """Groups that no step learns from."""
        for group in groups:
            self._events.append(
                Event(
                    kind="group_dropped",
                    reason=group.reason,
                    step=step,
                    group_id=group.group_id,
                    detail=group.detail,
                )
            )

    def cut_back(self, step: int) -> None:
        """Only the steps up to this one have happened: the later ones happen again."""
        self._metrics.close()
        self._events.close()
        try:
            cut_record(self._folder, after_step=step)
        finally:
            self._open()  # a disk that is full must not keep the end of the run from being written down

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
                self._console.note(f"responses stay unscored: {score.reason} ({last_line}); more in events.jsonl")

    def waiting(self, what: str) -> None:
        self._console.waiting(what)

    def note(self, text: str) -> None:
        self._console.note(text)

    def event(self, kind: str, reason: str, detail: str = "") -> None:
        """Something of no step: it stays when steps are done again."""
        self._events.append(Event(kind=kind, reason=reason, detail=detail))

    def worker_changed(self, kind: str, reason: str, detail: str) -> None:
        """What befell a worker; a person is told of those that are lost, and of how many there are."""
        self.event(kind, reason, detail)
        if kind != "worker" or reason.endswith(("-> dead", "-> retired")):
            self.note(f"{reason}: {detail}")

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
