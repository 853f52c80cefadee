"""Decide which finished groups a step learns from: the types of the buffer, and the choice by deadline.

A group's deadline is the last policy version that may learn from it: the version that drew it plus
`algorithm.max_staleness`. The group with the earliest deadline is chosen first.

A step takes `size` groups and makes at most one new version. With at most (max_staleness + 1) x size groups in flight,
a choice that leaves no more than (d - version) x size groups of deadline d or earlier always exists, and the same holds
again at the next version: no group is ever dropped for its age. Only a version that jumps (a restarted learner) can
break it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.config.learning import PolicyGradientConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.learning.samples import why_not_learnable

Outcome = ScoredGroup | DroppedGroup


@dataclass(frozen=True, kw_only=True)
class FinishedGroup:
    """Hold a group that has passed all stages."""

    draw: PromptDraw
    outcome: Outcome
    version: int  # of its oldest token; without tokens, of the policy when the group was started


@dataclass(frozen=True, kw_only=True)
class ReplacedGroup:
    """Hold a group that no step will learn from: another draw was started in its place."""

    finished: FinishedGroup
    dropped: DroppedGroup


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Hold what one step gets: `groups_per_step` groups, of which some may not be learnable."""

    groups: Sequence[Outcome]  # in the order of their draws
    replaced: Sequence[ReplacedGroup] = ()  # since the last batch
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BufferRules:
    """Hold the settings that decide on slots and replacements."""

    algorithm: PolicyGradientConfig
    reward: RewardConfig

    def dropped(self, outcome: Outcome, *, version: int, step: int) -> DroppedGroup | None:
        """Return why policy `version` can't learn from a group, or None if it can."""
        if isinstance(outcome, DroppedGroup):
            return outcome
        return why_not_learnable(
            outcome, policy_version=version, step=step, algorithm=self.algorithm, reward=self.reward
        )


def choose(ready: Sequence[int], running: Sequence[int], *, version: int, size: int) -> list[int] | None:
    """Return the indices into `ready` of the `size` groups that `version` learns from, or None if it must wait.

    `ready` and `running` are the deadlines of the ready and of the running groups. The earliest deadlines are chosen,
    of equal ones the first. The step must wait if too few groups are ready, or if a running group is older than a
    chosen one and would be too old afterwards.
    """
    if len(ready) < size:
        return None
    order = sorted(range(len(ready)), key=lambda index: (ready[index], index))
    chosen = order[:size]
    latest_chosen = ready[chosen[-1]]
    num_older = 0
    for deadline, number in sorted(Counter(running).items()):
        # Waiting helps only if an older group could take the place of a younger chosen one. No ready group is left
        # that is older than the chosen ones.
        if deadline >= latest_chosen:
            break
        num_older += number
        if num_older > (deadline - version) * size:
            return None
    return chosen
