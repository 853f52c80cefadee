"""Turn the scorers' counters into metrics of one step."""

from collections.abc import Mapping

from contracts.metrics.metric import Reduction
from contracts.metrics.running import SCORER

STATES = tuple(metric.name.removeprefix("scorer/") for metric in SCORER.metrics if metric.reduction is Reduction.LAST)
"""Counters that describe the present: those of a process that is gone count for nothing."""

_SHOWN = (
    "queue_depth",
    "queue_depth_max",
    "busy_s",
    "encoded",
    "truncated_texts",
    "truncated_tokens",
    "translated",
    "translations_unfinished",
    "comet_segments",
    "failures",
    "expired",
    "retries",
    "given_up",
)
_MEANS = {
    "texts_per_s": ("texts", "busy_s"),
    "batch_size": ("texts", "batches"),
    "latency_s": ("latency_s", "groups"),
    "encoded_per_group": ("encoded", "groups"),
}


def over_step(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the counters of one step, from those before and after it: differences, but the last value of a state."""
    return {name: value if name in STATES else value - before.get(name, 0.0) for name, value in after.items()}


def scorer_metrics(counters: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of one step's counters. A mean over nothing is left out.

    texts_per_s is responses per busy second of a scorer, batch_size is in responses, latency_s is a group's mean time
    in seconds from its arrival at a scorer to its scores.
    """
    metrics = {name: counters[name] for name in _SHOWN if name in counters}
    metrics |= {name: counters[of] / counters[per] for name, (of, per) in _MEANS.items() if counters.get(per)}
    return {f"scorer/{name}": value for name, value in metrics.items()}
