"""`verify`: check what a run folder proves of its run, and print what that is."""

import argparse
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from contracts.errors import BadInput
from driver.names import on_one_line
from driver.tracking.run_folder import RunFolder, sole_writer
from driver.tracking.verify.check_run import check_claims, not_checked_in, proved_by, summarise_run
from driver.tracking.verify.records import read_records


def one_line(failure: BaseException) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(failure).split())


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print what a run did, what its folder proves and every violation; return all of it, each list as lines.

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
            records = read_records(folder, reads_shards=arguments.shards)
        except (pa.ArrowException, OSError, KeyError, TypeError) as damage:
            raise BadInput(
                f"{folder} can't be read completely: {type(damage).__name__}: {one_line(damage)}", key="folder"
            ) from None
    summary, found = summarise_run(records), check_claims(records)
    violations = [on_one_line(violation.text) for wrong in found.values() for violation in wrong]
    console = Console(stderr=arguments.json, highlight=False, markup=False)
    for line in summary.lines():
        console.print(on_one_line(line), soft_wrap=True)
    proved, not_checked = proved_by(records, found), not_checked_in(records)
    for claim in proved:
        console.print(f"proved: {claim}", soft_wrap=True)
    for what in not_checked:
        console.print(f"not checked: {what}", soft_wrap=True)
    for violation in violations:
        console.print(f"violation: {violation}", soft_wrap=True)
    console.print(f"{len(violations) or 'no'} violations: {folder}", soft_wrap=True)
    return {
        "run_folder": str(folder),
        "violations": violations,
        "proved": proved,
        "not_checked": not_checked,
        **asdict(summary),
    }
