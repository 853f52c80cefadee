"""Decide which finished groups a step learns from: the types that the buffer hands over, and the choice by deadline.

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

from contracts.config.learning import AlgorithmConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.learning.samples import why_not_learnable

Outcome = ScoredGroup | DroppedGroup


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A group that is through the stages."""

    draw: PromptDraw
    outcome: Outcome
    version: int  # of its oldest token; of the policy when it was started, where it has none


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A group that no step will learn from: its place was given to another draw."""

    finished: Finished
    dropped: DroppedGroup


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step gets: `groups_per_step` groups, of which some may not be learnable."""

    groups: Sequence[Outcome]  # in the order of their draws
    set_aside: Sequence[SetAside] = ()  # since the batch before
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FeedRules:
    """What the slots and the replacements follow from."""

    algorithm: AlgorithmConfig
    reward: RewardConfig

    def dropped(self, outcome: Outcome, *, version: int, step: int) -> DroppedGroup | None:
        """Why a group teaches nothing; None where it does."""
        if isinstance(outcome, DroppedGroup):
            return outcome
        return why_not_learnable(
            outcome, policy_version=version, step=step, algorithm=self.algorithm, reward=self.reward
        )


def choose(ready: Sequence[int], waiting: Sequence[int], *, version: int, size: int) -> list[int] | None:
    """Indices into `ready` of the groups that version `version` learns from, those of the earliest deadlines; of equal
    ones the first. None: wait for another to finish, because too few are ready, or because an older one is still under
    way whose time would be over.
    """
    if len(ready) < size:
        return None
    order = sorted(range(len(ready)), key=lambda index: (ready[index], index))
    chosen = order[:size]
    latest_chosen = ready[chosen[-1]]
    num_older = 0
    for deadline, number in sorted(Counter(waiting).items()):
        # Waiting helps only where an older one could take the place of a younger one that is chosen; of those that are
        # older, none is left ready.
        if deadline >= latest_chosen:
            break
        num_older += number
        if num_older > (deadline - version) * size:
            return None
    return chosen
