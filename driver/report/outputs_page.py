"""Collect what report.html shows of an audit of a model's outputs beside the audit's own numbers."""

from statistics import fmean

from driver.audit.outputs.result import WANTED_ACCEPTANCE, WANTED_REJECTION, OutputAudit
from driver.audit.outputs.table import rank_rows, verdict_lines
from driver.report.figures import heat_map


def outputs_facts(audit: OutputAudit) -> dict[str, object]:
    """Return what the template of an audit of outputs is filled in with."""
    cells = [[audit.cell(source, code) for code in audit.codes] for source in audit.sources]
    is_labelled = any(cell.num_faithful for cell in audit.cells)
    shut = [
        [None if cell is None else cell.rejection_rate if is_labelled else cell.shut_rate for cell in row]
        for row in cells
    ]
    return {
        "audit": audit,
        "verdict": verdict_lines(audit),
        "is_labelled": is_labelled,
        "open_picture": heat_map(
            [[None if rate is None else 1 - rate for rate in row] for row in shut],
            rows=audit.sources,
            columns=audit.codes,
            alt="share of outputs that no gate shuts, by source and language",
        ),
        "ranks": [
            (measure, outputs, found, fmean(found.values()))
            for measure, outputs in rank_rows(audit)
            for found in [audit.auc(measure, outputs=outputs)]
        ],
        "mistakes": {
            mistake: [example for example in audit.examples if example.mistake == mistake]
            for mistake in dict.fromkeys(example.mistake for example in audit.examples)
        },
        "wanted_rejection": WANTED_REJECTION,
        "wanted_acceptance": WANTED_ACCEPTANCE,
    }
