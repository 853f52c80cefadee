"""`report`: write report.html of a run folder again."""

import argparse
from pathlib import Path

from rich.console import Console

from contracts.config.load import check_run_format
from contracts.errors import BadInput
from driver.report.write import write_report


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Write report.html, and return where it is.

    Raises:
        BadInput: the folder holds no run.
    """
    folder = Path(arguments.folder).expanduser().resolve()
    if not (folder / "config.toml").exists():
        raise BadInput(f"{folder} is not a run folder: it has no config.toml", key="folder")
    check_run_format(folder / "config.toml")
    report = write_report(folder)
    Console(stderr=arguments.json).print(f"report: {report}", soft_wrap=True)
    return {"report": str(report)}
