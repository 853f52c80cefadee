"""Whether every draw of a run was settled exactly once: learned from in one step, or dropped once with a reason.

Owns the meaning of that, over the run and at each of its checkpoints. Each check gives one line for every place where
it does not hold. Pure: a ledger in, sentences out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from driver.tracking.verify.ledger import RUN_ENDED, CheckpointRecord, Ledger, OpenDraw
from driver.tracking.verify.step_checks import numbers


def number_of(group_id: str) -> int | None:
    """The draw's number, which a group's id begins with; None where it has none."""
    number, _, rest = group_id.partition("/")
    return int(number) if number.isascii() and number.isdigit() and rest.count("/") >= 1 else None


def learned_in(ledger: Ledger) -> dict[str, list[int]]:
    """Group id -> the steps that learned from it."""
    steps: dict[str, list[int]] = defaultdict(list)
    for group in ledger.groups:
        if group.learner_version is not None:
            steps[group.group_id].append(group.step)
    for event in ledger.imitated:
        steps[event.group_id or ""].append(event.step or 0)
    return dict(steps)


def dropped_in(ledger: Ledger) -> dict[str, list[int]]:
    """Group id -> the steps that it was dropped in."""
    steps: dict[str, list[int]] = defaultdict(list)
    for event in ledger.drops:
        steps[event.group_id or ""].append(event.step or 0)
    return dict(steps)


def groups_are_settled_once(ledger: Ledger) -> Iterator[str]:
    """Learned from in one step, or dropped once with a reason."""
    learned, dropped = learned_in(ledger), dropped_in(ledger)
    for group_id, steps in learned.items():
        if len(steps) > 1:
            yield f"group {group_id} was learned from more than once: in the steps {numbers(steps)}"
        if group_id in dropped:
            yield f"group {group_id} was learned from in step {steps[0]} and dropped in step {dropped[group_id][0]}"
    for group_id, steps in dropped.items():
        if len(steps) > 1:
            yield f"group {group_id} was dropped more than once: in the steps {numbers(steps)}"
    for event in ledger.drops:
        if not event.reason.strip():
            yield f"group {event.group_id} was dropped in step {event.step} without a reason"
    for group_id in {group.group_id: None for group in ledger.groups}:
        if group_id not in learned and group_id not in dropped:
            yield f"group {group_id} has samples and was neither learned from nor dropped"


def groups_are_known(ledger: Ledger) -> Iterator[str]:
    """Ids are "<draw>/<item>/<language>" of a language of the run, and a draw is one group only."""
    ids: dict[int, str] = {}
    sampled = dict.fromkeys(group.group_id for group in ledger.groups)
    for group_id in {**sampled, **learned_in(ledger), **dropped_in(ledger)}:
        number = number_of(group_id)
        if number is None or group_id.rsplit("/", 1)[-1] not in ledger.languages:
            yield f"group {group_id!r} is no draw of this run: neither a number nor a language of data.languages"
        elif ids.setdefault(number, group_id) != group_id:
            yield f"draw {number} is two groups: {ids[number]} and {group_id}"


def draws_are_accounted_for(ledger: Ledger) -> Iterator[str]:
    """Each draw that was handed out is settled, or open in the last checkpoint; after it, it is drawn again."""
    settled = {number for group_id in _settled(ledger) if (number := number_of(group_id)) is not None}
    last = ledger.checkpoints[-1] if ledger.checkpoints else None
    handed_out = max([*(number + 1 for number in settled), last.next_number if last else 0])
    if not ledger.is_finished:  # what the checkpoint has not seen is handed out again by the next start
        settled |= {draw.number for draw in last.open} if last else set()
        handed_out = min(handed_out, last.next_number) if last else 0
    for number in sorted(set(range(handed_out)) - settled):
        yield f"draw {number} was handed out, and neither learned from nor dropped"


def checkpoints_lose_and_repeat_nothing(ledger: Ledger) -> Iterator[str]:
    """At each checkpoint, the draws handed out are exactly those settled by then and those that it has as open."""
    for checkpoint in ledger.checkpoints:
        settled = _settled(ledger, up_to=checkpoint.step)
        numbers = {number: group_id for group_id in settled if (number := number_of(group_id)) is not None}
        yield from (f"checkpoint {checkpoint.name} has {wrong}" for wrong in _wrong_draws(checkpoint, numbers))


def _wrong_draws(checkpoint: CheckpointRecord, settled: Mapping[int, str]) -> Iterator[str]:
    open_draws: dict[int, OpenDraw] = {}
    for draw in checkpoint.open:
        if draw.number in open_draws:
            yield f"draw {draw.number} open twice"
        open_draws[draw.number] = draw
        if draw.number in settled:
            yield f"draw {draw.number} open, and group {settled[draw.number]} was settled by then"
    for number in sorted({*open_draws, *settled}):
        if number >= checkpoint.next_number:
            yield f"draw {number} that it was yet to hand out ({checkpoint.next_number} is its next)"
    for number in sorted(set(range(checkpoint.next_number)) - set(open_draws) - set(settled)):
        yield f"draw {number} neither settled nor open: it is lost"


def checkpoints_belong_to_the_run(ledger: Ledger) -> Iterator[str]:
    """Of steps that the record has, with weights no older than what had been pushed."""
    steps = {line.step for line in ledger.steps}
    for checkpoint in ledger.checkpoints:
        if checkpoint.step not in steps and checkpoint.step > 0:  # 0: stopped before the first
            yield f"checkpoint {checkpoint.name} is of step {checkpoint.step}, which metrics.jsonl does not have"
        pushed = [
            version
            for line in ledger.steps
            if line.step <= checkpoint.step and (version := line.metrics.get("weights/policy_version")) is not None
        ]
        if pushed and checkpoint.policy_version < max(pushed):
            yield (
                f"checkpoint {checkpoint.name} has policy version {checkpoint.policy_version}, below "
                f"{max(pushed):g}, which had been pushed"
            )


def _settled(ledger: Ledger, *, up_to: int | None = None) -> set[str]:
    """Groups learned from or dropped, for good: a step's checkpoint does not know that the run ended with it."""
    learned = learned_in(ledger)
    if up_to is None:
        return {*learned, *dropped_in(ledger)}
    drops = [event for event in ledger.drops if event.reason != RUN_ENDED and (event.step or 0) <= up_to]
    return {group_id for group_id, steps in learned.items() if steps[0] <= up_to} | {
        event.group_id or "" for event in drops
    }
