"""The curves of a report: which metrics are drawn, in which order, and what is said under each.

Owns that choice. Knows metric names and the record; drawing is figures.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.metrics.registry import UnknownMetric, metric_named
from driver.names import language_name
from driver.report.figures import Scale, Series, colour, curves, smoothing_window, stacked_bars
from driver.report.page import Content, Html, details, element
from driver.report.run_record import RunRecord
from driver.tracking.language_metrics import ALL_LANGUAGES


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """One picture with a line a language."""

    metric: str
    under: str
    scale: Scale = Scale.SHARE


_PER_LANGUAGE = (
    _Choice(metric="accuracy", under="sampled responses against gold; only watched"),
    _Choice(metric="agreement", under="same final answer as the English reference"),
    _Choice(metric="language_consistency", under="responses that pass the language gate"),
    _Choice(metric="reward_mean", under="mean of the scored responses", scale=Scale.FROM_ZERO),
    _Choice(metric="response_length", under="tokens a response", scale=Scale.FROM_ZERO),
    _Choice(metric="truncated", under="responses that reached the token limit"),
)
_MISMATCH = ("mismatch", "logprob_diff", "logprobs_diff", "importance")
_STAGES = ("generate", "pivot", "score", "learn", "push")
_THROUGHPUT = (
    ("policy_tokens_per_s", "policy, tokens/s"),
    ("pivot_tokens_per_s", "pivot, tokens/s"),
    ("learner_tokens_per_s", "learner, tokens/s"),
    ("scorer_texts_per_s", "scorer, texts/s"),
)


def curves_section(record: RunRecord) -> list[Content]:
    """All pictures over steps; a metric that was never logged has no picture."""
    if not record.steps:
        return []
    window = smoothing_window(len(record.steps))
    smoothing = f" Lines are the mean of the last {window} steps." if window > 1 else ""
    return [
        element("h2", "While it trained"),
        element("p", f"{len(record.steps)} steps.{smoothing}", class_="soft small"),
        element("h3", "Reward and learning signal"),
        _grid([_reward(record, window), _parts(record, window), _lengths(record, window), _groups(record)]),
        element("h3", "Per language"),
        _languages_legend(record),
        _grid([_per_language(record, window, choice) for choice in _PER_LANGUAGE]),
        element("h3", "Gates, per language"),
        element(
            "p",
            "Responses that a gate lets through; a shut gate makes the reward 0. The language gate is above.",
            class_="soft small",
        ),
        _grid([_gate(record, window, gate) for gate in _names_between(record, "gate/") if gate != "language"]),
        element("h3", "Learner"),
        _grid(_learner(record, window)),
        element("h3", "Speed"),
        _grid([_time(record), _speed(record, window)]),
        _every_metric(record),
    ]


def series_of(record: RunRecord, name: str, *, label: str, index: int) -> Series | None:
    """A metric over the steps that have it; None if none has."""
    found = [(step.step, step.metrics[name]) for step in record.steps if name in step.metrics]
    if not found:
        return None
    steps, values = zip(*found, strict=True)
    return Series(label=label, colour=colour(index), steps=steps, values=values)


def _all_series(record: RunRecord, labels: Sequence[tuple[str, str]]) -> list[Series]:
    """Metrics by (name, label), each with the colour of its place in the list, whichever of them exist."""
    found = [series_of(record, name, label=label, index=index) for index, (name, label) in enumerate(labels)]
    return [line for line in found if line is not None]


def _language_series(record: RunRecord, pattern: str) -> list[Series]:
    return _all_series(record, [(pattern.format(code), language_name(code)) for code in record.languages])


def _names_between(record: RunRecord, prefix: str) -> list[str]:
    """The middle parts of `prefix<middle>/<language>`, in alphabetical order."""
    names = {name for step in record.steps for name in step.metrics if name.startswith(prefix)}
    return sorted({name.split("/")[1] for name in names if name.count("/") == 2})


def _names_under(record: RunRecord, prefix: str) -> list[str]:
    return sorted({name for step in record.steps for name in step.metrics if name.startswith(prefix)})


def _grid(blocks: Sequence[Html | None]) -> Html:
    return element("div", [block for block in blocks if block is not None], class_="figures")


def figure_block(title: str, under: str, picture: Html, *, legend: Sequence[Series] = ()) -> Html:
    caption = element("figcaption", title, element("span", under) if under else "")
    return element("figure", caption, legend_of(legend) if len(legend) > 1 else "", picture)


def legend_of(series: Sequence[Series]) -> Html:
    items = [element("li", element("i", style=f"background:{line.colour}"), line.label) for line in series]
    return element("ul", items, class_="legend")


def _languages_legend(record: RunRecord) -> Content:
    series = _language_series(record, "lang/{}/response_length")
    return legend_of(series) if series else ""


def _reward(record: RunRecord, window: int) -> Html | None:
    series = _all_series(record, [("reward/mean", "mean"), ("group/reward_std", "spread inside groups")])
    if not series:
        return None
    under = "mean over responses, and the standard deviation inside groups that GRPO learns from"
    return figure_block("Reward", under, curves(series, alt="reward over steps", window=window), legend=series)


def _parts(record: RunRecord, window: int) -> Html | None:
    parts = _names_between(record, "reward/")
    series = _all_series(record, [(f"reward/{part}/{ALL_LANGUAGES}", part) for part in parts])
    if not series:
        return None
    picture = curves(series, alt="reward parts over steps", window=window)
    return figure_block("Parts of the reward", "unweighted, all languages", picture, legend=series)


def _lengths(record: RunRecord, window: int) -> Html | None:
    series = _all_series(record, [("response_length/mean", "mean"), ("response_length/max", "longest")])
    if not series:
        return None
    picture = curves(series, alt="response length over steps", window=window)
    return figure_block("Response length", "tokens", picture, legend=series)


def _whole_series(record: RunRecord, labels: Sequence[tuple[str, str]]) -> list[Series]:
    """Series over all steps, 0 where a step lacks the metric; those that are 0 throughout are left out."""
    steps = tuple(step.step for step in record.steps)
    series = [
        Series(
            label=label,
            colour=colour(index),
            steps=steps,
            values=tuple(step.metrics.get(name, 0.0) for step in record.steps),
        )
        for index, (name, label) in enumerate(labels)
    ]
    return [line for line in series if any(line.values)]


def _groups(record: RunRecord) -> Html | None:
    dropped = _names_under(record, "group/dropped_")
    labels = [(name, "dropped: " + name.removeprefix("group/dropped_").replace("_", " ")) for name in dropped]
    series = _whole_series(record, [("group/used", "learned from"), *labels])
    if not series:
        return None
    picture = stacked_bars(series, alt="groups learned from and dropped, over steps")
    under = "problems a step; no signal: all its responses got the same reward"
    return figure_block("Groups", under, picture, legend=series)


def _per_language(record: RunRecord, window: int, choice: _Choice) -> Html | None:
    series = _language_series(record, f"lang/{{}}/{choice.metric}")
    if not series:
        return None
    title = metric_named(f"lang/{ALL_LANGUAGES}/{choice.metric}").title
    alt = f"{title} over steps, by language"
    return figure_block(title, choice.under, curves(series, alt=alt, window=window, scale=choice.scale))


def _gate(record: RunRecord, window: int, gate: str) -> Html | None:
    series = _language_series(record, f"gate/{gate}/{{}}")
    if not series:
        return None
    picture = curves(series, alt=f"open rate of the {gate} gate, by language", window=window, scale=Scale.SHARE)
    return figure_block(f"Gate: {gate}", "open rate", picture)


def _learner(record: RunRecord, window: int) -> list[Html]:
    """The mismatch of engine and learner first, then everything else that the learner logs."""
    names = [*_names_under(record, "policy/"), *_names_under(record, "packing/")]
    mismatch = [name for name in names if any(word in name for word in _MISMATCH)]
    blocks = []
    for name in [*mismatch, *(name for name in names if name not in mismatch)]:
        series = _all_series(record, [(name, name)])
        title, under = _title_and_unit(name)
        if name in mismatch:
            under += ", between the engine that sampled and the learner"
        blocks.append(
            figure_block(title, under, curves(series, alt=f"{title} over steps", window=window, scale=Scale.FREE))
        )
    return blocks


def _title_and_unit(name: str) -> tuple[str, str]:
    """Return what is written over and under a curve; the name alone for a metric of another version's run folder."""
    try:
        metric = metric_named(name)
    except UnknownMetric:
        return name, ""
    return metric.title, metric.unit


def _time(record: RunRecord) -> Html | None:
    series = _whole_series(record, [(f"timing_s/{stage}", stage) for stage in _STAGES])
    if not series:
        return None
    picture = stacked_bars(series, alt="seconds per stage, over steps")
    under = "seconds a step; stages that overlap count each for itself"
    return figure_block("Time per stage", under, picture, legend=series)


def _speed(record: RunRecord, window: int) -> Html | None:
    series = _all_series(record, [(f"throughput/{name}", label) for name, label in _THROUGHPUT])
    series = [line for line in series if all(value > 0 for value in line.values)]
    if not series:
        return None
    picture = curves(series, alt="throughput per stage, over steps", window=window, scale=Scale.LOG)
    return figure_block("Throughput per stage", "while the stage was busy; logarithmic", picture, legend=series)


def _every_metric(record: RunRecord) -> Html:
    last = record.steps[-1]
    rows = [
        element("tr", element("td", name), element("td", f"{value:.4g}"))
        for name, value in sorted(last.metrics.items())
    ]
    table = element("div", element("table", element("tbody", rows)), class_="scroll")
    return details(f"Every number of the last step ({last.step})", table)
