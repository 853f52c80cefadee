"""Write report.html of a run folder: one file that loads nothing from outside itself.

It is made of the files in the run folder alone, so that a run that is still going, or has failed, has one too.
"""

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import BadInput
from contracts.files import write_whole
from driver.report.audit_page import audit_facts
from driver.report.evaluate_page import evaluate_facts
from driver.report.outputs_page import outputs_facts
from driver.report.run_page import is_training, run_facts
from driver.report.run_record import RunRecord, read_run
from driver.templates import render

REPORT = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"
SAMPLED_AT_EACH_END = 8  # steps: enough for every language to have had its turn


def write_report(run_folder: Path) -> Path:
    """Write report.html into the folder, whole or not at all, and return its path.

    Raises:
        BadInput: there is no such folder.
    """
    if not run_folder.is_dir():
        raise BadInput(f"there is no folder {run_folder}; name the folder of a run, e.g. runs/<name>", key="folder")
    record = read_run(run_folder, sampled_at_each_end=SAMPLED_AT_EACH_END)
    path = run_folder / REPORT
    write_whole(path, report_html(record))
    return path


def report_html(record: RunRecord) -> str:
    """Return the page of a training run, of an evaluation or of a reward audit: of what the folder holds."""
    template, command, roles, facts = _page(record)
    return render(_TEMPLATES / template, record=record, command=command, roles=roles, **facts)


def _page(record: RunRecord) -> tuple[str, str, Sequence[str], dict[str, object]]:
    """Return the template of a folder, the command that made it ("": not known), its roles, and the facts."""
    if record.audit is not None:
        return "audit.html.jinja", "audit", ("scorer",), audit_facts(record.audit)
    if record.outputs_audit is not None:
        return "outputs.html.jinja", "audit", ("scorer",), outputs_facts(record.outputs_audit)
    if record.models is not None:
        return "evaluate.html.jinja", "evaluate", ("policy",), evaluate_facts(record.models)
    command = "train" if is_training(record) else ""
    return "run.html.jinja", command, ("policy", "pivot", "scorer"), run_facts(record)
