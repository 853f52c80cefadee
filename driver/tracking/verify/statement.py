"""What an auditor says of a run: everything that was seen, in numbers, and every violation.

Owns the list of checks and the counts. Pure: a ledger in; how it is printed is driver/commands/verify.py.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from driver.tracking.metrics import Event
from driver.tracking.verify import draw_checks, step_checks
from driver.tracking.verify.ledger import Ledger

CHECKS: tuple[Callable[[Ledger], Iterator[str]], ...] = (
    step_checks.steps_are_there_once,
    step_checks.loss_curve_has_no_hole,
    step_checks.versions_only_go_up,
    step_checks.no_sample_is_of_the_future,
    step_checks.no_sample_is_too_old,
    step_checks.groups_are_whole,
    step_checks.metrics_say_what_samples_say,
    step_checks.metrics_say_what_events_say,
    draw_checks.groups_are_settled_once,
    draw_checks.groups_are_known,
    draw_checks.draws_are_accounted_for,
    draw_checks.checkpoints_lose_and_repeat_nothing,
    draw_checks.checkpoints_belong_to_the_run,
)

_TRANSITION = re.compile(r"(?P<role>.+?)-\d+: .*-> (?P<state>\S+)")
"""Reason of an event of kind "worker"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """The result of an audit."""

    violations: tuple[str, ...]
    status: str
    steps: int
    learned: int  # groups
    dropped: dict[str, int]  # groups, by reason
    open: int  # draws that the last checkpoint has as open; 0 where the run is finished
    samples: int
    oldest: int  # versions that a sample was old when it was learned from, at most
    allowed: int  # algorithm.max_staleness
    last_version: int  # that was pushed
    checkpoints: int
    resumes: int
    happened: dict[str, int]  # other events by kind; changes of workers as "policy: dead"
    not_recorded: tuple[str, ...]  # what the folder does not say, so that nothing is claimed of it

    def lines(self) -> Iterator[str]:
        """What was seen, for a person."""
        yield f"status: {self.status}; {self.steps} steps, {self.samples} samples, {self.checkpoints} checkpoints"
        drops = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        yield f"groups: {self.learned} learned from, dropped: {drops}; {self.open} open"
        yield f"versions: up to {self.last_version}; oldest sample {self.oldest} of at most {self.allowed} versions old"
        happened = ", ".join(f"{kind} {count}" for kind, count in self.happened.items()) or "nothing"
        yield f"resumed {self.resumes} times; events: {happened}"
        for what in self.not_recorded:
            yield f"not recorded: {what}"


def audit(ledger: Ledger) -> Statement:
    """Every check on the ledger, and the counts."""
    learned = draw_checks.learned_in(ledger)
    pushed = [line.metrics.get("weights/policy_version") for line in ledger.steps]
    ages = [
        row.learner_version - row.oldest_version
        for group in ledger.groups
        for row in group.rows
        if row.learner_version is not None
    ]
    return Statement(
        violations=tuple(line for check in CHECKS for line in check(ledger)),
        status=ledger.status,
        steps=len(ledger.steps),
        learned=len(learned),
        dropped=dict(sorted(Counter(event.reason for event in ledger.drops).items())),
        open=len(ledger.checkpoints[-1].open) if ledger.checkpoints and not ledger.is_finished else 0,
        samples=sum(len(group.rows) for group in ledger.groups),
        oldest=max(ages, default=0),
        allowed=ledger.max_staleness,
        last_version=int(max((version for version in pushed if version is not None), default=0)),
        checkpoints=len(ledger.checkpoints),
        resumes=sum(event.kind == "resumed" for event in ledger.events),
        happened=dict(sorted(Counter(_kind(event) for event in ledger.events if event.kind != "resumed").items())),
        not_recorded=tuple(_not_recorded(ledger)),
    )


def _kind(event: Event) -> str:
    if event.kind == "worker" and (found := _TRANSITION.match(event.reason)):
        return f"{found['role']}: {found['state']}"
    return event.kind


def _not_recorded(ledger: Ledger) -> Iterator[str]:
    if not ledger.is_finished and not ledger.checkpoints and ledger.steps:
        yield "draws that were under way when a run without a checkpoint ended: the next start begins anew"
    yield from ledger.not_finished
