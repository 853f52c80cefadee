"""Check each step of a run and the samples in it: every step once, versions only upwards, no sample too old.

Each check yields one violation for every place where it does not hold.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean

from driver.tracking.verify.checkpoint_records import Violation
from driver.tracking.verify.records import RUN_ENDED, GroupRows, RunRecords, SampleRow, StepLine

# --- steps ------------------------------------------------------------------------------------------------------------


def steps_are_there_once(records: RunRecords) -> Iterator[Violation]:
    """Check that metrics.jsonl has the steps 1 to n, in order, each in one line."""
    expected = 1
    seen: set[int] = set()
    for line in records.steps:
        if line.step in seen:
            yield _of_step(line.step, "is in metrics.jsonl more than once")
            continue
        if line.step != expected:
            yield Violation(
                f"step {expected}", f"metrics.jsonl has step {line.step} where step {expected} was expected"
            )
        seen.add(line.step)
        expected = line.step + 1
    if records.steps_in_summary is not None and records.steps_in_summary != len(seen):
        yield Violation(
            "summary.json", f"summary.json says {records.steps_in_summary} steps, and metrics.jsonl has {len(seen)}"
        )
    recorded = [("samples.parquet", group.step) for group in records.groups]
    events = [*records.imitated, *(event for event in records.drops if event.reason != RUN_ENDED)]
    recorded += [("events.jsonl", event.step or 0) for event in events]
    for file, step in sorted(set(recorded)):
        if step not in seen:
            yield Violation(f"step {step}", f"{file} has groups of step {step}, which metrics.jsonl does not have")


def loss_curve_has_no_hole(records: RunRecords) -> Iterator[Violation]:
    """Check that each step that learned from a group has a finite loss."""
    for line in records.steps:
        if line.metrics.get("group/used") and line.metrics.get("policy/loss") is None:
            yield _of_step(line.step, f"learned from {line.metrics['group/used']:g} groups and has no policy/loss")


# --- versions ---------------------------------------------------------------------------------------------------------


def versions_only_go_up(records: RunRecords) -> Iterator[Violation]:
    """Check that a step learns with weights no older than those pushed last, and pushes newer ones than it had."""
    learners: dict[int, set[int]] = defaultdict(set)
    for group in records.groups:
        learners[group.step] |= {row.learner_version for row in group.rows if row.learner_version is not None}
    highest = 0
    for line in records.steps:
        learned = sorted(learners.get(line.step, ()))
        if len(learned) > 1:
            yield _of_step(line.step, f"learned with several versions of the weights: {numbers(learned)}")
        if learned and learned[0] < highest:
            yield _of_step(line.step, f"learned with version {learned[0]}, after version {highest}")
        highest = max([highest, *learned])
        if (pushed := line.metrics.get("weights/policy_version")) is not None:
            if pushed < highest or pushed in learned:
                yield _of_step(line.step, f"pushed version {pushed:g}, after version {highest}")
            highest = max(highest, int(pushed))


def no_sample_is_of_the_future(records: RunRecords) -> Iterator[Violation]:
    """Check that a response's tokens never get older, and that none is newer than the weights that learned from it."""
    for group in records.groups:
        for row in group.rows:
            if row.newest_version < row.oldest_version:
                yield _of_group(
                    group,
                    f"has a sample whose last token is of version {row.newest_version} and whose first token is of "
                    f"version {row.oldest_version}",
                )
            if row.learner_version is not None and row.newest_version > row.learner_version:
                yield _of_group(
                    group,
                    f"has a sample of version {row.newest_version}, and the weights that learned from it were of "
                    f"version {row.learner_version}",
                )


def no_sample_is_too_old(records: RunRecords) -> Iterator[Violation]:
    """Check that no sample was older than algorithm.max_staleness versions when it was learned from."""
    for group in records.groups:
        ages = [row.learner_version - row.oldest_version for row in group.rows if row.learner_version is not None]
        if ages and max(ages) > records.max_staleness:
            yield _of_group(
                group,
                f"was learned from when it was {max(ages)} versions old; algorithm.max_staleness is "
                f"{records.max_staleness}",
            )


# --- rows -------------------------------------------------------------------------------------------------------------


def groups_are_whole(records: RunRecords) -> Iterator[Violation]:
    """Check that every group has group_size rows in one step, learned from by one version or by none."""
    steps: dict[str, set[int]] = defaultdict(set)
    for group in records.groups:
        steps[group.group_id].add(group.step)
        if len(group.rows) != records.group_size:
            yield _of_group(group, f"has {len(group.rows)} rows; algorithm.group_size is {records.group_size}")
        if len({row.learner_version for row in group.rows}) > 1:
            yield _of_group(group, "has rows of several learner versions")
        for row in group.rows:
            yield from (_of_group(group, f"has {wrong}") for wrong in _wrong_cells(row))
    for group_id, found in steps.items():
        if len(found) > 1:
            yield Violation(f"group {group_id}", f"group {group_id} has rows in the steps {numbers(sorted(found))}")


def _wrong_cells(row: SampleRow) -> Iterator[str]:
    """Yield what is wrong with one response.

    An unscored response has a reason and no reward, and is not learned from; all others have a reward.
    """
    if row.reward is None and row.unscored_reason is None:
        yield "a sample with neither a reward nor a reason why it is unscored"
    if row.reward is not None and row.unscored_reason is not None:
        yield f"an unscored sample ({row.unscored_reason}) with the reward {row.reward:g}"
    if row.learned != (row.learner_version is not None and row.unscored_reason is None):
        scored = "scored" if row.unscored_reason is None else f"unscored ({row.unscored_reason})"
        yield f"a sample with learned = {row.learned} and learner_version = {row.learner_version} that is {scored}"


def metrics_agree_with_samples(records: RunRecords) -> Iterator[Violation]:
    """Check that groups learned from, unscored responses and the mean reward are the same when counted again.

    This also shows that no unscored response was counted as a reward of 0.
    """
    by_step: dict[int, list[GroupRows]] = defaultdict(list)
    for group in records.groups:
        by_step[group.step].append(group)
    imitated = Counter(event.step for event in records.imitated)
    for line in records.steps:
        groups = by_step.get(line.step, [])
        rows = [row for group in groups for row in group.rows]
        rewards = [row.reward for row in rows if row.reward is not None]
        counted = {
            "group/used": float(sum(group.learner_version is not None for group in groups) + imitated[line.step]),
            "response/unscored": float(sum(row.reward is None for row in rows)),
            "reward/mean": fmean(rewards) if rewards else None,
        }
        yield from _differences(line, counted, source="samples.parquet")


def metrics_agree_with_events(records: RunRecords) -> Iterator[Violation]:
    """Check that dropped groups are the same by reason when the events are counted."""
    by_step: dict[int, Counter[str]] = defaultdict(Counter)
    for event in records.drops:
        if event.reason != RUN_ENDED:
            by_step[event.step or 0][event.reason] += 1
    for line in records.steps:
        in_metrics = {name for name in line.metrics if name.startswith("group/dropped_")}
        dropped = {f"group/dropped_{reason}": count for reason, count in by_step.get(line.step, Counter()).items()}
        counted = {name: float(dropped.get(name, 0)) for name in sorted(in_metrics | set(dropped))}
        yield from _differences(line, counted, source="events.jsonl")


def _differences(line: StepLine, counted: Mapping[str, float | None], *, source: str) -> Iterator[Violation]:
    """Yield the metrics of a step that differ from what was counted in another file."""
    for name, value in counted.items():
        logged = line.metrics.get(name)
        is_same = logged is value if logged is None or value is None else math.isclose(logged, value, rel_tol=1e-9)
        if not is_same:
            yield _of_step(line.step, f"has {name} {_text(logged)} in metrics.jsonl, and {_text(value)} by {source}")


def _of_step(step: int, wrong: str) -> Violation:
    return Violation(f"step {step}", f"step {step} {wrong}")


def _of_group(group: GroupRows, wrong: str) -> Violation:
    return Violation(f"group {group.group_id}", f"group {group.group_id} in step {group.step} {wrong}")


def numbers(values: Iterable[int]) -> str:
    """Return numbers as they are listed in a sentence."""
    return ", ".join(map(str, values))


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.10g}"
