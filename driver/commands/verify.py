"""`verify`: whether a run's folder proves that every group was learned from exactly once or dropped with a reason."""

import argparse
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from contracts.errors import BadInput
from driver.tracking.run_folder import RunFolder, sole_writer
from driver.tracking.verify.ledger import read_ledger
from driver.tracking.verify.statement import audit


def one_line(failure: BaseException) -> str:
    return " ".join(str(failure).split())


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Read the folder, say what was seen and name every violation; under "violations", the lines.

    Raises:
        BadInput: the folder holds no training run, or one that is still going.
    """
    folder = Path(arguments.folder).expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}")
    if not RunFolder(folder).config.exists() or not RunFolder(folder).events.exists():
        raise BadInput(f"{folder} holds no training run: there is no record of one")
    with sole_writer(folder):
        try:
            ledger = read_ledger(folder)
        except (pa.ArrowException, OSError, KeyError, TypeError) as damage:
            raise BadInput(f"{folder} can't be read to its end: {type(damage).__name__}: {one_line(damage)}") from None
    statement = audit(ledger)
    console = Console(stderr=arguments.json, highlight=False, markup=False)
    for line in statement.lines():
        console.print(line, soft_wrap=True)
    for violation in statement.violations:
        console.print(f"violation: {violation}", soft_wrap=True)
    console.print(f"{len(statement.violations) or 'no'} violations: {folder}", soft_wrap=True)
    return {"run_folder": str(folder), **asdict(statement)}
