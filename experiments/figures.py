"""Draw the figures of an experiment from its raw results, as SVG files that are the same for the same results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from driver.evaluation.results import step_of
from driver.names import language_name
from driver.report.figures import BEFORE, STYLE, colour
from experiments.comparison import MEASURES, results_by_arm
from experiments.plan import REFERENCE_ARM
from experiments.rows import Row, newest, of_arm

FIGURES = "figures"
Curve = Mapping[float, float]  # step -> share


def draw_figures(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what the newest commit's results allow into `folder`/figures. Return the files."""
    kept = [row for row in newest(rows).values() if rows and row.commit == rows[-1].commit]
    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "experiments"}):
        if of_arm(kept, REFERENCE_ARM):
            drawn["languages"] = languages_over_steps(of_arm(kept, REFERENCE_ARM))
        if kept and any(not row.failure for row in kept):
            drawn["arms"] = arms_side_by_side(kept)
            drawn["reward-and-accuracy"] = reward_and_accuracy(kept)
        files: list[Path] = []
        for name, figure in drawn.items():
            file = folder / FIGURES / f"{name}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
            files.append(file)
    return files


def languages_over_steps(rows: Sequence[Row]) -> Figure:
    """Draw right answers in the asked language over the steps, one line a language, means over seeds."""
    figure, axes = _axes()
    trained = rows[0].trained_languages
    assert rows[0].moments is not None
    ends: list[tuple[float, str, str]] = []
    for index, language in enumerate(sorted(rows[0].moments["before"], key=lambda code: (code != "en", code))):
        found = _curve(rows, language)
        label = language_name(language) + ("" if language == "en" or language in trained else " (not trained)")
        style = "--" if language == "en" or language not in trained else "-"
        tint = "#1c2329" if language == "en" else colour(index - 1)
        axes.plot(list(found), list(found.values()), style, color=tint, marker="o", markersize=3.5)
        ends.append((list(found.values())[-1], label, tint))
    _label_ends(axes, ends, x=max(_curve(rows, "en")))
    axes.set_ylabel("right, and in the asked language")
    return figure


def arms_side_by_side(rows: Sequence[Row]) -> Figure:
    """Draw English and the mean of the other languages for each arm, with standard errors over seeds."""
    results = results_by_arm([row for row in rows if not row.failure])
    figure = Figure(figsize=(7.2, 0.42 * len(results) + 1.1))
    axes = figure.add_subplot()
    for place, result in enumerate(results):
        both = result.others["both"]
        axes.plot([both.value, result.english.value], [place, place], color=BEFORE, linewidth=1.2, zorder=1)
        axes.errorbar(both.value, place, xerr=_error(both.error), fmt="o", color=colour(0), capsize=3)
        axes.errorbar(
            result.english.value, place, xerr=_error(result.english.error), fmt="D", color="#1c2329", markersize=4
        )
    axes.set_yticks(range(len(results)), [f"{result.arm} ({result.num_seeds})" for result in results])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(
        "right, and in the asked language: English (diamond), mean of the others (circle); seeds in brackets"
    )
    axes.grid(axis="x")
    return figure


def reward_and_accuracy(rows: Sequence[Row]) -> Figure:
    """Draw each arm's share of right answers against its mean reward at the same steps: is the reward gamed?"""
    figure, axes = _axes()
    arms = [arm for arm in dict.fromkeys(row.arm for row in rows) if any(row.rewards for row in of_arm(rows, arm))]
    for index, arm in enumerate(arms):
        of = of_arm(rows, arm)
        points = [(_reward(of, step), _others(of, moment)) for step, moment in _moments(of[0]) if step > 0]
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour(index), marker="o", markersize=3.5)
        if points:
            axes.annotate(arm, points[-1], xytext=(4, 0), textcoords="offset points", color=colour(index), fontsize=8)
    axes.set_xlabel("mean reward of the ten steps before")
    axes.set_ylabel("right, and in the asked language (without English)")
    return figure


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 3.6))
    axes = figure.add_subplot()
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("step")
    axes.grid(axis="y")
    return figure, axes


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], *, x: float) -> None:
    """Write each line's name beside its end; names that would overlap are moved apart."""
    height = 2.0
    for value, label, tint in sorted(ends, reverse=True):
        height = min(value, height - 0.06)
        axes.annotate(label, (x, height), xytext=(8, -3), textcoords="offset points", color=tint, annotation_clip=False)


def _curve(rows: Sequence[Row], language: str) -> Curve:
    return {
        step: fmean(row.moments[moment][language].right_in_language for row in rows if row.moments)
        for step, moment in _moments(rows[0])
    }


def _moments(row: Row) -> list[tuple[float, str]]:
    """Return steps and moments in order; "after" is at the last step."""
    assert row.moments is not None
    last = float(row.num_steps)
    return sorted((min(step_of(moment), last), moment) for moment in row.moments)


def _others(rows: Sequence[Row], moment: str) -> float:
    measure = MEASURES["both"]
    return fmean(
        measure(shares) for row in rows if row.moments for code, shares in row.moments[moment].items() if code != "en"
    )


def _reward(rows: Sequence[Row], step: float, window: int = 10) -> float:
    return fmean(value for row in rows for value in row.rewards[max(0, int(step) - window) : int(step)])


def _error(error: float) -> float | None:
    return None if error != error else error  # NaN: one seed
