"""Say when Prometheus raises an alert about a run, and write the rules as its rule file."""

import json
from dataclasses import dataclass

from contracts.metrics.exported import query_name

GROUP = "pb-rlsvr"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """Hold one rule."""

    name: str
    expression: str
    lasts: str  # how long the expression must hold, as Prometheus writes it: "15m"
    severity: str  # "warning", or "critical" where the run is about to end
    summary: str  # {{ $labels.run }} and others stand for the labels of the series
    advice: str


_STAGE_S = query_name("timing_s/<stage>")
_CONSISTENCY = query_name("lang/<language>/language_consistency")

ALERTS = (
    Alert(
        name="LearnerStarved",
        expression=f'{_STAGE_S}{{stage="wait"}} / ignoring(stage) {_STAGE_S}{{stage="step"}} > 0.5',
        lasts="15m",
        severity="warning",
        summary="{{ $labels.run }}: the learner waits for groups {{ $value | humanizePercentage }} of each step",
        advice="Look which actors are busy: add policy workers or scorers, or allow more staleness.",
    ),
    Alert(
        name="WorkerStale",
        expression=f"{query_name('actor/<actor>/versions_behind')} > 2",
        lasts="10m",
        severity="warning",
        summary="{{ $labels.run }}: {{ $labels.actor }} is {{ $value }} policy versions behind",
        advice="Look for missed pushes of this worker in events.jsonl, and at weights.timeout_s.",
    ),
    Alert(
        name="ActorNotServing",
        expression=f"{query_name('actor/<actor>/serving')} == 0",
        lasts="10m",
        severity="critical",
        summary="{{ $labels.run }}: {{ $labels.actor }} has not served for 10 minutes",
        advice="Look into events.jsonl for why it died, and into the run's logs for its output.",
    ),
    Alert(
        name="LanguageConsistencyFalls",
        expression=f'max_over_time({_CONSISTENCY}{{language!="all"}}[6h]) - {_CONSISTENCY}{{language!="all"}} > 0.2',
        lasts="10m",
        severity="warning",
        summary="{{ $labels.run }}: fewer responses are in {{ $labels.language }} than in the last six hours",
        advice="Look at the latest responses: the policy may have begun to answer in another language.",
    ),
    Alert(
        name="RewardWithoutSpread",
        expression=f"{query_name('group/reward_std')} < 0.01",
        lasts="30m",
        severity="warning",
        summary="{{ $labels.run }}: rewards inside a group hardly differ, so little is learned",
        advice="Look whether problems are too easy or too hard, or whether a gate shuts every response.",
    ),
    Alert(
        name="DiskNearlyFull",
        expression=f"{query_name('disk/free_share')} < 0.1",
        lasts="5m",
        severity="critical",
        summary="{{ $labels.run }}: {{ $value | humanizePercentage }} of the run folder's disk is free",
        advice="Free some space: a checkpoint that can't be written is skipped, and metrics that can't be end the run.",
    ),
)


def rule_file() -> str:
    """Return the rules as Prometheus reads them, in YAML."""
    return "\n".join([f"groups:\n- name: {GROUP}\n  rules:", *map(_rule, ALERTS), ""])


def _rule(alert: Alert) -> str:
    # A JSON string is a YAML string as well.
    return "\n".join(
        [
            f"  - alert: {alert.name}",
            f"    expr: {json.dumps(alert.expression)}",
            f"    for: {alert.lasts}",
            "    labels:",
            f"      severity: {alert.severity}",
            "    annotations:",
            f"      summary: {json.dumps(alert.summary)}",
            f"      description: {json.dumps(alert.advice)}",
        ]
    )
