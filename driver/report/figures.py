"""Pictures as inline SVG: crisp at any size, small, and with their letters left to the reader's browser.

Owns how a curve, a bar and a pair of dots look. Knows numbers and colours only, not what they measure; nothing but
English goes into a picture, because its fonts are not ours.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.typing import RcKeyType

from driver.report.page import Html, element

COLOURS = (
    "#2b6cb0",
    "#d1495b",
    "#2e8b57",
    "#e08e0b",
    "#7b4fa3",
    "#159aa3",
    "#8c564b",
    "#c2579b",
    "#6b7a1f",
    "#3d3d8f",
    "#a3743a",
    "#5b6770",
)
BEFORE, AFTER = "#9aa5ae", "#2b6cb0"

_MOST_BARS = 60
STYLE: dict[RcKeyType, str | int | float | bool] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b9c3cb",
    "axes.labelcolor": "#5b6770",
    "axes.axisbelow": True,
    "xtick.color": "#b9c3cb",
    "ytick.color": "#b9c3cb",
    "xtick.labelcolor": "#39434b",
    "ytick.labelcolor": "#39434b",
    "text.color": "#1c2329",
    "grid.color": "#e8ecef",
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One named run of numbers over steps."""

    label: str
    colour: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


class Scale(Enum):
    """What the vertical axis is."""

    FREE = auto()  # as high and low as the numbers
    FROM_ZERO = auto()
    SHARE = auto()  # from 0%, at most to 100%
    LOG = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One language's share before and after; None where it was not measured."""

    label: str
    before: float | None
    after: float | None


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def smoothing_window(num_steps: int) -> int:
    """How many steps a smoothed point is the mean of: none up to 20 steps, then a tenth of the run."""
    return 1 if num_steps <= 20 else max(3, num_steps // 10)


def trailing_mean(values: Sequence[float], *, window: int) -> list[float]:
    """Each value with the up to `window` - 1 before it, averaged."""
    chunks = [values[max(0, end - window) : end] for end in range(1, len(values) + 1)]
    return [sum(chunk) / len(chunk) for chunk in chunks]


def curves(series: Sequence[Series], *, alt: str, window: int, scale: Scale = Scale.FROM_ZERO) -> Html:
    """Lines over steps. Smoothed ones have their raw values behind them, faintly, where there are few lines."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        for line in series:
            if window > 1 and len(series) <= 3:
                axes.plot(line.steps, line.values, color=line.colour, alpha=0.25, linewidth=0.9)
            smooth = trailing_mean(line.values, window=window)
            marker = "o" if len(smooth) < 12 else ""
            axes.plot(line.steps, smooth, color=line.colour, marker=marker, markersize=4)
        _scale(axes, scale, highest=max((value for line in series for value in line.values), default=1.0))
        _count_steps(axes)
        return as_svg(figure, alt)


def stacked_bars(series: Sequence[Series], *, alt: str) -> Html:
    """Parts of a whole over steps; beyond 60 steps a bar is the mean of several. All series share their steps."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes()
        steps = series[0].steps
        size = -(-len(steps) // _MOST_BARS)
        starts = range(0, len(steps), size)
        centres = [(steps[start] + steps[min(start + size, len(steps)) - 1]) / 2 for start in starts]
        width = 0.86 * size * max(1.0, (steps[-1] - steps[0]) / max(1, len(steps) - 1))
        floor = [0.0] * len(centres)
        for part in series:
            chunks = [part.values[start : start + size] for start in starts]
            heights = [sum(chunk) / len(chunk) for chunk in chunks]
            axes.bar(centres, heights, bottom=floor, width=width, color=part.colour, linewidth=0)
            floor = [low + height for low, height in zip(floor, heights, strict=True)]
        _count_steps(axes)
        return as_svg(figure, alt)


def before_and_after(pairs: Sequence[Pair], *, alt: str) -> Html:
    """One row a language, a dot before, a dot after, and the way between them."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 0.7 + 0.32 * len(pairs)), layout="constrained")
        axes = figure.add_subplot()
        for row, pair in enumerate(pairs):
            if pair.before is not None and pair.after is not None:
                axes.plot([pair.before, pair.after], [row, row], color="#c3d3e3", linewidth=4, zorder=1)
            # The dot before is larger, so that it still shows as a ring where nothing changed.
            for share, shade, size in ((pair.before, BEFORE, 9), (pair.after, AFTER, 6)):
                if share is not None:
                    axes.plot([share], [row], "o", color=shade, markersize=size, zorder=2, clip_on=False)
        axes.set_yticks(range(len(pairs)), [pair.label for pair in pairs])
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="x")
        return as_svg(figure, alt)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y")
    return figure, axes


def _scale(axes: Axes, scale: Scale, *, highest: float) -> None:
    match scale:
        case Scale.LOG:
            axes.set_yscale("log")
        case Scale.SHARE:
            axes.set_ylim(-0.02, min(1.03, max(0.1, 1.12 * highest)))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        case Scale.FROM_ZERO if highest > 0:
            axes.set_ylim(bottom=0, top=1.08 * highest)


def _count_steps(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("step")


def as_svg(figure: Figure, alt: str) -> Html:
    """Only the <svg> element, free to take the width of its place, named for readers who can't see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    start = text.index("<svg")
    opening, rest = text[start:].split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    named = element("x", **{"aria-label": alt}).removeprefix("<x ").split("></x>")[0]
    return Html(f'{opening} role="img" {named}>{rest.strip()}')
