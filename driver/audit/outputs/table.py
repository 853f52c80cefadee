"""Print an audit of outputs: one row per source and language, and how well each measure ranks."""

from collections.abc import Iterator
from statistics import fmean

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from driver.audit.outputs.result import (
    ALL_SOURCES,
    WANTED_ACCEPTANCE,
    WANTED_REJECTION,
    OutputAudit,
    OutputCell,
)
from driver.audit.table import MARK
from driver.names import NOT_MEASURED, fixed, strict_percent

LEGEND = (
    "shut: by any gate. faithful: right and in the asked language; of these, extracted: the declared answer is gold, "
    "rejected: shut by any gate. accepted: of the outputs in another language, the language gate is open. paid: of the "
    "wrong outputs, the answer counts and no gate shuts."
)


def as_tables(result: OutputAudit) -> list[RenderableType]:
    """Return everything that the command prints."""
    shown: list[RenderableType] = [
        Text("Outputs by source and language, in % (! worse than wanted)", style="bold"),
        outputs_table(result),
        Text(LEGEND),
    ]
    if any(cell.num_rejected for cell in result.cells):
        shown += [Text("Faithful outputs that each gate shuts, in %", style="bold"), rejections_table(result)]
    if result.ranks:
        shown += [
            Text("Right outputs ranked over wrong ones to the same question (AUC)", style="bold"),
            ranks_table(result),
        ]
    return [*shown, *(Text(line) for line in verdict_lines(result))]


def outputs_table(result: OutputAudit) -> Table:
    """Return one row per source and language.

    A source without labels has only what needs none: its outputs, and the share that any gate shuts.
    """
    columns = ("outputs", "shut", "faithful", "extracted", "rejected", "accepted", "paid")
    table = _table("source", "", *columns)
    for cell in result.cells:
        table.add_row(
            cell.source,
            cell.language,
            str(cell.num_outputs),
            strict_percent(cell.shut_rate),
            str(cell.num_faithful),
            strict_percent(cell.extraction_rate),
            _at_most(cell.rejection_rate, WANTED_REJECTION),
            _at_most(cell.acceptance_rate, WANTED_ACCEPTANCE),
            strict_percent(cell.wrong_paid_rate),
        )
    return table


def rejections_table(result: OutputAudit) -> Table:
    """Return one row per source and gate, one column per language: faithful outputs that the gate shuts, in percent."""
    table = _table("source", "gate", *result.codes)
    for source in result.sources:
        for gate in result.gates:
            cells = [result.cell(source, code) for code in result.codes]
            if any(cell and cell.rejected.get(gate) for cell in cells):
                rates = [cell.rejection_rate_of(gate) if cell else None for cell in cells]
                table.add_row(source, gate, *(_at_most(rate, WANTED_REJECTION) for rate in rates))
    return table


def ranks_table(result: OutputAudit) -> Table:
    """Return one row per measure and one column per language, over all sources."""
    table = _table("measure", "outputs", *result.codes, "mean")
    for measure, outputs in rank_rows(result):
        found = result.auc(measure, outputs=outputs)
        table.add_row(
            measure, outputs, *(fixed(found.get(code)) for code in result.codes), fixed(fmean(found.values()))
        )
    return table


def rank_rows(result: OutputAudit) -> Iterator[tuple[str, str]]:
    """Yield each measure with the outputs that it was measured on: "all", or "open" (no gate shuts)."""
    yield from dict.fromkeys((cell.measure, cell.outputs) for cell in result.ranks if cell.source == ALL_SOURCES)


def verdict_lines(result: OutputAudit) -> list[str]:
    """Return what the audit says, in a few lines."""
    unscored = sum(sum(cell.unscored.values()) for cell in result.cells)
    lines = [
        f"{result.num_outputs} outputs; {result.num_outputs - unscored} scored; gates shut "
        f"{strict_percent(_total(result, 'num_shut', 'num_scored'))}% of those."
    ]
    if unscored:
        lines.append(
            "Not scored: " + "; ".join(f"{reason}: {count}" for reason, count in sorted(_reasons(result).items())) + "."
        )
    if any(cell.num_faithful for cell in result.cells):
        missed = [cell for cell in result.cells if (cell.rejection_rate or 0) > WANTED_REJECTION]
        lines.append(
            f"Of {sum(cell.num_faithful for cell in result.cells)} that are right and in the asked language, gates "
            f"shut {strict_percent(_total(result, 'num_rejected', 'num_faithful'))}%"
            + (f"; more than {WANTED_REJECTION:.0%} in {_names(missed)}." if missed else ".")
        )
    else:
        lines.append(
            "No output is labelled right (`is_right` or `gold`): whether the gates shut the right ones can't be said. "
            "Read the examples in the report."
        )
    return lines


def _reasons(result: OutputAudit) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for cell in result.cells:
        for reason, count in cell.unscored.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return reasons


def _total(result: OutputAudit, part: str, whole: str) -> float | None:
    total = sum(getattr(cell, whole) for cell in result.cells)
    return sum(getattr(cell, part) for cell in result.cells) / total if total else None


def _names(cells: list[OutputCell]) -> str:
    return ", ".join(f"{cell.source}/{cell.language}" for cell in cells)


def _at_most(share: float | None, wanted: float) -> str:
    """Return a share in percent, marked where it is above the wanted one."""
    if share is None:
        return NOT_MEASURED
    return f"{100 * share:.1f}{MARK if share > wanted else ''}"


def _table(*columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
