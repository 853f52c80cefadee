"""Check that every reward follows from the parts and gates that are recorded beside it, and the config's weights."""

import math
from collections.abc import Iterator, Sequence

from driver.tracking.verify.checkpoint_records import Violation
from driver.tracking.verify.records import RunRecords, SampleRow
from rewards.compose import Combination

_EARLIER_STEPS = 100
"""A group may be scored some steps before the one that learns from it: `reward.schedule` had other weights then."""


def rewards_follow_from_their_parts(records: RunRecords) -> Iterator[Violation]:
    """Check the reward of every scored response, and that every gate that is on is recorded with it."""
    if records.reward is None:
        return
    combination = Combination(records.reward)
    gates_on = [name for name, is_on in records.reward.gates.switches.items() if is_on]
    for group in records.groups:
        for row in group.rows:
            if row.reward is not None and (wrong := wrong_reward(row, group.step, combination, gates_on)):
                yield Violation(f"group {group.group_id}", f"group {group.group_id} in step {group.step} has {wrong}")


def wrong_reward(row: SampleRow, learned_in: int, combination: Combination, gates_on: Sequence[str]) -> str:
    """Return what is wrong with a scored response; nothing where its reward is the one that follows."""
    assert row.reward is not None
    if missing := [name for name in gates_on if name not in row.gates]:
        return f"a scored sample without the gate {missing[0]}"
    earliest = max(0, learned_in - _EARLIER_STEPS) if combination.config.schedule else learned_in
    expected = 0.0
    for step in range(learned_in, earliest - 1, -1):
        try:
            expected = combination.reward(row.parts, row.gates, step=step)
        except (ValueError, KeyError) as error:
            return f"a sample whose reward does not follow: {error}"
        if math.isclose(row.reward, expected, rel_tol=1e-9, abs_tol=1e-9):
            return ""
    return f"a sample with the reward {row.reward:.10g}, and {expected:.10g} follows from its parts and gates"
