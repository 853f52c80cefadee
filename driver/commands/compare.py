"""`compare`: compare evaluated runs over the same items; starts nothing.

Every evaluation is compared with the first one: the first model of the first folder, or the first moment of a training
run. One training run alone compares its own moments.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contracts.errors import BadInput
from contracts.files import make_folder, write_whole
from driver.evaluation.comparison import Comparison, as_csv, as_json, as_markdown, compare
from driver.evaluation.entries import entries_of
from driver.report.comparison_page import comparison_html

FILES = {
    "comparison.html": comparison_html,
    "comparison.md": as_markdown,
    "comparison.csv": as_csv,
    "comparison.json": as_json,
}


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Write the comparison, and return where it is and what it says.

    Raises:
        BadInput: a folder holds no evaluation, the items differ, or the folder for the comparison can't be made.
    """
    folders = [Path(folder).expanduser().resolve() for folder in arguments.folders]
    if missing := next((folder for folder in folders if not folder.is_dir()), None):
        raise BadInput(f"there is no folder {missing}", key="RUN")
    comparison = compare(entries_of(folders))
    place = Path(arguments.out).expanduser().resolve() if arguments.out else folders[0] / "comparison"
    try:
        make_folder(place)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise BadInput(f"{place} can't be made ({error.strerror}); name another folder", key="--out") from None
    for name, text in FILES.items():
        write_whole(place / name, text(comparison))
    console = Console(stderr=arguments.json)
    for note in comparison.notes:
        console.print(note)
    console.print(_table(comparison))
    console.print(f"comparison: {place / 'comparison.html'}", soft_wrap=True)
    return {
        "comparison": str(place / "comparison.md"),
        "report": str(place / "comparison.html"),
        "clear": [f"{line.task} {line.over} {line.measure}" for line in comparison.lines if line.is_clear],
    }


def _table(comparison: Comparison) -> Table:
    """Return the differences for the terminal, in percentage points."""
    table = Table("task", "over", "measure", "before", "after", "difference", "95% interval")
    for line in comparison.lines:
        found = line.difference
        table.add_row(
            *(line.task, line.over, line.measure, f"{100 * line.before:.1f}", f"{100 * line.after:.1f}"),
            f"{100 * found.value:+.1f}",
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            style="bold" if line.is_clear else None,
        )
    return table
