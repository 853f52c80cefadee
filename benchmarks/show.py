"""Results as a table that a person reads and that goes into docs/results.md as it is."""

from collections.abc import Sequence

from benchmarks.measure import Comparison, Figure, Outcome, StageSplit


def tables(outcomes: Sequence[Outcome]) -> str:
    """Markdown, each table under what it was measured on."""
    comparisons = [outcome for outcome in outcomes if isinstance(outcome, Comparison)]
    parts = [_comparisons(comparisons)] if comparisons else []
    figures = [outcome for outcome in outcomes if isinstance(outcome, Figure)]
    parts += [_figures(figures)] if figures else []
    parts += [_stages(outcome) for outcome in outcomes if isinstance(outcome, StageSplit)]
    return "\n\n".join(parts)


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            one.name,
            f"{_number(one.our_rate)} {one.unit}/s",
            f"{_number(one.bare_rate)} {one.unit}/s",
            f"{one.ratio:.3g}",
            f"{min(one.ratios):.3g} to {max(one.ratios):.3g}",
            "" if one.busy_ratio is None else f"{one.busy_ratio:.3g}",
            {None: "none", True: f"{one.aim}: met", False: f"{one.aim}: missed"}[one.is_met],
        ]
        for one in comparisons
    ]
    table = _table(["", "ours", "bare", "ratio (median)", "spread", "by processor time", "aim"], rows)
    explained = [
        f"- {one.name}: {len(one.ratios)} rounds each of {one.work}. Ours: {one.ours}. Bare: {one.bare}.{_notes(one)}"
        for one in comparisons
    ]
    return "\n".join([table, "", *explained])


def _figures(figures: Sequence[Figure]) -> str:
    rows = [
        [
            one.name,
            _figure(one.median),
            f"{_figure(min(one.values))} to {_figure(max(one.values))}",
            _aim(one),
        ]
        for one in figures
    ]
    explained = [f"- {one.name}: {one.what}; {one.work}." for one in figures]
    return "\n".join([_table(["", "median", "spread", "aim"], rows), "", *explained])


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _aim(one: Figure) -> str:
    bound = f"{'at most ' if one.is_at_most else ''}{one.aim}"
    return {None: "none", True: f"{bound}: met", False: f"{bound}: missed"}[one.is_met]


def _stages(split: StageSplit) -> str:
    medians = split.medians
    whole = medians.get("step", sum(medians.values()))
    rows = [[stage, f"{seconds:.2f}", f"{100 * seconds / whole:.0f} %"] for stage, seconds in medians.items()]
    table = _table([f"{split.name}: stage", "seconds (median)", "of the step"], rows)
    return "\n".join([table, "", f"- {split.name}: {len(split.steps)} steps of {split.work}.{_notes(split)}"])


def _notes(outcome: Comparison | StageSplit) -> str:
    said = [f"{name} {_number(value)}" for name, value in outcome.notes.items()]
    return f" {'; '.join(said)}." if said else ""


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
