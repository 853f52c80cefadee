"""Check the records of a run, and count what it did.

A run passes where its folder proves that every group was learned from exactly once or dropped once with a reason. No
code of the run is trusted: only what lies on the disk counts.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from driver.tracking.line_logs import Event
from driver.tracking.verify import draw_checks, step_checks
from driver.tracking.verify.records import RunRecords, Violation

CHECKS: tuple[Callable[[RunRecords], Iterator[Violation]], ...] = (
    step_checks.steps_are_there_once,
    step_checks.loss_curve_has_no_hole,
    step_checks.versions_only_go_up,
    step_checks.no_sample_is_of_the_future,
    step_checks.no_sample_is_too_old,
    step_checks.groups_are_whole,
    step_checks.metrics_agree_with_samples,
    step_checks.metrics_agree_with_events,
    draw_checks.groups_are_closed_once,
    draw_checks.groups_are_known,
    draw_checks.no_draw_is_lost,
    draw_checks.checkpoints_lose_and_repeat_nothing,
    draw_checks.checkpoints_belong_to_the_run,
)

_TRANSITION = re.compile(r"(?P<role>.+?)-\d+: .*-> (?P<state>\S+)")
"""Reason of an event of kind "worker"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """Hold what a run did, in numbers."""

    status: str
    steps: int
    learned: int  # groups
    dropped: dict[str, int]  # groups, by reason
    open: int  # draws that the last checkpoint has as open; 0 where the run is finished
    samples: int
    oldest: int  # the most policy versions that a sample was old when it was learned from
    allowed: int  # algorithm.max_staleness
    last_version: int  # that was pushed
    checkpoints: int
    resumes: int
    happened: dict[str, int]  # other events by kind; changes of workers as "policy: dead"
    not_recorded: tuple[str, ...]  # what the folder does not say, so that nothing is claimed about it

    def lines(self) -> Iterator[str]:
        """Yield the numbers as lines for a person."""
        yield f"status: {self.status}; {self.steps} steps, {self.samples} samples, {self.checkpoints} checkpoints"
        drops = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        yield f"groups: {self.learned} learned from, dropped: {drops}; {self.open} open"
        yield f"versions: up to {self.last_version}; oldest sample {self.oldest} versions old (at most {self.allowed})"
        happened = ", ".join(f"{kind} {count}" for kind, count in self.happened.items()) or "none"
        yield f"resumed {self.resumes} times; other events: {happened}"
        for what in self.not_recorded:
            yield f"not recorded: {what}"


def check_run(records: RunRecords) -> tuple[Violation, ...]:
    """Return every violation that any check finds; none proves that the run is right."""
    return tuple(violation for check in CHECKS for violation in check(records))


def summarise_run(records: RunRecords) -> RunSummary:
    """Count what the run did."""
    pushed = [line.metrics.get("weights/policy_version") for line in records.steps]
    ages = [
        row.learner_version - row.oldest_version
        for group in records.groups
        for row in group.rows
        if row.learner_version is not None
    ]
    return RunSummary(
        status=records.status,
        steps=len(records.steps),
        learned=len(draw_checks.learned_in(records)),
        dropped=dict(sorted(Counter(event.reason for event in records.drops).items())),
        open=len(records.checkpoints[-1].open) if records.checkpoints and not records.is_finished else 0,
        samples=sum(len(group.rows) for group in records.groups),
        oldest=max(ages, default=0),
        allowed=records.max_staleness,
        last_version=int(max((version for version in pushed if version is not None), default=0)),
        checkpoints=len(records.checkpoints),
        resumes=sum(event.kind == "resumed" for event in records.events),
        happened=dict(sorted(Counter(_kind(event) for event in records.events if event.kind != "resumed").items())),
        not_recorded=tuple(_not_recorded(records)),
    )


def _kind(event: Event) -> str:
    """Return what an event is counted as."""
    if event.kind == "worker" and (found := _TRANSITION.match(event.reason)):
        return f"{found['role']}: {found['state']}"
    return event.kind


def _not_recorded(records: RunRecords) -> Iterator[str]:
    if not records.is_finished and not records.checkpoints and records.steps:
        yield "the draws that were unfinished when this run without a checkpoint ended (the next start begins again)"
    for step in records.unfinished_steps:
        yield f"the result of step {step}: it has samples, but was not finished"
