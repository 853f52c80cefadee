"""Write the page of the documentation that lists every metric."""

from collections.abc import Iterator

from contracts.metrics.exported import RAY_PREFIX, exported_name
from contracts.metrics.metric import Metric, MetricSection
from contracts.metrics.registry import SECTIONS

_INTRODUCTION = """\
# Metrics

Every metric that `metrics.jsonl` may hold and that Prometheus gets. This page is generated from their declarations
(`contracts/metrics/`) by `make docs`; a metric that is not declared can't be written.

- A step writes what it measured. A metric that has nothing to measure in a step is left out; it is never 0 instead.
- `<language>` is a language code, or `all` for all languages together. Other words in `<...>` are named by the config
  or by the run: `<component>` and `<gate>` by the reward ([rewards.md](rewards.md)), `<stage>` is generate, pivot,
  evidence, score, wait, measure, learn, push or step.
- "in Prometheus" is the name there, with the labels that the words in `<...>` become; every series also has the label
  `run`, and Ray adds its own. [monitoring.md](monitoring.md) says where to find them. All are gauges. `run/step` is in
  Prometheus only: in `metrics.jsonl` each line has its step.
- "over a step" says how all measurements of a step (tokens, responses, groups, micro-batches and workers) become one
  number. "over optimiser steps" says how those of a batch's several optimiser steps do; skipped optimiser steps count
  only for metrics marked "with skipped".
- In the learner's metrics logp_engine is the log-probability of a token by the engine that sampled it, logp_old the
  learner's before the batch, and u = exp(logp_old - logp_engine) the importance ratio; R is a return and v the critic's
  value. KL divergences are k3 estimates. [learning.md](learning.md) has the formulas.
"""


def metrics_page() -> str:
    """Return docs/metrics.md, as the declarations say it."""
    return "\n".join([_INTRODUCTION, *(_section(section) for section in SECTIONS)])


def _section(section: MetricSection) -> str:
    has_optimizer_steps = any(metric.over_optimizer_steps for metric in section.metrics)
    heads = [
        "name",
        "meaning",
        "unit",
        "in Prometheus",
        "over a step",
        *(["over optimiser steps"] if has_optimizer_steps else []),
    ]
    rows = [heads, ["---"] * len(heads), *(list(_cells(metric))[: len(heads)] for metric in section.metrics)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"## {section.title}", "", *lines, ""])


def _cells(metric: Metric) -> Iterator[str]:
    """Yield the cells of a metric's row; | is what separates cells."""
    yield f"`{metric.name}`"
    yield (metric.meaning + (f" Written {metric.when}." if metric.when else "")).replace("|", r"\|")
    yield metric.unit
    labels = f"{{{', '.join(metric.words)}}}" if metric.is_pattern else ""
    yield f"`{RAY_PREFIX}{exported_name(metric)}{labels}`"
    yield metric.reduction
    over = metric.over_optimizer_steps or ""
    yield f"{over}, with skipped" if metric.counts_skipped_steps else over
