"""GRPO on semantic rewards, readable from top to bottom: the picture of docs/architecture.md as code.

Owns the order of the stages in a step. Knows the ports and the stages only, so a unit test runs it on fakes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from driver.batching import pack, packing_efficiency
from driver.config import AlgorithmConfig
from driver.pipeline import AdvantageSettings, StageClock, Stages, score_problems, to_train_samples
from driver.ports import Learner
from driver.progress import patiently
from driver.references import ReferenceCounts
from driver.reward_config import RewardConfig
from driver.schema import DroppedGroup, Problem, PushReport, ScoredGroup, StepReport, TrainSample
from rewards.compose import combination


@dataclass(frozen=True, kw_only=True)
class Update:
    """One optimiser step and the push of its weights."""

    step: StepReport
    push: PushReport
    packing_efficiency: float


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """All that happened in one step, for whoever writes it down."""

    step: int
    groups: list[ScoredGroup | DroppedGroup]  # in the order of the problems
    dropped: list[DroppedGroup]  # everything that was not learned from, without signal included
    num_samples: int  # learned from
    update: Update | None  # None where no group had signal: the weights stay as they are
    references: ReferenceCounts
    stage_seconds: dict[str, float]
    scorer: dict[str, float]  # what the scorers counted meanwhile


class Recorder(Protocol):
    """Whoever writes steps down and shows them (driver/record.py)."""

    def begin(self, step: int) -> None: ...

    def record(self, step: StepRecord) -> None: ...

    def waiting(self, what: str) -> None:
        """Called every 30 s of a wait; with its own deadline, every wait also ends."""
        ...


@dataclass(frozen=True, kw_only=True)
class GrpoSettings:
    """The sections of a config that the recipe reads, and how rows are packed."""

    algorithm: AlgorithmConfig
    reward: RewardConfig
    num_ranks: int
    row_tokens: int
    pad_token_id: int


async def train_grpo(
    problems: Iterator[Problem], *, stages: Stages, learner: Learner, recorder: Recorder, settings: GrpoSettings
) -> None:
    """On-policy GRPO: every group is sampled from the weights that the last step left.

    The first push must have happened: a policy worker without the learner's weights refuses to sample.
    """
    algorithm = settings.algorithm
    policy_version = 0
    for step in range(1, algorithm.steps + 1):
        recorder.begin(step)
        clock = StageClock()
        batch_problems = [next(problems) for _ in range(algorithm.groups_per_step)]
        groups = await patiently(
            score_problems(batch_problems, step=step, stages=stages, clock=clock),
            f"the {len(batch_problems)} groups of step {step}",
            report=recorder.waiting,
        )

        samples, dropped = learnable(groups, policy_version, step=step, settings=settings)
        update = None
        if samples:
            batch = pack(
                samples,
                num_ranks=settings.num_ranks,
                row_tokens=settings.row_tokens,
                pad_token_id=settings.pad_token_id,
                policy_version=policy_version,
            )
            learning = clock.during("learn", learner.step(batch))
            report = await patiently(learning, f"the learner in step {step}", report=recorder.waiting)
            policy_version += 1
            pushing = clock.during("push", learner.push_weights(policy_version))
            push = await patiently(pushing, f"the weight push of step {step}", report=recorder.waiting)
            update = Update(step=report, push=push, packing_efficiency=packing_efficiency(batch))

        recorder.record(
            StepRecord(
                step=step,
                groups=groups,
                dropped=dropped,
                num_samples=len(samples),
                update=update,
                references=stages.references.take_counts(),
                stage_seconds=clock.seconds(),
                scorer=await stages.scorer.take_stats(),
            )
        )


def learnable(
    groups: Sequence[ScoredGroup | DroppedGroup],
    policy_version: int,
    *,
    step: int,
    settings: GrpoSettings,
) -> tuple[list[TrainSample], list[DroppedGroup]]:
    """Every group ends in exactly one of the two: its samples are learned from, or it is dropped with a reason.

    `policy_version` is that of the weights that are about to learn. Staleness is bounded by the order of a step, and
    checked here again, where samples are consumed.
    """
    algorithm, reward = settings.algorithm, settings.reward
    advantages = AdvantageSettings(
        combination=combination(reward),
        step=step,
        min_spread=reward.min_group_spread,
        scale_by_std=algorithm.scale_by_std,
    )
    samples: list[TrainSample] = []
    dropped: list[DroppedGroup] = []
    for group in groups:
        if isinstance(group, DroppedGroup):
            dropped.append(group)
            continue
        age = policy_version - min(rollout.policy_version for rollout in group.group.rollouts)
        if age > algorithm.max_staleness:
            dropped.append(too_old(group, age))
            continue
        outcome = to_train_samples(group, advantages)
        if isinstance(outcome, DroppedGroup):
            dropped.append(outcome)
        else:
            samples.extend(outcome)
    return samples, dropped


def too_old(scored: ScoredGroup, age: int) -> DroppedGroup:
    detail = f"drawn {age} policy versions ago"
    return DroppedGroup(group_id=scored.group.group_id, problem=scored.group.problem, reason="too_stale", detail=detail)
