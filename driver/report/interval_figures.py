"""Draw shares, differences and gaps with their 95% intervals, as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from driver.evaluation.intervals import Interval
from driver.names import points
from driver.report.figures import AFTER, AXIS, BEFORE, SOFT, STYLE, as_svg

_ROW = 0.34
"""Height of a row, in inches."""
_WIDTH = 5.0
"""Width of a picture, in inches: its texts stay readable on a phone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IntervalRow:
    """Hold one row of a picture: a name and one or two numbers, of which any may be missing."""

    label: str
    after: Interval | None
    before: Interval | None = None
    is_total: bool = False  # a mean or the gap: shown apart


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Hold one evaluation on the axis of steps."""

    label: str
    at: float  # the step
    value: Interval


def shares(rows: Sequence[IntervalRow], *, alt: str) -> Markup:
    """Draw one row for each language: the share before, the share after, and their intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(rows)
        has_both = any(row.before for row in rows) and any(row.after for row in rows)
        offset = 0.14 if has_both else 0.0
        for place, row in enumerate(rows):
            for found, shade, level in ((row.before, BEFORE, place - offset), (row.after, AFTER, place + offset)):
                if found is not None:
                    _whisker(axes, found, level, shade)
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        return as_svg(figure, alt)


def differences(rows: Sequence[IntervalRow], *, alt: str) -> Markup:
    """Draw one row for each difference, in percentage points, around zero; those that are clear are filled."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(rows)
        axes.axvline(0, color=SOFT, linewidth=1, zorder=1)
        for place, row in enumerate(rows):
            if row.after is not None:
                _whisker(axes, row.after, place, AFTER, is_hollow=not row.after.excludes_zero)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: points(share).removesuffix(".0")))
        axes.set_xlabel("percentage points")
        return as_svg(figure, alt)


def gap_curve(moments: Sequence[Moment], *, alt: str) -> Markup:
    """Draw the gap to English at each evaluation, with its interval; zero is no gap."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0, color=SOFT, linewidth=1, zorder=1)
        _curve(axes, moments, AFTER)
        _name_moments(axes, moments)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: points(share).removesuffix(".0")))
        axes.set_ylabel("percentage points")
        axes.grid(axis="y")
        return as_svg(figure, alt)


def learning_curve(moments: Sequence[Moment], english: Sequence[Moment], *, top: float, alt: str) -> Markup:
    """Draw one language's share at each evaluation with its interval, and English for comparison."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9, 1.9), layout="constrained")
        axes = figure.add_subplot()
        if english:
            axes.plot([m.at for m in english], [m.value.value for m in english], color=BEFORE, linestyle="--")
        _curve(axes, moments, AFTER)
        _name_moments(axes, moments)
        axes.set_ylim(-0.02, min(1.02, top))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.grid(axis="y")
        return as_svg(figure, alt)


def _rows(rows: Sequence[IntervalRow]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 0.6 + _ROW * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        if row.is_total:
            label.set_fontweight("bold")
    first_total = next((place for place, row in enumerate(rows) if row.is_total), None)
    if first_total:
        axes.axhline(first_total - 0.5, color=AXIS, linewidth=0.8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    return figure, axes


def _whisker(axes: Axes, found: Interval, level: float, shade: str, *, is_hollow: bool = False) -> None:
    axes.plot([found.low, found.high], [level, level], color=shade, linewidth=1.6, zorder=2)
    face = "none" if is_hollow else shade
    axes.plot([found.value], [level], "o", color=shade, markerfacecolor=face, markersize=6, zorder=3, clip_on=False)


def _curve(axes: Axes, moments: Sequence[Moment], shade: str) -> None:
    places, values = [moment.at for moment in moments], [moment.value.value for moment in moments]
    axes.plot(places, values, color=shade, marker="o", markersize=5, zorder=3)
    for moment in moments:
        axes.plot([moment.at] * 2, [moment.value.low, moment.value.high], color=shade, linewidth=1.6, alpha=0.6)


def _name_moments(axes: Axes, moments: Sequence[Moment]) -> None:
    """Label the axis with the moments: all of a few, else the first, the last and some between."""
    every = -(-len(moments) // 6)
    shown = [moment for place, moment in enumerate(moments) if place % every == 0 or place == len(moments) - 1]
    axes.set_xticks([moment.at for moment in shown], [moment.label for moment in shown])
    width = max(1.0, moments[-1].at - moments[0].at)
    axes.set_xlim(moments[0].at - 0.12 * width, moments[-1].at + 0.12 * width)
