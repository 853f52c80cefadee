"""Check the records of a run, and count what it did.

A run passes where its folder proves all claims that there is something to check for. Only what lies on the disk counts.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from driver.tracking.line_logs import Event
from driver.tracking.verify import draw_checks, reward_checks, step_checks
from driver.tracking.verify.checkpoint_records import Violation
from driver.tracking.verify.problem_checks import SeedDraws
from driver.tracking.verify.records import RunRecords

Check = Callable[[RunRecords], Iterator[Violation]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Hold what a run folder proves where none of some checks finds a violation."""

    text: str
    checks: tuple[Check, ...]
    applies: Callable[[RunRecords], bool] = lambda records: bool(records.steps)  # whether there is anything to check


CLAIMS = (
    Claim(
        text="every step is recorded once, in order, and each that learned has a loss",
        checks=(step_checks.steps_are_there_once, step_checks.loss_curve_has_no_hole),
    ),
    Claim(
        text="weights only got newer, and no sample was too old or of weights that came later",
        checks=(
            step_checks.versions_only_go_up,
            step_checks.no_sample_is_of_the_future,
            step_checks.no_sample_is_too_old,
        ),
    ),
    Claim(
        text="every group has all its rows, and metrics are those of samples and events when counted again",
        checks=(
            step_checks.groups_are_whole,
            step_checks.metrics_agree_with_samples,
            step_checks.metrics_agree_with_events,
        ),
    ),
    Claim(
        text="every draw was learned from in one step, dropped once with a reason, or is open in the last checkpoint",
        checks=(
            draw_checks.groups_are_closed_once,
            draw_checks.groups_are_known,
            draw_checks.no_draw_is_lost,
            draw_checks.checkpoints_lose_and_repeat_nothing,
        ),
    ),
    Claim(
        text="every reward follows from the parts and gates beside it and the weights of its step",
        checks=(reward_checks.rewards_follow_from_their_parts,),
        applies=lambda records: records.reward is not None and bool(records.groups),
    ),
    Claim(
        text="rows are of the question, item and language of their draw",
        checks=(draw_checks.rows_are_of_their_draw,),
        applies=lambda records: bool(records.groups),
    ),
    Claim(
        text="languages and problems are those that run.seed draws",
        checks=(draw_checks.draws_are_those_of_the_seed,),
        applies=lambda records: (
            bool(records.steps) and isinstance(records.draws, SeedDraws) and not records.draws.passes_over
        ),
    ),
    Claim(
        text="checkpoints and export are of this run, and have the files of their manifests and no others",
        checks=(draw_checks.checkpoints_belong_to_the_run, draw_checks.files_are_as_they_were_written),
        applies=lambda records: records.sealed.num > 0,
    ),
)

CHECKS: tuple[Check, ...] = tuple(check for claim in CLAIMS for check in claim.checks)

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


def check_claims(records: RunRecords) -> dict[Claim, tuple[Violation, ...]]:
    """Return the violations that the checks of each claim find."""
    return {claim: tuple(violation for check in claim.checks for violation in check(records)) for claim in CLAIMS}


def check_run(records: RunRecords) -> tuple[Violation, ...]:
    """Return every violation that any check finds."""
    return tuple(violation for found in check_claims(records).values() for violation in found)


def proved_by(records: RunRecords, found: Mapping[Claim, Sequence[Violation]]) -> tuple[str, ...]:
    """Return what the folder proves: each claim that applies to it and of which `found` has no violation."""
    proved = [claim.text for claim, violations in found.items() if claim.applies(records) and not violations]
    if records.reads_shards and records.sealed.num and not records.sealed.faults:
        proved.append("every byte of checkpoints and export is as it was written")
    return tuple(proved)


def not_checked_in(records: RunRecords) -> tuple[str, ...]:
    """Return what was not checked, and why."""
    return tuple(_not_checked(records))


def _not_checked(records: RunRecords) -> Iterator[str]:
    if records.sealed.num and not records.reads_shards:
        yield "the bytes of checkpoints and export, only their sizes (`verify --shards` reads them)"
    if isinstance(records.draws, str):
        yield f"languages and problems against run.seed: {records.draws}"
    elif records.draws.passes_over:
        yield "problems against run.seed: data.curriculum passes over problems; only the languages' turns were checked"
    elif records.draws.replaces:
        yield "whose turn it was: groups were replaced out of turn (algorithm.max_replacements, or a lost learner)"


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
