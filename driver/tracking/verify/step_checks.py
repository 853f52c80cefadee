"""What must be true of each step of a run, and of the samples in it.

Owns the meaning of "every step once", "only upwards" and "not too old". Each check gives one line for every place where
it does not hold. Pure: a ledger in, sentences out. Whether a group is settled once is
driver/tracking/verify/draw_checks.py.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean

from driver.tracking.verify.ledger import RUN_ENDED, GroupRows, Ledger, SampleRow, StepLine

# --- steps ------------------------------------------------------------------------------------------------------------


def steps_are_there_once(ledger: Ledger) -> Iterator[str]:
    """metrics.jsonl has the steps 1 to n, in order, each in one line."""
    expected = 1
    seen: set[int] = set()
    for line in ledger.steps:
        if line.step in seen:
            yield f"step {line.step} is in metrics.jsonl more than once"
            continue
        if line.step != expected:
            yield f"metrics.jsonl has step {line.step} where step {expected} was to come"
        seen.add(line.step)
        expected = line.step + 1
    if ledger.steps_told is not None and ledger.steps_told != len(seen):
        yield f"summary.json tells of {ledger.steps_told} steps, and metrics.jsonl has {len(seen)}"
    recorded = [("samples.parquet", group.step) for group in ledger.groups]
    told = [*ledger.imitated, *(event for event in ledger.drops if event.reason != RUN_ENDED)]
    recorded += [("events.jsonl", event.step or 0) for event in told]
    for file, step in sorted(set(recorded)):
        if step not in seen:
            yield f"{file} has groups of step {step}, which metrics.jsonl does not have"


def loss_curve_has_no_hole(ledger: Ledger) -> Iterator[str]:
    for line in ledger.steps:
        if line.metrics.get("group/used") and line.metrics.get("policy/loss") is None:
            yield f"step {line.step} learned from {line.metrics['group/used']:g} groups and has no policy/loss"


# --- versions ---------------------------------------------------------------------------------------------------------


def versions_only_go_up(ledger: Ledger) -> Iterator[str]:
    """A step learns with weights no older than those pushed last, and what it pushes is newer than what it had."""
    learners: dict[int, set[int]] = defaultdict(set)
    for group in ledger.groups:
        learners[group.step] |= {row.learner_version for row in group.rows if row.learner_version is not None}
    highest = 0
    for line in ledger.steps:
        learned = sorted(learners.get(line.step, ()))
        if len(learned) > 1:
            yield f"step {line.step} learned with several versions of the weights: {numbers(learned)}"
        if learned and learned[0] < highest:
            yield f"step {line.step} learned with version {learned[0]}, after version {highest}"
        highest = max([highest, *learned])
        if (pushed := line.metrics.get("weights/policy_version")) is not None:
            if pushed < highest or pushed in learned:
                yield f"step {line.step} pushed version {pushed:g}, after version {highest}"
            highest = max(highest, int(pushed))


def no_sample_is_of_the_future(ledger: Ledger) -> Iterator[str]:
    """A response's tokens get newer and never older, and none is newer than the weights that learned from it."""
    for group in ledger.groups:
        for row in group.rows:
            if row.newest_version < row.oldest_version:
                yield (
                    f"{_where(group)} has a sample whose newest token is of version {row.newest_version} and whose "
                    f"oldest is of version {row.oldest_version}"
                )
            if row.learner_version is not None and row.newest_version > row.learner_version:
                yield (
                    f"{_where(group)} has a sample of version {row.newest_version}, and was learned from by version "
                    f"{row.learner_version}"
                )


def no_sample_is_too_old(ledger: Ledger) -> Iterator[str]:
    for group in ledger.groups:
        ages = [row.learner_version - row.oldest_version for row in group.rows if row.learner_version is not None]
        if ages and max(ages) > ledger.max_staleness:
            yield (
                f"{_where(group)} was learned from at age {max(ages)}; algorithm.max_staleness allows "
                f"{ledger.max_staleness}"
            )


# --- rows -------------------------------------------------------------------------------------------------------------


def groups_are_whole(ledger: Ledger) -> Iterator[str]:
    """Every group has group_size rows in one step, learned from by one version or by none."""
    steps: dict[str, set[int]] = defaultdict(set)
    for group in ledger.groups:
        steps[group.group_id].add(group.step)
        if len(group.rows) != ledger.group_size:
            yield f"{_where(group)} has {len(group.rows)} rows; algorithm.group_size is {ledger.group_size}"
        if len({row.learner_version for row in group.rows}) > 1:
            yield f"{_where(group)} has rows of several learner versions"
        for row in group.rows:
            yield from (f"{_where(group)} has {wrong}" for wrong in _wrong_cells(row))
    for group_id, found in steps.items():
        if len(found) > 1:
            yield f"group {group_id} has rows in the steps {numbers(sorted(found))}"


def _wrong_cells(row: SampleRow) -> Iterator[str]:
    """An unscored response has a reason and no reward, and is not learned from; all others have a reward."""
    if row.reward is None and row.unscored_reason is None:
        yield "a sample with neither a reward nor a reason why it is unscored"
    if row.reward is not None and row.unscored_reason is not None:
        yield f"an unscored sample ({row.unscored_reason}) with the reward {row.reward:g}"
    if row.learned != (row.learner_version is not None and row.unscored_reason is None):
        yield (
            f"a sample with learned = {row.learned}, learner_version {row.learner_version} and "
            f"{'no ' if row.unscored_reason is None else ''}reason for being unscored"
        )


def metrics_say_what_samples_say(ledger: Ledger) -> Iterator[str]:
    """Groups learned from, unscored responses and the mean reward are the same, counted again; nothing that is
    unscored was counted as a reward of 0."""
    by_step: dict[int, list[GroupRows]] = defaultdict(list)
    for group in ledger.groups:
        by_step[group.step].append(group)
    imitated = Counter(event.step for event in ledger.imitated)
    for line in ledger.steps:
        groups = by_step.get(line.step, [])
        rows = [row for group in groups for row in group.rows]
        rewards = [row.reward for row in rows if row.reward is not None]
        counted = {
            "group/used": float(sum(group.learner_version is not None for group in groups) + imitated[line.step]),
            "response/unscored": float(sum(row.reward is None for row in rows)),
            "reward/mean": fmean(rewards) if rewards else None,
        }
        yield from _differences(line, counted, source="samples.parquet")


def metrics_say_what_events_say(ledger: Ledger) -> Iterator[str]:
    by_step: dict[int, Counter[str]] = defaultdict(Counter)
    for event in ledger.drops:
        if event.reason != RUN_ENDED:
            by_step[event.step or 0][event.reason] += 1
    for line in ledger.steps:
        said = {name for name in line.metrics if name.startswith("group/dropped_")}
        dropped = {f"group/dropped_{reason}": count for reason, count in by_step.get(line.step, Counter()).items()}
        counted = {name: float(dropped.get(name, 0)) for name in sorted(said | set(dropped))}
        yield from _differences(line, counted, source="events.jsonl")


def _differences(line: StepLine, counted: Mapping[str, float | None], *, source: str) -> Iterator[str]:
    for name, value in counted.items():
        said = line.metrics.get(name)
        is_same = said is value if said is None or value is None else math.isclose(said, value, rel_tol=1e-9)
        if not is_same:
            yield f"step {line.step} has {name} {_told(said)} in metrics.jsonl, and {_told(value)} by {source}"


def _where(group: GroupRows) -> str:
    return f"group {group.group_id} in step {group.step}"


def numbers(values: Iterable[int]) -> str:
    """As they stand in a sentence."""
    return ", ".join(map(str, values))


def _told(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.10g}"
