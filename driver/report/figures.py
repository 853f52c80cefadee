"""Draw pictures as inline SVG: sharp at any size, small, and with text that the reader's browser draws.

A picture has English text only: its fonts are those of the reader, and not every one has every script.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.typing import RcKeyType

from driver.names import strict_percent

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
BEFORE, AFTER = "#9aa5ae", "#2b6cb1"
INK, SOFT, TICK, AXIS, GRID = "#1c2329", "#5b6771", "#39434b", "#b9c3cb", "#e8ecef"
_VARIABLES = {
    **{shade: f"line-{index}" for index, shade in enumerate(COLOURS)},
    **{BEFORE: "before", AFTER: "after", INK: "ink", SOFT: "soft", TICK: "tick", AXIS: "axis", GRID: "grid"},
}
"""Colour of a picture -> the variable of style.css that has it in the reader's colour scheme, light or dark."""

WIN_BOUNDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
WIN_COLOURS = ("#8c1d1d", "#c4473a", "#e58a5f", "#f3bf8b", "#fbe8c8", "#e3efe6")
"""Colours of a heat map, one between two bounds: dark cells need attention; the last, from 99% on, is wanted."""
DARK_BELOW = 0.8
"""A cell below this share is dark, and its number is white."""

_MOST_BARS = 60
STYLE: dict[RcKeyType, str | int | float | bool] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": SOFT,
    "axes.axisbelow": True,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": TICK,
    "ytick.labelcolor": TICK,
    "text.color": INK,
    "grid.color": GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Hold one named metric over steps."""

    label: str
    colour: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def shade(self) -> str:
        """Return the line's colour as CSS has it."""
        return shade(self.colour)


class Scale(Enum):
    """Name a vertical axis."""

    FREE = auto()  # from the lowest number to the highest
    FROM_ZERO = auto()
    SHARE = auto()  # from 0%, at most to 100%
    LOG = auto()


def colour(index: int) -> str:
    """Return the colour of the line with this index."""
    return COLOURS[index % len(COLOURS)]


def shade(colour_of_a_picture: str) -> str:
    """Return a colour as CSS has it: it follows the reader's colour scheme."""
    name = _VARIABLES.get(colour_of_a_picture)
    return f"var(--{name})" if name else colour_of_a_picture


def smoothing_window(num_steps: int) -> int:
    """Return how many steps a smoothed point is the mean of: 1 up to 20 steps, then a tenth of the run."""
    return 1 if num_steps <= 20 else max(3, num_steps // 10)


def trailing_mean(values: Sequence[float], *, window: int) -> list[float]:
    """Return [N] means: of each value and the up to `window` - 1 values before it."""
    chunks = [values[max(0, end - window) : end] for end in range(1, len(values) + 1)]
    return [sum(chunk) / len(chunk) for chunk in chunks]


def curves(series: Sequence[Series], *, alt: str, window: int, scale: Scale = Scale.FROM_ZERO) -> Markup:
    """Draw lines over steps. Up to three smoothed lines have their raw values behind them, in a pale colour."""
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


def stacked_bars(series: Sequence[Series], *, alt: str) -> Markup:
    """Draw the parts of a whole over steps. Series share their steps; beyond 60, a bar is a mean of several."""
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


def heat_map(
    shares: Sequence[Sequence[float | None]], *, rows: Sequence[str], columns: Sequence[str], alt: str
) -> Markup:
    """Draw `shares[row][column]` in [0, 1] as coloured cells with their numbers; None: nothing was measured there."""
    values = [[-1.0 if share is None else share for share in row] for row in shares]
    colours = ListedColormap(list(WIN_COLOURS)).with_extremes(under="none")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.2 + 0.52 * len(columns), 0.6 + 0.3 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        norm = BoundaryNorm(WIN_BOUNDS, len(WIN_COLOURS), clip=False)
        axes.pcolormesh(values, cmap=colours, norm=norm, edgecolors="none")
        for row, found in enumerate(shares):
            for column, share in enumerate(found):
                ink = SOFT if share is None else "white" if share < DARK_BELOW else "black"
                axes.text(
                    column + 0.5, row + 0.5, strict_percent(share), ha="center", va="center", color=ink, fontsize=9
                )
        axes.set_xticks([place + 0.5 for place in range(len(columns))], columns)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], rows)
        axes.invert_yaxis()
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
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


def as_svg(figure: Figure, alt: str) -> Markup:
    """Return the <svg> element alone, without a fixed size; `alt` describes it for readers who can't see it.

    Its colours follow the reader's colour scheme. Groups lose their ids, which a page may have only once.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    start = text.index("<svg")
    opening, rest = text[start:].split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    rest = re.sub(r"#[0-9a-f]{6}\b", lambda found: shade(found[0]), rest)
    return Markup(f'{opening} role="img" aria-label="{escape(alt)}">{rest.strip()}')
