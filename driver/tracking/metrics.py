"""What one step did, as one flat dict of named numbers, and the two logs of a run that are lines of JSON.

Owns the names and meanings of a step's metrics, `metrics.jsonl` and `events.jsonl`. Knows the schema and answers; must
not know Ray, an engine or how anything is drawn. In every family that has a part per language, "all" is the part over
all languages. A metric that has nothing to measure in a step (no gold, nobody scored) is left out, never 0.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev

from contracts.batches import PushResult, StepResult
from contracts.metrics.registry import refuse_unknown
from contracts.rollouts import DroppedGroup, Rollout, Score, ScoredGroup, Unscored
from driver.references.store import ReferenceCounts
from driver.tracking.json_lines import JsonLines, read_lines, replace_lines
from driver.tracking.language_metrics import language_metrics

_REASONS_ALWAYS_COUNTED = ("no_signal", "unscored")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """Everything that a step's metrics are made of."""

    groups: tuple[ScoredGroup, ...]  # all that were scored, those that were dropped afterwards too
    dropped: tuple[DroppedGroup, ...]  # all that were not learned from
    stage_seconds: Mapping[str, float]  # generate, pivot, score, learn, push, step; stages may overlap
    pivot: ReferenceCounts  # how the step came by its references
    learning: StepResult | None  # None: every group was dropped, and the learner had nothing to do
    push: PushResult | None  # None: no weights were sent
    policy_version: int = 0  # of the weights that learned
    scorer: Mapping[str, float] = field(default_factory=dict)  # scorer/... (actors/scoring/metrics.py)
    feed: Mapping[str, float] = field(default_factory=dict)  # queue/..., group/replaced (driver/rollouts/buffer.py)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMetrics:
    """One line of metrics.jsonl."""

    step: int
    time: float  # seconds since the epoch
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of events.jsonl: a failure, restart, skip or drop, and why."""

    kind: str
    reason: str
    step: int | None = None
    group_id: str | None = None
    detail: str = ""
    time: float = 0.0  # seconds since the epoch; the log stamps it


def step_metrics(outcome: StepOutcome) -> dict[str, float]:
    """One step's metrics by name. Parts, gates and answers are of all scored groups, dropped ones included."""
    metrics = _group_metrics(outcome.groups, outcome.dropped)
    metrics |= language_metrics(outcome.groups)
    metrics |= _length_metrics(outcome.groups)
    metrics |= _pivot_metrics(outcome.pivot)
    metrics |= outcome.scorer
    metrics |= outcome.feed
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
    """How many versions ago the tokens were drawn that this step learned from."""
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
    """`reward/std` is over all responses of the step; `group/reward_std` is the mean of the spread inside groups."""
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
    """Accuracy is against gold, and only watched. Agreement is of the pivot with itself, over several responses."""
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
    """A reason as the end of a metric's name: what stands before its colon, in one word."""
    return re.sub(r"\W+", "_", reason.partition(":")[0].strip().lower())


def _speed_metrics(outcome: StepOutcome) -> dict[str, float]:
    """What was finished meanwhile, which need not be what the step learned from; the learner's rate is over its own
    seconds, not over the driver's wait for it."""
    seconds, learning = outcome.stage_seconds, outcome.learning
    num_tokens = outcome.feed.get("group/finished_tokens", 0.0)
    num_texts = outcome.feed.get("group/finished_texts", 0.0)
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


class MetricsLog:
    """Appends to metrics.jsonl, one flushed line a step. A step that is logged again replaces it and all after it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lines = JsonLines(path)
        self._clock = clock

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a step; a number that JSON cannot hold (NaN, infinity) is written as null.

        Raises:
            UnknownMetric: a metric is not declared. Nothing is written.
        """
        refuse_unknown(metrics)
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._lines.append({"step": step, "time": self._clock(), "metrics": finite})

    def close(self) -> None:
        self._lines.close()


class EventLog:
    """Appends to events.jsonl, one flushed line an event."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lines = JsonLines(path)
        self._clock = clock

    def append(self, event: Event) -> None:
        self._lines.append({**asdict(event), "time": self._clock()})

    def close(self) -> None:
        self._lines.close()


def read_metrics(path: Path) -> list[StepMetrics]:
    """The run's steps in order; what a resumed run did again counts in its last form. No file: no steps."""
    return [
        StepMetrics(
            step=record["step"],
            time=record["time"],
            metrics={name: value for name, value in record["metrics"].items() if value is not None},
        )
        for record in _last_forms(path)
    ]


def read_events(path: Path) -> list[Event]:
    """The run's events, oldest first. No file: no events."""
    return [Event(**record) for record in read_lines(path)]


def cut_metrics(path: Path, *, after_step: int) -> None:
    """Leave the steps up to `after_step`, each once."""
    replace_lines(path, [record for record in _last_forms(path) if record["step"] <= after_step])


def cut_events(path: Path, *, after_step: int) -> None:
    """Leave out the events of later steps, which happen again; those of no step are the run's own and stay."""
    replace_lines(path, [record for record in read_lines(path) if (record["step"] or 0) <= after_step])


def _last_forms(path: Path) -> list[dict]:
    """One line a step, in order: a step that is logged again replaces itself and all after it."""
    steps: dict[int, dict] = {}
    for record in read_lines(path):
        while steps and next(reversed(steps)) >= record["step"]:
            steps.popitem()
        steps[record["step"]] = record
    return list(steps.values())
