"""`verify`: check that a run folder proves that every group was learned from exactly once or dropped with a reason."""

import argparse
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from contracts.errors import BadInput
from driver.tracking.run_folder import RunFolder, sole_writer
from driver.tracking.verify.check_run import check_run, summarise_run
from driver.tracking.verify.records import read_records


def one_line(failure: BaseException) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(failure).split())


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print what a run did and every violation; return both, the violations as lines under "violations".

    Raises:
        BadInput: the folder holds no training run, or one that is still going.
    """
    folder = Path(arguments.folder).expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}", key="folder")
    if not RunFolder(folder).config.exists() or not RunFolder(folder).events.exists():
        raise BadInput(f"{folder} holds no training run: it has no config.toml or no events.jsonl", key="folder")
    with sole_writer(folder):
        try:
            records = read_records(folder)
        except (pa.ArrowException, OSError, KeyError, TypeError) as damage:
            raise BadInput(
                f"{folder} can't be read completely: {type(damage).__name__}: {one_line(damage)}", key="folder"
            ) from None
    summary, violations = summarise_run(records), [violation.text for violation in check_run(records)]
    console = Console(stderr=arguments.json, highlight=False, markup=False)
    for line in summary.lines():
        console.print(line, soft_wrap=True)
    for violation in violations:
        console.print(f"violation: {violation}", soft_wrap=True)
    console.print(f"{len(violations) or 'no'} violations: {folder}", soft_wrap=True)
    return {"run_folder": str(folder), "violations": violations, **asdict(summary)}
