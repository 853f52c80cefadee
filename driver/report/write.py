"""Write report.html of a run folder: one file that loads nothing from outside itself.

It is made of the files in the run folder alone, so that a run that is still going, or has failed, has one too.
"""

from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from contracts.errors import BadInput
from contracts.files import write_whole
from driver.names import language_name
from driver.report.audit_page import audit_facts
from driver.report.curves import figure_groups
from driver.report.figures import AFTER, BEFORE, Pair, before_and_after, smoothing_window
from driver.report.outputs_page import outputs_facts
from driver.report.responses import evaluated_examples, event_summary, sampled_groups
from driver.report.results import Comparison, compare, status, verdict
from driver.report.run_record import RunRecord, read_run
from driver.templates import render

_TEMPLATES = Path(__file__).parent / "templates"
_SAMPLED_AT_EACH_END = 8  # steps: enough for every language to have had its turn


def write_report(run_folder: Path) -> Path:
    """Write report.html into the folder, whole or not at all, and return its path.

    Raises:
        BadInput: there is no such folder.
    """
    if not run_folder.is_dir():
        raise BadInput(f"there is no folder {run_folder}; name the folder of a run, e.g. runs/<name>", key="folder")
    record = read_run(run_folder, sampled_at_each_end=_SAMPLED_AT_EACH_END)
    path = run_folder / "report.html"
    write_whole(path, report_html(record))
    return path


def report_html(record: RunRecord) -> str:
    """Return the page of a run, or of a reward audit where the folder holds one."""
    if record.audit is not None:
        return render(
            _TEMPLATES / "audit.html.jinja",
            record=record,
            command="audit",
            roles=("scorer",),
            **audit_facts(record.audit),
        )
    if record.outputs_audit is not None:
        return render(
            _TEMPLATES / "outputs.html.jinja",
            record=record,
            command="audit",
            roles=("scorer",),
            **outputs_facts(record.outputs_audit),
        )
    comparison = compare(record.evaluations)
    return render(
        _TEMPLATES / "run.html.jinja",
        record=record,
        command="train",
        roles=("policy", "pivot", "scorer"),
        status=status(record),
        verdict=verdict(record),
        last_step_at=datetime.fromtimestamp(record.steps[-1].time, tz=UTC) if record.steps else None,
        comparison=comparison,
        comparison_picture=_picture(comparison),
        moments=[
            {"label": moment, "colour": colour}
            for moment, colour in (("before", BEFORE), ("after", AFTER))
            if moment in record.evaluations
        ],
        window=smoothing_window(len(record.steps)),
        figure_groups=figure_groups(record),
        sampled_groups=sampled_groups(record),
        examples=evaluated_examples(record),
        events=event_summary(record),
    )


def _picture(comparison: Comparison) -> Markup:
    """Draw the share of responses that are right and in the asked language, before and after training."""
    pairs = [
        Pair(
            label=language_name(found.code),
            before=found.accuracy_in_language.before,
            after=found.accuracy_in_language.after,
        )
        for found in comparison.languages
    ]
    alt = "share of responses that are right and in the language, before and after"
    return before_and_after(pairs, alt=alt) if pairs else Markup()
