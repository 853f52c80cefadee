"""Writes report.html of a run folder: one file that asks for nothing outside itself.

Owns the order of the parts. Reads the run folder and nothing else; works on a run that is still going or has failed.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from contracts.errors import BadInput
from driver.names import language_name
from driver.report.audit_page import audit_body
from driver.report.curves import curves_section
from driver.report.page import Content, Html, element, page
from driver.report.results import results_section, status, verdict
from driver.report.run_record import RunRecord, read_run
from driver.report.texts import config_section, events_section, examples_section, samples_section

_SAMPLED_AT_EACH_END = 8  # steps: enough for every language to have had its turn


def write_report(run_folder: Path) -> Path:
    """report.html inside the folder, written aside and renamed, so that a reader never sees half of it.

    Raises:
        BadInput: where there is no such folder.
    """
    if not run_folder.is_dir():
        raise BadInput(f"{run_folder} is no folder; name a run's folder, e.g. runs/<name>")
    record = read_run(run_folder, sampled_at_each_end=_SAMPLED_AT_EACH_END)
    path = run_folder / "report.html"
    aside = run_folder / "report.html.writing"
    aside.write_text(page(f"Run {record.name}", report_body(record)), encoding="utf-8")
    os.replace(aside, path)
    return path


def report_body(record: RunRecord) -> list[Content]:
    """Everything between <body> and </body>."""
    if record.audit is not None:
        return audit_body(record, record.audit)
    return [
        *_opening(record),
        *results_section(record),
        *curves_section(record),
        *samples_section(record),
        *examples_section(record),
        *events_section(record),
        *config_section(record),
    ]


def _opening(record: RunRecord) -> list[Html]:
    parts = [
        element("h1", record.name),
        element("p", " ".join([status(record), *_when(record), *_languages(record)]), class_="soft"),
        element("p", verdict(record), class_="verdict"),
    ]
    if record.notes:
        parts.append(element("ul", [element("li", note) for note in record.notes], class_="soft small"))
    return parts


def _when(record: RunRecord) -> list[str]:
    if not record.steps:
        return []
    moment = datetime.fromtimestamp(record.steps[-1].time, tz=UTC)
    return [f"Last step {moment:%Y-%m-%d %H:%M} UTC."]


def _languages(record: RunRecord) -> list[str]:
    names = [language_name(code) for code in record.languages]
    return [f"Languages: {', '.join(names)}."] if names else []
