"""Check that every draw of a run was closed exactly once: learned from in one step, or dropped once with a reason.

A draw is one prompt's turn in the problem stream; it becomes one group. A draw is open until it is closed. Each check
yields one violation for every place where it does not hold, over the run and at each of its checkpoints.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from driver.tracking.verify.checkpoint_records import CheckpointRecord, OpenDraw, Violation
from driver.tracking.verify.problem_checks import SeedDraws, SeenDraw, wrong_draws
from driver.tracking.verify.records import RUN_ENDED, RunRecords
from driver.tracking.verify.step_checks import numbers


def number_of(group_id: str) -> int | None:
    """Return the draw's number, which a group's id begins with; None where the id has none."""
    number, _, rest = group_id.partition("/")
    return int(number) if number.isascii() and number.isdigit() and rest.count("/") >= 1 else None


def learned_in(records: RunRecords) -> dict[str, list[int]]:
    """Return the steps that learned from each group, by group id."""
    steps: dict[str, list[int]] = defaultdict(list)
    for group in records.groups:
        if group.learner_version is not None:
            steps[group.group_id].append(group.step)
    for event in records.imitated:
        steps[event.group_id or ""].append(event.step or 0)
    return dict(steps)


def dropped_in(records: RunRecords) -> dict[str, list[int]]:
    """Return the steps that each group was dropped in, by group id."""
    steps: dict[str, list[int]] = defaultdict(list)
    for event in records.drops:
        steps[event.group_id or ""].append(event.step or 0)
    return dict(steps)


def groups_are_closed_once(records: RunRecords) -> Iterator[Violation]:
    """Check that each group was learned from in one step, or dropped once with a reason."""
    learned, dropped = learned_in(records), dropped_in(records)
    for group_id, steps in learned.items():
        if len(steps) > 1:
            yield _of_group(group_id, f"was learned from more than once: in the steps {numbers(steps)}")
        if group_id in dropped:
            yield _of_group(group_id, f"was learned from in step {steps[0]} and dropped in step {dropped[group_id][0]}")
    for group_id, steps in dropped.items():
        if len(steps) > 1:
            yield _of_group(group_id, f"was dropped more than once: in the steps {numbers(steps)}")
    for event in records.drops:
        if not event.reason.strip():
            yield _of_group(event.group_id or "", f"was dropped in step {event.step} without a reason")
    for group_id in {group.group_id: None for group in records.groups}:
        if group_id not in learned and group_id not in dropped:
            yield _of_group(group_id, "has samples and was neither learned from nor dropped")


def groups_are_known(records: RunRecords) -> Iterator[Violation]:
    """Check that ids are "<draw>/<item>/<language>" of a language of the run, and that a draw is one group only."""
    ids: dict[int, str] = {}
    sampled = dict.fromkeys(group.group_id for group in records.groups)
    for group_id in {**sampled, **learned_in(records), **dropped_in(records)}:
        number = number_of(group_id)
        if number is None or group_id.rsplit("/", 1)[-1] not in records.languages:
            yield _of_group(group_id, "is not a draw of this run: it has no number, or no language of data.languages")
        elif ids.setdefault(number, group_id) != group_id:
            yield _of_draw(number, f"is two groups: {ids[number]} and {group_id}")


def rows_are_of_their_draw(records: RunRecords) -> Iterator[Violation]:
    """Check that a group's rows are of one question, of the item and language that its id names."""
    for group in records.groups:
        _, item_id, language = _parts_of(group.group_id)
        if len(group.problems) > 1:
            yield _of_group(group.group_id, f"in step {group.step} has rows of several questions, items or languages")
        for other_item, other_language, _ in group.problems[:1]:
            if (other_item, other_language) != (item_id, language):
                yield _of_group(
                    group.group_id,
                    f"in step {group.step} has rows of item {other_item!r} in {other_language}",
                )


def draws_are_those_of_the_seed(records: RunRecords) -> Iterator[Violation]:
    """Check languages, items and questions against the draws of run.seed, where these can be made again."""
    if not isinstance(records.draws, SeedDraws):
        return
    seen = [_seen(group_id) for group_id in sorted(_closed(records))]
    seen += [_seen(group.group_id, question=group.problems[0][2]) for group in records.groups]
    for checkpoint in records.checkpoints:
        for draw in checkpoint.open:
            found = _seen(draw.group_id) if draw.group_id else None
            seen.append(
                SeenDraw(
                    number=draw.number,
                    item_id=found.item_id if found else "",
                    language=draw.language,
                    where=f"open in {checkpoint.name}",
                    place=draw.place,
                )
            )
    yield from wrong_draws(records.draws, [draw for draw in seen if draw.number >= 0])


def _seen(group_id: str, *, question: str | None = None) -> SeenDraw:
    number, item_id, language = _parts_of(group_id)
    return SeenDraw(number=number, item_id=item_id, language=language, where=f"group {group_id}", question=question)


def _parts_of(group_id: str) -> tuple[int, str, str]:
    """Return draw, item and language of a group's id; -1 for a draw that it doesn't name."""
    number = number_of(group_id)
    head, _, language = group_id.rpartition("/")
    return -1 if number is None else number, head.partition("/")[2], language


def no_draw_is_lost(records: RunRecords) -> Iterator[Violation]:
    """Check that each draw that was started is closed, or is drawn again by the next start."""
    closed = {number for group_id in _closed(records) if (number := number_of(group_id)) is not None}
    last = records.checkpoints[-1] if records.checkpoints else None
    num_started = max([*(number + 1 for number in closed), last.next_number if last else 0])
    if not records.is_finished:  # the next start draws again what the last checkpoint has not seen
        closed |= {draw.number for draw in last.open} if last else set()
        num_started = min(num_started, last.next_number) if last else 0
    for number in sorted(set(range(num_started)) - closed):
        yield _of_draw(number, "was started, and neither learned from nor dropped")


def checkpoints_lose_and_repeat_nothing(records: RunRecords) -> Iterator[Violation]:
    """Check that the draws started before a checkpoint are those closed by then and those that it has as open."""
    for checkpoint in records.checkpoints:
        closed = _closed(records, up_to=checkpoint.step)
        by_number = {number: group_id for group_id in closed if (number := number_of(group_id)) is not None}
        yield from (
            Violation(f"{checkpoint.name}, draw {number}", f"checkpoint {checkpoint.name} has draw {number} {wrong}")
            for number, wrong in _wrong_draws(checkpoint, by_number)
        )


def _wrong_draws(checkpoint: CheckpointRecord, closed: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Yield the draws that a checkpoint has wrong, each with what is wrong; `closed` is group ids by draw."""
    open_draws: dict[int, OpenDraw] = {}
    for draw in checkpoint.open:
        if draw.number in open_draws:
            yield draw.number, "open twice"
        open_draws[draw.number] = draw
        if draw.number in closed:
            yield draw.number, f"open, although group {closed[draw.number]} was learned from or dropped before it"
    for number in sorted({*open_draws, *closed}):
        if number >= checkpoint.next_number:
            yield number, f"before it was started: its next draw is {checkpoint.next_number}"
    for number in sorted(set(range(checkpoint.next_number)) - set(open_draws) - set(closed)):
        yield number, "neither open, learned from nor dropped: the draw is lost"


def checkpoints_belong_to_the_run(records: RunRecords) -> Iterator[Violation]:
    """Check that checkpoints are of recorded steps, with weights no older than those that had been pushed."""
    steps = {line.step for line in records.steps}
    for checkpoint in records.checkpoints:
        if checkpoint.step not in steps and checkpoint.step > 0:  # 0: stopped before the first
            yield Violation(
                checkpoint.name,
                f"checkpoint {checkpoint.name} is of step {checkpoint.step}, which metrics.jsonl does not have",
            )
        if checkpoint.seed != records.seed:
            yield Violation(
                checkpoint.name,
                f"checkpoint {checkpoint.name} is of seed {checkpoint.seed}; run.seed is {records.seed}",
            )
        pushed = [
            version
            for line in records.steps
            if line.step <= checkpoint.step and (version := line.metrics.get("weights/policy_version")) is not None
        ]
        if pushed and checkpoint.policy_version < max(pushed):
            yield Violation(
                checkpoint.name,
                f"checkpoint {checkpoint.name} has policy version {checkpoint.policy_version}, below version "
                f"{max(pushed):g}, which had been pushed before",
            )


def files_are_as_they_were_written(records: RunRecords) -> Iterator[Violation]:
    """Check that checkpoints and export have the files of their manifests and no others, and state and pointers fit."""
    yield from records.sealed.faults
    step, last = records.sealed.export_step, max((line.step for line in records.steps), default=0)
    if records.is_finished and step not in (None, last):
        yield Violation("final", f"the export is of step {step}, and the last step of the run is {last}")


def _of_group(group_id: str, wrong: str) -> Violation:
    return Violation(f"group {group_id}", f"group {group_id} {wrong}")


def _of_draw(number: int, wrong: str) -> Violation:
    return Violation(f"draw {number}", f"draw {number} {wrong}")


def _closed(records: RunRecords, *, up_to: int | None = None) -> set[str]:
    """Return the groups that were learned from or dropped, up to a step or over the whole run.

    The checkpoint of the last step does not know that the run ended with it, so drops for that reason count only over
    the whole run.
    """
    learned = learned_in(records)
    if up_to is None:
        return {*learned, *dropped_in(records)}
    drops = [event for event in records.drops if event.reason != RUN_ENDED and (event.step or 0) <= up_to]
    return {group_id for group_id, steps in learned.items() if steps[0] <= up_to} | {
        event.group_id or "" for event in drops
    }
