"""Declare the metrics of single actors, of the run's position and of the disk that it writes to.

<actor> is the name of an actor: policy-0, pivot-1, scorer-0, learner-3. These metrics are read from what the actors say
of themselves: at the end of a step for metrics.jsonl, and every few seconds for Prometheus.
"""

from contracts.metrics.metric import Metric, MetricSection, Reduction, Unit


def _last(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.LAST, meaning, when=when)


def _ratio(name: str, title: str, unit: Unit, meaning: str, *, when: str = "") -> Metric:
    return Metric(name, title, unit, Reduction.RATIO, meaning, when=when)


ACTORS = MetricSection(
    "Actors",
    (
        _ratio(
            "actor/<actor>/tokens_per_s",
            "Throughput of an actor, tokens",
            Unit.TOKENS_PER_S,
            "Tokens that an engine or a learner rank has worked on, over all seconds, busy or not.",
            when="for policy, pivot and learner",
        ),
        _ratio(
            "actor/<actor>/texts_per_s",
            "Throughput of an actor, texts",
            Unit.TEXTS_PER_S,
            "Responses that a scorer has scored, over all seconds, busy or not.",
            when="for scorers",
        ),
        _ratio(
            "actor/<actor>/busy_share",
            "Busy share of an actor",
            Unit.SHARE,
            "Seconds in which the actor worked, over all seconds.",
        ),
        _ratio(
            "actor/<actor>/waiting_share",
            "Waiting share of an actor",
            Unit.SHARE,
            "Seconds in which the actor had nothing to do, loaded or took weights, over all seconds.",
        ),
        _last(
            "actor/<actor>/queue",
            "Queue of an actor",
            Unit.COUNT,
            "Unanswered samples of an engine, or unanswered calls of a scorer.",
            when="for policy, pivot and scorers",
        ),
        _last(
            "actor/<actor>/version",
            "Policy version of an actor",
            Unit.VERSIONS,
            "The version of the weights that a policy worker serves.",
            when="for policy workers that have weights",
        ),
        _last(
            "actor/<actor>/versions_behind",
            "Versions behind",
            Unit.VERSIONS,
            "Policy versions between the newest weights of any policy worker and those of this one.",
            when="for policy workers that have weights",
        ),
        _last(
            "actor/<actor>/serving",
            "Serving",
            Unit.COUNT,
            "1 where the actor may be given work, 0 where it loads, is silent or dead, or lacks the current weights.",
        ),
        _last(
            "actor/<actor>/restarts",
            "Restarts",
            Unit.COUNT,
            "Processes that have replaced the actor's first one since the run was last started.",
        ),
    ),
)

RUN = MetricSection(
    "Run",
    (
        _last("run/step", "Step", Unit.COUNT, "The number of the last finished step."),
        _last("disk/free_gib", "Disk: free", Unit.GIB, "Space that is free on the disk of the run folder."),
        _last(
            "disk/free_share",
            "Disk: free share",
            Unit.SHARE,
            "Free space over all space on the disk of the run folder.",
        ),
    ),
)

SECTIONS = (ACTORS, RUN)
