"""Write comparison.html: the differences between evaluations over the same items, and what training cost elsewhere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from driver.evaluation.comparison import GAP, MEAN, ComparedLine, Comparison
from driver.names import percent, points, signed_points
from driver.outcome.words import Statement
from driver.report.interval_figures import IntervalRow, differences
from driver.report.task_sections import Cell, TableRow
from driver.templates import render

_TEMPLATE = Path(__file__).parent / "templates" / "comparison.html.jinja"
_NO_LANGUAGE = (MEAN, GAP)


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Hold the differences of one task and measure between two evaluations."""

    title: str
    first: str
    second: str
    picture: Markup
    rows: tuple[TableRow, ...]


def comparison_html(comparison: Comparison) -> str:
    """Return the page: trained skills first, then English and tasks of other kinds, variety, and perplexity."""
    gained = [line for line in comparison.lines if not line.is_retention]
    kept = [line for line in comparison.lines if line.is_retention]
    names = list(dict.fromkeys(name for line in comparison.lines for name in (line.first, line.second)))
    return render(
        _TEMPLATE,
        title=" and ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else ""),
        comparison=comparison,
        verdict=list(_verdict(comparison.lines)),
        gained=list(_blocks(gained)),
        kept=list(_blocks(kept)),
    )


def _blocks(lines: Sequence[ComparedLine]) -> Iterator[Block]:
    """Yield a block for each pair of evaluations, task and measure, in their order."""
    keys = dict.fromkeys((line.second, line.task, line.measure) for line in lines)
    for key in keys:
        found = [line for line in lines if (line.second, line.task, line.measure) == key]
        title = f"{found[0].task}, {found[0].measure}"
        yield Block(
            title=title,
            first=found[0].first,
            second=found[0].second,
            picture=differences(
                [
                    IntervalRow(label=_short(line), after=line.difference, is_total=line.over in _NO_LANGUAGE)
                    for line in found
                ],
                alt=f"{title}: differences with 95% intervals",
            ),
            rows=tuple(_row(line) for line in found),
        )


def _short(line: ComparedLine) -> str:
    return {MEAN: "Mean", GAP: "Gap"}.get(line.over, line.over)


def _row(line: ComparedLine) -> TableRow:
    found, write = line.difference, points if line.over == GAP else percent
    return TableRow(
        name=line.over[0].upper() + line.over[1:],
        cells=(
            Cell(text=write(line.before)),
            Cell(text=write(line.after)),
            Cell(
                text=signed_points(found.value),
                interval=f"{signed_points(found.low)} to {signed_points(found.high)}",
                tone=_tone(line),
            ),
        ),
        is_total=line.over in _NO_LANGUAGE,
    )


def _tone(line: ComparedLine) -> str:
    if not line.is_clear:
        return ""
    return "better" if (line.difference.value > 0) != (line.over == GAP) else "worse"


def _verdict(lines: Sequence[ComparedLine]) -> Iterator[Statement]:
    """Yield one sentence for each pair of evaluations: the mean and the gap of each task, and which languages moved."""
    for second in dict.fromkeys(line.second for line in lines):
        found = [line for line in lines if line.second == second]
        clear = [line for line in found if line.is_clear]
        start = f"{second} against {found[0].first}: "
        if not clear:
            yield Statement(text=f"{start}nothing differs by more than its error.")
            continue
        for tone, name in (("better", "better"), ("worse", "worse")):
            named = [
                f"{line.task} {line.measure}, {line.over} ({signed_points(line.difference.value)})"
                for line in clear
                if _tone(line) == tone
            ]
            if named:
                yield Statement(text=f"{start}clearly {name}: {'; '.join(named)}.", tone=tone)
