"""Choose the metrics that report.html draws over the steps, their order, and what is said under each picture."""

from collections.abc import Callable, Sequence
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
class Constant:
    """Hold what would be a picture of horizontal lines: numbers that are the same in every step."""

    title: str
    values: tuple[tuple[str, float], ...]  # label and number of each line


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureGroup:
    """Hold pictures under one heading; a shared legend is shown above them."""

    title: str
    figures: tuple[Figure, ...]
    constants: tuple[Constant, ...] = ()
    note: str = ""
    legend: tuple[Series, ...] = ()
    is_open: bool = False  # shown at once; else it is folded away


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
        _group(
            "Reward and learning signal",
            [_reward(record, window), _parts(record, window), _lengths(record, window), _groups(record)],
            is_open=True,
        ),
        _group(
            "While training, by language",
            [_per_language(record, window, metric) for metric in _PER_LANGUAGE],
            legend=_language_series(record, "lang/{}/response_length"),
            is_open=True,
        ),
        _group(
            "Gates, by language",
            [_gate(record, window, gate) for gate in gates],
            legend=_language_series(record, "lang/{}/response_length"),
            note="The share of responses for which a gate is open. A closed gate makes the reward 0. For the language "
            "gate, see above.",
        ),
        _group("Learner", _learner(record, window)),
        _group("Speed", [_time(record), _speed(record, window)]),
    ]


def _group(
    title: str,
    found: Sequence[Figure | Constant | None],
    *,
    note: str = "",
    legend: tuple[Series, ...] = (),
    is_open: bool = False,
) -> FigureGroup:
    return FigureGroup(
        title=title,
        figures=tuple(figure for figure in found if isinstance(figure, Figure)),
        constants=tuple(figure for figure in found if isinstance(figure, Constant)),
        note=note,
        legend=legend,
        is_open=is_open,
    )


def _figure(
    title: str, series: Sequence[Series], draw: Callable[[], Markup], *, under: str = "", has_legend: bool = True
) -> Figure | Constant | None:
    """Return the picture of some lines, or their numbers where none of them ever changes."""
    if not series:
        return None
    if len(series[0].steps) > 1 and all(len(set(line.values)) == 1 for line in series):
        return Constant(title=title, values=tuple((line.label, line.values[0]) for line in series))
    return Figure(title=title, under=under, picture=draw(), legend=tuple(series) if has_legend else ())


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


def _reward(record: RunRecord, window: int) -> Figure | Constant | None:
    series = _series(record, [("reward/mean", "mean"), ("group/reward_std", "spread inside groups")])
    return _figure(
        "Reward",
        series,
        lambda: curves(series, alt="reward over steps", window=window),
        under="mean over responses, and the mean standard deviation inside the groups that the policy learns from",
    )


def _parts(record: RunRecord, window: int) -> Figure | Constant | None:
    parts = _names_between(record, "reward/")
    series = _series(record, [(f"reward/{part}/{ALL_LANGUAGES}", part) for part in parts])
    return _figure(
        "Parts of the reward",
        series,
        lambda: curves(series, alt="reward parts over steps", window=window),
        under="unweighted, all languages",
    )


def _lengths(record: RunRecord, window: int) -> Figure | Constant | None:
    series = _series(record, [("response_length/mean", "mean"), ("response_length/max", "longest")])
    return _figure(
        "Response length",
        series,
        lambda: curves(series, alt="response length over steps", window=window),
        under="tokens",
    )


def _groups(record: RunRecord) -> Figure | Constant | None:
    dropped = _names_under(record, "group/dropped_")
    labels = [(name, "dropped: " + name.removeprefix("group/dropped_").replace("_", " ")) for name in dropped]
    series = _series_of_all_steps(record, [("group/used", "learned from"), *labels])
    return _figure(
        "Groups",
        series,
        lambda: stacked_bars(series, alt="groups learned from and dropped, over steps"),
        under="groups per step; no signal: all responses of the group got the same reward",
    )


def _per_language(record: RunRecord, window: int, name: str) -> Figure | Constant | None:
    series = _language_series(record, f"lang/{{}}/{name}")
    title, under = _title_and_meaning(f"lang/{ALL_LANGUAGES}/{name}")
    alt, scale = f"{title} over steps, by language", _PER_LANGUAGE[name]
    return _figure(
        title, series, lambda: curves(series, alt=alt, window=window, scale=scale), under=under, has_legend=False
    )


def _gate(record: RunRecord, window: int, gate: str) -> Figure | Constant | None:
    series = _language_series(record, f"gate/{gate}/{{}}")
    alt = f"open rate of the {gate} gate, by language"
    return _figure(
        f"Gate: {gate}",
        series,
        lambda: curves(series, alt=alt, window=window, scale=Scale.SHARE),
        under="open rate",
        has_legend=False,
    )


def _learner(record: RunRecord, window: int) -> list[Figure | Constant | None]:
    """Draw the mismatch of engine and learner first, then everything else that the learner logs."""
    names = [*_names_under(record, "policy/"), *_names_under(record, "packing/")]
    mismatch = [name for name in names if any(word in name for word in _MISMATCH)]
    return [
        _of_learner(record, window, name) for name in [*mismatch, *(name for name in names if name not in mismatch)]
    ]


def _of_learner(record: RunRecord, window: int, name: str) -> Figure | Constant | None:
    title, under = _title_and_meaning(name)
    series = _series(record, [(name, name)])
    alt = f"{title} over steps"
    return _figure(title, series, lambda: curves(series, alt=alt, window=window, scale=Scale.FREE), under=under)


def _title_and_meaning(name: str) -> tuple[str, str]:
    """Return the texts above and below a curve; the name alone for a metric of another version of the project."""
    try:
        metric = metric_named(name)
    except UnknownMetric:
        return name, ""
    unit = "" if metric.unit in _DIMENSIONLESS else f" ({metric.unit})"
    return metric.title, metric.meaning.removesuffix(".") + unit


def _time(record: RunRecord) -> Figure | Constant | None:
    series = _series_of_all_steps(record, [(f"timing_s/{stage}", stage) for stage in _STAGES])
    return _figure(
        "Time per stage",
        series,
        lambda: stacked_bars(series, alt="seconds per stage, over steps"),
        under="seconds per step; stages that overlap are each counted in full",
    )


def _speed(record: RunRecord, window: int) -> Figure | Constant | None:
    found = _series(record, [(f"throughput/{name}", label) for name, label in _THROUGHPUT])
    series = [line for line in found if all(value > 0 for value in line.values)]
    return _figure(
        "Throughput per stage",
        series,
        lambda: curves(series, alt="throughput per stage, over steps", window=window, scale=Scale.LOG),
        under="while the stage was working; logarithmic scale",
    )
