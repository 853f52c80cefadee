"""Choose the curves of the live page: those that say whether a run learns, and which stage it waits for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.metrics.registry import UnknownMetric, metric_named
from driver.names import language_name
from driver.tracking.language_metrics import ALL_LANGUAGES
from driver.watch.step_series import Point, StepSeries

MOST_POINTS = 300
"""Of one line: about as many as a picture has pixels."""

PER_LANGUAGE = ("accuracy", "reward_mean", "language_consistency", "agreement", "response_length", "truncated")
THROUGHPUTS = ("policy_tokens", "pivot_tokens", "learner_tokens", "scorer_texts")
_KEPT = (
    "reward/",
    "gate/",
    "lang/",
    "group/",
    "throughput/",
    "queue/",
    "staleness/",
    "timing_s/",
    "weights/",
    "actor/",
)
_KEPT_NAMES = (
    "policy/loss",
    "policy/entropy",
    "policy/grad_norm",
    "policy/mismatch_kl",
    "scorer/queue_depth_max",
    "response_length/mean",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Hold one line of a picture."""

    label: str
    colour: int  # index among the colours of the page
    points: list[Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Hold one picture over the steps."""

    group: str
    title: str
    under: str
    is_share: bool  # its axis goes from 0% to 100%
    lines: list[Line]


def keeps(name: str) -> bool:
    """Return whether the live page draws a metric, or may."""
    return name.startswith(_KEPT) or name in _KEPT_NAMES


def curves(series: StepSeries, languages: Sequence[str]) -> list[Curves]:
    """Return the pictures that have a line; `languages` are codes in the order of their colours."""
    parts = [name for name in series.names() if name.startswith("reward/") and name.endswith(f"/{ALL_LANGUAGES}")]
    gates = [name for name in series.names() if name.startswith("gate/") and name.endswith(f"/{ALL_LANGUAGES}")]
    found = [
        _picture(series, "Reward", "Reward", [("reward/mean", "mean"), ("group/reward_std", "spread inside groups")]),
        _picture(series, "Reward", "Parts of the reward", [(name, name.split("/")[1]) for name in parts]),
        _picture(series, "Reward", "Open gates", [(name, name.split("/")[1]) for name in gates], is_share=True),
        *(_of_languages(series, name, languages) for name in PER_LANGUAGE),
        _picture(
            series,
            "Speed",
            "Throughput of each stage",
            [(f"throughput/{name}_per_s", f"{name.replace('_', ', ')}/s") for name in THROUGHPUTS],
        ),
        _picture(
            series,
            "Speed",
            "Queues",
            [("queue/in_flight", "groups in flight"), ("queue/ready", "groups ready"),
             ("scorer/queue_depth_max", "groups at scorers, most")],
        ),
        _picture(series, "Speed", "Staleness", [("staleness/mean", "mean"), ("staleness/max", "largest")]),
        *(_picture(series, "Learner", "", [(name, name)]) for name in _KEPT_NAMES if name.startswith("policy/")),
    ]  # fmt: skip
    return [picture for picture in found if picture.lines]


def _of_languages(series: StepSeries, name: str, languages: Iterable[str]) -> Curves:
    lines = [(f"lang/{code}/{name}", language_name(code)) for code in languages]
    is_share = name not in ("reward_mean", "response_length")
    return _picture(series, "Languages", "", lines, is_share=is_share)


def _picture(
    series: StepSeries, group: str, title: str, lines: Sequence[tuple[str, str]], *, is_share: bool = False
) -> Curves:
    """Return the picture of some metrics by (name, label). Without a title it has that of the first one's declaration.

    A line has the colour of its place, whichever others have values.
    """
    named, meaning = _words(lines[0][0]) if lines else ("", "")
    return Curves(
        group=group,
        title=title or named,
        under="" if title else meaning,
        is_share=is_share,
        lines=[
            Line(label=label, colour=index, points=series.thinned(name, most=MOST_POINTS))
            for index, (name, label) in enumerate(lines)
            if series.has(name)
        ],
    )


def _words(name: str) -> tuple[str, str]:
    """Return title and meaning of a metric; the name alone for one of another version of the project."""
    try:
        metric = metric_named(name)
    except UnknownMetric:
        return name, ""
    return metric.title, metric.meaning
