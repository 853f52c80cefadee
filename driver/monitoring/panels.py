"""Say which panels the Grafana dashboard has, and which metrics each one shows.

Every query names a declared metric, so a metric that is renamed breaks the build and not a dashboard.
"""

from dataclasses import dataclass

from contracts.metrics.exported import RUN_LABEL, query_name
from driver.watch.actors import STAGES
from driver.watch.curves import THROUGHPUTS

SELECTED = f'{RUN_LABEL}=~"$run"'
"""What selects the runs that the reader has chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Hold one query of a panel."""

    expression: str  # in Prometheus' language
    legend: str  # what a line is called; {{label}} stands for the label's value


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Hold one picture over time."""

    title: str
    unit: str  # of Grafana: "percentunit", "s", "none"
    queries: tuple[Query, ...]
    needs_gpu: bool = False  # without a GPU it has nothing to show


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Hold panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def series(declared: str, legend: str = "", *, where: str = "") -> Query:
    """Return the query of a declared metric.

    Args:
        declared: the metric's name as it is declared, such as "lang/<language>/accuracy".
        legend: by default the run.
        where: more conditions on labels, such as 'language="all"'.

    Raises:
        KeyError: there is no such declaration.
    """
    conditions = ",".join(filter(None, [SELECTED, where]))
    return Query(expression=f"{query_name(declared)}{{{conditions}}}", legend=legend or f"{{{{{RUN_LABEL}}}}}")


def _panel(title: str, unit: str, *queries: Query) -> Panel:
    return Panel(title=title, unit=unit, queries=queries)


def _by_language(title: str, unit: str, name: str) -> Panel:
    return _panel(title, unit, series(f"lang/<language>/{name}", "{{language}}", where='language!="all"'))


def _by_actor(title: str, unit: str, *names: str) -> Panel:
    return _panel(title, unit, *(series(f"actor/<actor>/{name}", "{{actor}}") for name in names))


def _of_ray(name: str, legend: str) -> Query:
    """Return a query of Ray's own metric of each node, which knows no run."""
    return Query(expression=name, legend=legend)


ROWS = (
    Row(
        title="Does it learn?",
        panels=(
            _panel("Step", "none", series("run/step")),
            _panel("Reward", "none", series("reward/mean", "mean"), series("group/reward_std", "spread inside groups")),
            _panel(
                "Parts of the reward",
                "none",
                series("reward/<component>/<language>", "{{component}}", where='language="all"'),
            ),
            _panel("Open gates", "percentunit", series("gate/<gate>/<language>", "{{gate}}", where='language="all"')),
            _by_language("Accuracy while training, by language", "percentunit", "accuracy"),
            _by_language("In the asked language, by language", "percentunit", "language_consistency"),
            _by_language("Reward, by language", "none", "reward_mean"),
            _by_language("Response length, by language", "none", "response_length"),
            _panel(
                "Groups learned from and dropped",
                "none",
                series("group/used", "learned from"),
                series("group/dropped_<reason>", "dropped: {{reason}}"),
            ),
        ),
    ),
    Row(
        title="Which stage does it wait for?",
        panels=(
            _panel(
                "Seconds of each stage in a step",
                "s",
                series("timing_s/<stage>", "{{stage}}", where=f'stage=~"{"|".join((*STAGES, "step"))}"'),
            ),
            _panel(
                "Throughput of each stage",
                "none",
                *(series(f"throughput/{name}_per_s", f"{name.replace('_', ', ')}/s") for name in THROUGHPUTS),
            ),
            _by_actor("Throughput of each actor, tokens/s or texts/s", "none", "tokens_per_s", "texts_per_s"),
            _by_actor("Busy share of each actor", "percentunit", "busy_share"),
            _by_actor("Waiting share of each actor", "percentunit", "waiting_share"),
            _by_actor("Queue of each actor", "none", "queue"),
            _panel(
                "Groups in the buffer and at the scorers",
                "none",
                series("queue/in_flight", "in flight"),
                series("queue/ready", "ready"),
                series("scorer/queue_depth_max", "at scorers, most"),
            ),
        ),
    ),
    Row(
        title="Weights",
        panels=(
            _by_actor("Policy version of each worker", "none", "version"),
            _by_actor("Versions behind the newest", "none", "versions_behind"),
            _panel(
                "Staleness of what is learned from",
                "none",
                series("staleness/mean", "mean"),
                series("staleness/max", "largest"),
            ),
            _panel("Seconds of a weight push", "s", series("weights/push_s")),
        ),
    ),
    Row(
        title="Actors and machines",
        panels=(
            _by_actor("Serving", "none", "serving"),
            _by_actor("Restarts", "none", "restarts"),
            _panel("Memory of each actor, most so far", "gbytes", series("memory/<actor>/own_gib", "{{actor}}")),
            _panel("Free share of the run folder's disk", "percentunit", series("disk/free_share")),
            _panel("Responses without a score", "none", series("response/unscored")),
            _panel("Memory of each node", "bytes", _of_ray("ray_node_mem_used", "{{instance}}")),
            Panel(
                title="GPU memory of each actor, most so far",
                unit="gbytes",
                queries=(series("memory/<actor>/gpu_gib", "{{actor}}"),),
                needs_gpu=True,
            ),
            Panel(
                title="GPU utilisation",
                unit="percent",
                queries=(_of_ray("ray_node_gpus_utilization", "{{instance}} {{GpuIndex}}"),),
                needs_gpu=True,
            ),
        ),
    ),
    Row(
        title="Learner",
        panels=(
            _panel("Loss", "none", series("policy/loss")),
            _panel("Gradient norm", "none", series("policy/grad_norm")),
            _panel("Entropy", "none", series("policy/entropy")),
            _panel("Mismatch of engine and learner, KL", "none", series("policy/mismatch_kl")),
        ),
    ),
)
