"""Record a run step by step: metrics, events and samples in its folder, and a line on the console."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from actors.fleets.readings import ActorReading
from actors.remote.memory import ProcessMemory, this_process_memory
from contracts.rollouts import DroppedGroup, ScoredGroup, Unscored
from driver.outcome.learning_signal import learning_signal
from driver.tracking.actor_metrics import ActorMeter, disk_metrics
from driver.tracking.consistency import ConsistencyWatch, count_languages
from driver.tracking.console import Console
from driver.tracking.line_logs import Event, EventLog, MetricsLog
from driver.tracking.metric_sink import MetricSink
from driver.tracking.run_folder import RunFolder, cut_record, samples_damaged, sync_record
from driver.tracking.samples_file import SamplesLog
from driver.tracking.step_metrics import StepOutcome, step_metrics
from driver.tracking.step_record import SkippedStep, StepRecord
from driver.tracking.trace import Trace

FLEET_METRICS = {"slow_worker": "fleet/slow_workers", "second_try": "fleet/second_tries"}
"""Metrics that count the events of a kind."""

FIRST_STEPS = 3
"""After so many steps of a start it is said whether they were learned from."""


class RunRecorder:
    """Record a recipe's steps in a run folder and show them on the console."""

    def __init__(
        self, folder: RunFolder, console: Console, *, watch: ConsistencyWatch, trace: Trace | None = None
    ) -> None:
        self._folder = folder
        self.trace = trace or Trace(folder.trace)
        self._open()
        self._console = console
        self._watch = watch
        self._explained: set[str] = set()  # reasons for unscored responses that were explained already
        self._first_steps: list[Mapping[str, float]] = []  # their metrics; later ones are not looked at
        self._memory: dict[str, float] = {}  # memory/..., the most so far
        self._fleet: Counter[str] = Counter()  # events about workers since the last step, by kind
        self._started = time.monotonic()
        self._meter = ActorMeter()
        self._readings: Callable[[], Sequence[ActorReading]] = lambda: ()
        self._sinks: Sequence[MetricSink] = ()

    def attach(self, readings: Callable[[], Sequence[ActorReading]], *sinks: MetricSink) -> None:
        """Measure single actors at each step from now on, and pass each step on to the sinks."""
        self._readings, self._sinks = readings, sinks

    def _open(self) -> None:
        self._metrics = MetricsLog(self._folder.metrics)
        self._events = EventLog(self._folder.events)
        self._samples = SamplesLog(self._folder.samples)

    def begin(self, step: int) -> None:
        """Start the time of a step."""
        self._started = time.monotonic()
        self.trace.begin(step)

    def record(self, step: StepRecord) -> None:
        """Write a finished step to the files, its metrics last, and show it.

        All of the step is written before anything that it shows can end the run.

        Raises:
            RunFailed: the policy no longer answers in some language.
        """
        self.memory_seen("driver", this_process_memory(with_children=False))
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
                buffer=step.metrics,
                fleet={name: float(self._fleet[kind]) for kind, name in FLEET_METRICS.items()},
                memory=dict(self._memory),
                actors=self._meter.measure(self._readings()),
                disk=disk_metrics(self._folder.path),
            )
        )
        self._fleet.clear()
        if scored:
            self._samples.append(step.step, scored, learned_by=dict.fromkeys(step.learned, step.policy_version))
        self._record_imitated(step, scored)
        self.dropped(step.dropped, step=step.step)
        for skipped in update.skipped if update else ():
            self._events.append(_skipped_event(step.step, skipped))
        self._explain_unscored(step.step, scored)
        self._metrics.append(step.step, metrics)
        self.trace.end(step.step, step.learned)
        for sink in self._sinks:
            sink.step(step.step, metrics)
        self._console.step(step.step, metrics)
        self._tell_signal(metrics)
        self._watch.see(count_languages(scored))

    def _tell_signal(self, metrics: Mapping[str, float]) -> None:
        """Say after the first steps if little or nothing of them was learned from: it is seldom better later."""
        if len(self._first_steps) == FIRST_STEPS:
            return
        self._first_steps.append(metrics)
        if len(self._first_steps) == FIRST_STEPS and (signal := learning_signal(self._first_steps)).is_weak:
            self._console.note(f"in the first {FIRST_STEPS} steps {signal.sentence}")

    def _record_imitated(self, step: StepRecord, scored: Iterable[ScoredGroup]) -> None:
        """Write an event for each group that was learned from without a sample: its text was given, not sampled."""
        sampled = {group.group.group_id for group in scored}
        for group_id in step.learned:
            if group_id not in sampled:
                self._events.append(Event(kind="group_learned", reason="imitated", step=step.step, group_id=group_id))

    def dropped(self, groups: Iterable[DroppedGroup], *, step: int) -> None:
        """Write an event for each group that no step learns from."""
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
        """Remove the steps after this one from the files: they are done again."""
        self._metrics.close()
        self._events.close()
        damaged: list[Event] = []
        try:
            damaged = cut_record(self._folder, after_step=step)
        finally:
            self._open()  # also on a full disk: the end of the run must still be recorded
        for sink in self._sinks:
            sink.cut_back(step)
        self._tell(damaged)

    def _explain_unscored(self, step: int, groups: Iterable[ScoredGroup]) -> None:
        """Explain each reason for unscored responses once a run, as an event and on the console.

        A mistake in a user's own reward comes back with every response.
        """
        for group in groups:
            for score in group.scores:
                if not isinstance(score, Unscored) or not score.detail or score.reason in self._explained:
                    continue
                self._explained.add(score.reason)
                event = Event(
                    kind="unscored",
                    reason=score.reason,
                    step=step,
                    group_id=group.group.group_id,
                    detail=score.detail,
                )
                self._events.append(event)
                last_line = score.detail.strip().splitlines()[-1]
                self._console.note(f"some responses have no score: {score.reason} ({last_line}); see events.jsonl")

    def waiting(self, what: str) -> None:
        """Show what the run waits for."""
        self._console.waiting(what)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._console.note(text)

    def event(self, kind: str, reason: str, detail: str = "") -> None:
        """Write an event of the run itself, which stays when steps are done again."""
        self._events.append(Event(kind=kind, reason=reason, detail=detail))

    def worker_changed(self, kind: str, reason: str, detail: str) -> None:
        """Write an event about a worker; lost workers, and changes of their number, are also printed."""
        self.event(kind, reason, detail)
        self._fleet[kind] += 1
        if kind == "fleet" or reason.endswith(("-> dead", "-> retired")):
            self.note(f"{reason}: {detail}")

    def memory_seen(self, actor: str, memory: ProcessMemory) -> None:
        """Keep the most memory that an actor has held, for the metrics of the steps to come."""
        for name, num_bytes in (("own", memory.own), ("peak", memory.peak), ("gpu", memory.gpu)):
            if num_bytes:
                metric = f"memory/{actor}/{name}_gib"
                self._memory[metric] = max(self._memory.get(metric, 0.0), num_bytes / 2**30)

    def close(self) -> None:
        """Merge the samples of all steps and close the files, all of them on the disk.

        A damaged file of samples is set aside and told: it does not keep a run from its end.

        Raises:
            OSError: the disk is full. The files are closed, and no finished step is lost.
        """
        try:
            self._tell(samples_damaged(self._folder, file) for file in self._samples.merge())
            self.trace.write()
        finally:
            for sink in self._sinks:
                sink.close()
            self._metrics.close()
            self._events.close()
            sync_record(self._folder)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.append(event)
            self._console.note(event.reason)


def _skipped_event(step: int, skipped: SkippedStep) -> Event:
    groups = ", ".join(skipped.group_ids)
    return Event(
        kind="step_skipped",
        reason="not_finite",
        step=step,
        detail=f"optimiser step {skipped.optimizer_step}: loss or gradient is not finite; groups {groups}",
    )
