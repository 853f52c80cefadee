"""What has become of a group on its way to the learner, and what a step is handed.

Owns these types and the rule by which a group teaches nothing. Pure; who starts groups and when is
driver/rollouts/buffer.py.
"""

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
