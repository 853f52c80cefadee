"""Choose the metrics that report.html draws over the steps, their order, and what is said under each picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from contracts.metrics.metric import Unit
from contracts.metrics.registry import UnknownMetric, metric_named
from driver.names import language_name
from driver.report.figures import Scale, Series, colour, curves, smoothing_window, stacked_bars
from driver.report.run_record import RunRecord
from driver.tracking.language_metrics import ALL_LANGUAGES


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Hold one picture with its caption."""

    title: str
    under: str
    picture: Markup
    legend: tuple[Series, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureGroup:
    """Hold pictures under one heading; a shared legend is shown above them."""

    title: str
    figures: tuple[Figure, ...]
    note: str = ""
    legend: tuple[Series, ...] = ()


_PER_LANGUAGE = {
    "accuracy": Scale.SHARE,
    "agreement": Scale.SHARE,
    "language_consistency": Scale.SHARE,
    "reward_mean": Scale.FROM_ZERO,
    "response_length": Scale.FROM_ZERO,
    "truncated": Scale.SHARE,
}
"""Metrics of which a picture shows a line per language."""
_MISMATCH = ("mismatch", "logprob_diff", "logprobs_diff", "importance")
_DIMENSIONLESS = (Unit.SHARE, Unit.RATIO, Unit.NORM, Unit.RATE, Unit.LOSS, Unit.REWARD)
_STAGES = ("generate", "pivot", "score", "learn", "push")
_THROUGHPUT = (
    ("policy_tokens_per_s", "policy, tokens/s"),
    ("pivot_tokens_per_s", "pivot, tokens/s"),
    ("learner_tokens_per_s", "learner, tokens/s"),
    ("scorer_texts_per_s", "scorer, texts/s"),
)


def figure_groups(record: RunRecord) -> list[FigureGroup]:
    """Return all pictures over the steps; a metric that was never logged has no picture."""
    window = smoothing_window(len(record.steps))
    gates = [gate for gate in _names_between(record, "gate/") if gate != "language"]
    return [
        FigureGroup(
            title="Reward and learning signal",
            figures=_drawn(_reward(record, window), _parts(record, window), _lengths(record, window), _groups(record)),
        ),
        FigureGroup(
            title="Per language",
            legend=tuple(_language_series(record, "lang/{}/response_length")),
            figures=_drawn(*(_per_language(record, window, metric) for metric in _PER_LANGUAGE)),
        ),
        FigureGroup(
            title="Gates, per language",
            note="The share of responses for which a gate is open. A closed gate makes the reward 0. For the language "
            "gate, see above.",
            figures=_drawn(*(_gate(record, window, gate) for gate in gates)),
        ),
        FigureGroup(title="Learner", figures=tuple(_learner(record, window))),
        FigureGroup(title="Speed", figures=_drawn(_time(record), _speed(record, window))),
    ]


def _drawn(*figures: Figure | None) -> tuple[Figure, ...]:
    return tuple(figure for figure in figures if figure is not None)


def _series(record: RunRecord, labels: Sequence[tuple[str, str]]) -> tuple[Series, ...]:
    """Return metrics by (name, label) over the steps that have them; one that no step has is left out.

    A metric has the colour of its place in `labels`, whichever others exist.
    """
    found = []
    for index, (name, label) in enumerate(labels):
        points = [(step.step, step.metrics[name]) for step in record.steps if name in step.metrics]
        if points:
            steps, values = zip(*points, strict=True)
            found.append(Series(label=label, colour=colour(index), steps=steps, values=values))
    return tuple(found)


def _series_of_all_steps(record: RunRecord, labels: Sequence[tuple[str, str]]) -> tuple[Series, ...]:
    """Return metrics by (name, label) over all steps, 0 where a step lacks one; all-zero metrics are left out."""
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
    return tuple(line for line in series if any(line.values))


def _language_series(record: RunRecord, pattern: str) -> tuple[Series, ...]:
    return _series(record, [(pattern.format(code), language_name(code)) for code in record.languages])


def _names_between(record: RunRecord, prefix: str) -> list[str]:
    """Return the middle parts of the metrics `prefix<middle>/<language>`, in alphabetical order."""
    return sorted({name.split("/")[1] for name in _names_under(record, prefix) if name.count("/") == 2})


def _names_under(record: RunRecord, prefix: str) -> list[str]:
    return sorted({name for step in record.steps for name in step.metrics if name.startswith(prefix)})


def _reward(record: RunRecord, window: int) -> Figure | None:
    series = _series(record, [("reward/mean", "mean"), ("group/reward_std", "spread inside groups")])
    if not series:
        return None
    return Figure(
        title="Reward",
        under="mean over responses, and the mean standard deviation inside the groups that the policy learns from",
        picture=curves(series, alt="reward over steps", window=window),
        legend=series,
    )


def _parts(record: RunRecord, window: int) -> Figure | None:
    parts = _names_between(record, "reward/")
    series = _series(record, [(f"reward/{part}/{ALL_LANGUAGES}", part) for part in parts])
    if not series:
        return None
    picture = curves(series, alt="reward parts over steps", window=window)
    return Figure(title="Parts of the reward", under="unweighted, all languages", picture=picture, legend=series)


def _lengths(record: RunRecord, window: int) -> Figure | None:
    series = _series(record, [("response_length/mean", "mean"), ("response_length/max", "longest")])
    if not series:
        return None
    picture = curves(series, alt="response length over steps", window=window)
    return Figure(title="Response length", under="tokens", picture=picture, legend=series)


def _groups(record: RunRecord) -> Figure | None:
    dropped = _names_under(record, "group/dropped_")
    labels = [(name, "dropped: " + name.removeprefix("group/dropped_").replace("_", " ")) for name in dropped]
    series = _series_of_all_steps(record, [("group/used", "learned from"), *labels])
    if not series:
        return None
    return Figure(
        title="Groups",
        under="groups per step; no signal: all responses of the group got the same reward",
        picture=stacked_bars(series, alt="groups learned from and dropped, over steps"),
        legend=series,
    )


def _per_language(record: RunRecord, window: int, name: str) -> Figure | None:
    series = _language_series(record, f"lang/{{}}/{name}")
    if not series:
        return None
    title, under = _title_and_meaning(f"lang/{ALL_LANGUAGES}/{name}")
    picture = curves(series, alt=f"{title} over steps, by language", window=window, scale=_PER_LANGUAGE[name])
    return Figure(title=title, under=under, picture=picture)


def _gate(record: RunRecord, window: int, gate: str) -> Figure | None:
    series = _language_series(record, f"gate/{gate}/{{}}")
    if not series:
        return None
    picture = curves(series, alt=f"open rate of the {gate} gate, by language", window=window, scale=Scale.SHARE)
    return Figure(title=f"Gate: {gate}", under="open rate", picture=picture)


def _learner(record: RunRecord, window: int) -> list[Figure]:
    """Draw the mismatch of engine and learner first, then everything else that the learner logs."""
    names = [*_names_under(record, "policy/"), *_names_under(record, "packing/")]
    mismatch = [name for name in names if any(word in name for word in _MISMATCH)]
    figures = []
    for name in [*mismatch, *(name for name in names if name not in mismatch)]:
        title, under = _title_and_meaning(name)
        series = _series(record, [(name, name)])
        picture = curves(series, alt=f"{title} over steps", window=window, scale=Scale.FREE)
        figures.append(Figure(title=title, under=under, picture=picture))
    return figures


def _title_and_meaning(name: str) -> tuple[str, str]:
    """Return the texts above and below a curve; the name alone for a metric of another version of the project."""
    try:
        metric = metric_named(name)
    except UnknownMetric:
        return name, ""
    unit = "" if metric.unit in _DIMENSIONLESS else f" ({metric.unit})"
    return metric.title, metric.meaning.removesuffix(".") + unit


def _time(record: RunRecord) -> Figure | None:
    series = _series_of_all_steps(record, [(f"timing_s/{stage}", stage) for stage in _STAGES])
    if not series:
        return None
    return Figure(
        title="Time per stage",
        under="seconds per step; stages that overlap are each counted in full",
        picture=stacked_bars(series, alt="seconds per stage, over steps"),
        legend=series,
    )


def _speed(record: RunRecord, window: int) -> Figure | None:
    series = _series(record, [(f"throughput/{name}", label) for name, label in _THROUGHPUT])
    series = tuple(line for line in series if all(value > 0 for value in line.values))
    if not series:
        return None
    picture = curves(series, alt="throughput per stage, over steps", window=window, scale=Scale.LOG)
    return Figure(
        title="Throughput per stage",
        under="while the stage was working; logarithmic scale",
        picture=picture,
        legend=series,
    )
