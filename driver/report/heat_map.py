"""Cheats by languages as a picture: how often faithful text wins, cell by cell.

Owns its colours: dark cells are the ones to look at, and every cell shows its number. Knows shares and names only.
"""

from collections.abc import Sequence

import matplotlib
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from driver.names import strict_percent
from driver.report.figures import STYLE, as_svg
from driver.report.page import Html

BOUNDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
SHADES = ("#8c1d1d", "#c4473a", "#e58a5f", "#f3bf8b", "#fbe8c8", "#e3efe6")
"""One between two bounds; the last, from 99% on, is what is wanted."""
DARK = 0.8
"""Below, the cell is dark and its number is white."""


def heat_map(
    shares: Sequence[Sequence[float | None]], *, rows: Sequence[str], columns: Sequence[str], alt: str
) -> Html:
    """`shares[row][column]` in [0, 1]; None where nothing was measured."""
    values = [[-1.0 if share is None else share for share in row] for row in shares]
    colours = ListedColormap(list(SHADES)).with_extremes(under="#ffffff")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.2 + 0.52 * len(columns), 0.6 + 0.3 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        norm = BoundaryNorm(BOUNDS, len(SHADES), clip=False)
        axes.pcolormesh(values, cmap=colours, norm=norm, edgecolors="white", linewidth=1.5)
        for row, found in enumerate(shares):
            for column, share in enumerate(found):
                shade = "white" if share is not None and share < DARK else "#1c2329"
                axes.text(
                    column + 0.5, row + 0.5, strict_percent(share), ha="center", va="center", color=shade, fontsize=9
                )
        axes.set_xticks([place + 0.5 for place in range(len(columns))], columns)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], rows)
        axes.invert_yaxis()
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return as_svg(figure, alt)
