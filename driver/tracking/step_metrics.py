"""Compute what one step did, as one flat dictionary of metrics.

In every family that has a metric for each language, "all" stands for all languages together. A metric that has nothing
to measure in a step (no gold answers, no scored response) is left out; it is never 0 instead.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from contracts.batches import PushResult, StepResult
from contracts.rollouts import DroppedGroup, Rollout, Score, ScoredGroup, Unscored
from driver.references.store import ReferenceCounts
from driver.tracking.language_metrics import language_metrics

_REASONS_ALWAYS_COUNTED = ("no_signal", "unscored")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """Hold everything that a step's metrics are computed from."""

    groups: tuple[ScoredGroup, ...]  # all that were scored, also those that were dropped afterwards
    dropped: tuple[DroppedGroup, ...]  # all that were not learned from
    stage_seconds: Mapping[str, float]  # generate, pivot, score, learn, push, step; stages may overlap
    pivot: ReferenceCounts  # how the step got its references
    learning: StepResult | None  # None: every group was dropped, and the learner had nothing to do
    push: PushResult | None  # None: no weights were sent
    policy_version: int = 0  # of the weights that learned
    scorer: Mapping[str, float] = field(default_factory=dict)  # scorer/..., as the scorers counted
    buffer: Mapping[str, float] = field(
        default_factory=dict
    )  # queue/..., group/replaced, as the rollout buffer counted
    fleet: Mapping[str, float] = field(default_factory=dict)  # fleet/..., over the workers of all roles
    memory: Mapping[str, float] = field(default_factory=dict)  # memory/..., of each process
    actors: Mapping[str, float] = field(default_factory=dict)  # actor/..., of each actor
    disk: Mapping[str, float] = field(default_factory=dict)  # disk/..., of the run folder


def step_metrics(outcome: StepOutcome) -> dict[str, float]:
    """Return one step's metrics by name; rewards, gates and answers are of all scored groups, dropped ones included."""
    metrics = _group_metrics(outcome.groups, outcome.dropped)
    metrics |= language_metrics(outcome.groups)
    metrics |= _length_metrics(outcome.groups)
    metrics |= _pivot_metrics(outcome.pivot)
    metrics |= outcome.scorer
    metrics |= outcome.buffer
    metrics |= outcome.fleet
    metrics |= outcome.memory
    metrics |= outcome.actors
    metrics |= outcome.disk
    metrics |= _staleness_metrics(outcome)
    metrics |= _speed_metrics(outcome)
    if outcome.learning is not None:
        metrics |= outcome.learning.metrics
    if outcome.push is not None:
        metrics |= {
            "weights/policy_version": float(outcome.push.policy_version),
            "weights/num_bytes": float(outcome.push.num_bytes),
            "weights/push_s": outcome.push.seconds,
            "weights/workers": float(outcome.push.num_workers),
            "weights/missed": float(len(outcome.push.missed)),
        }
    return metrics


def _staleness_metrics(outcome: StepOutcome) -> dict[str, float]:
    """Return how many policy versions ago the tokens were sampled that this step learned from."""
    dropped_ids = {group.group_id for group in outcome.dropped}
    learned = [group for group in outcome.groups if group.group.group_id not in dropped_ids]
    versions = [rollout.token_versions for rollout in _rollouts(learned)]
    if not versions:
        return {}
    num_tokens = sum(map(len, versions))
    oldest = min(of_tokens[0] for of_tokens in versions)
    return {
        "staleness/mean": (num_tokens * outcome.policy_version - sum(map(sum, versions))) / num_tokens,
        "staleness/max": float(outcome.policy_version - oldest),
    }


def _rewards(group: ScoredGroup) -> list[float]:
    return [score.reward for score in group.scores if isinstance(score, Score)]


def _group_metrics(groups: Sequence[ScoredGroup], dropped: Sequence[DroppedGroup]) -> dict[str, float]:
    """Return what became of the groups, and their rewards.

    `reward/std` is over all responses of the step; `group/reward_std` is the mean of the spread inside groups.
    """
    reasons = Counter({reason: 0 for reason in _REASONS_ALWAYS_COUNTED})
    reasons.update(group.reason for group in dropped)
    dropped_ids = {group.group_id for group in dropped}
    unscored = [score.reason for group in groups for score in group.scores if isinstance(score, Unscored)]
    metrics = {
        "group/used": float(sum(group.group.group_id not in dropped_ids for group in groups)),
        **{f"group/dropped_{reason}": float(count) for reason, count in sorted(reasons.items())},
        "response/unscored": float(len(unscored)),
        **{
            f"response/unscored_{name}": float(count)
            for name, count in sorted(Counter(map(reason_name, unscored)).items())
        },
    }
    rewards = [reward for group in groups for reward in _rewards(group)]
    if rewards:
        metrics |= {"reward/mean": fmean(rewards), "reward/std": pstdev(rewards)}
    spreads = [pstdev(_rewards(group)) for group in groups if len(_rewards(group)) > 1]
    if spreads:
        metrics["group/reward_std"] = fmean(spreads)
    return metrics


def _length_metrics(groups: Sequence[ScoredGroup]) -> dict[str, float]:
    lengths = [len(rollout.token_ids) for rollout in _rollouts(groups)]
    if not lengths:
        return {}
    return {"response_length/mean": fmean(lengths), "response_length/max": float(max(lengths))}


def _pivot_metrics(pivot: ReferenceCounts) -> dict[str, float]:
    """Return the metrics of references.

    Accuracy is against gold answers, and only watched. Agreement is that of several pivot responses to one problem.
    """
    counts = {"requests": pivot.requests, "truncated": pivot.truncated, "undecided": pivot.undecided}
    means = {
        "cache_hit_rate": (pivot.cached, pivot.asked),
        "latency_s": (pivot.seconds, pivot.answered),
        "accuracy": (pivot.correct, pivot.with_gold),
        "agreement": (pivot.agreement, pivot.num_voted),
    }
    return {
        **{f"pivot/{name}": float(count) for name, count in counts.items()},
        **{f"pivot/{name}": total / number for name, (total, number) in means.items() if number},
    }


def reason_name(reason: str) -> str:
    """Return a reason as the end of a metric's name: the part before its colon, as one word."""
    return re.sub(r"\W+", "_", reason.partition(":")[0].strip().lower())


def _speed_metrics(outcome: StepOutcome) -> dict[str, float]:
    """Return seconds by stage and throughputs.

    Tokens and texts are those that were finished meanwhile, which need not be those that the step learned from. The
    learner's rate is over its own seconds, not over the driver's wait for it.
    """
    seconds, learning = outcome.stage_seconds, outcome.learning
    num_tokens = outcome.buffer.get("group/finished_tokens", 0.0)
    num_texts = outcome.buffer.get("group/finished_texts", 0.0)
    work = {
        "policy_tokens": (num_tokens, seconds.get("generate", 0.0)),
        "pivot_tokens": (outcome.pivot.tokens, seconds.get("pivot", 0.0)),
        "scorer_texts": (num_texts, seconds.get("score", 0.0)),
        "learner_tokens": (learning.num_tokens, learning.seconds) if learning is not None else (0, 0.0),
    }
    rates = {f"throughput/{name}_per_s": count / spent for name, (count, spent) in work.items() if count and spent}
    return {f"timing_s/{stage}": spent for stage, spent in seconds.items()} | rates


def _rollouts(groups: Iterable[ScoredGroup]) -> Iterator[Rollout]:
    return (rollout for group in groups for rollout in group.group.rollouts)
