"""Tell a run that never had a checkpoint from one whose checkpoints are missing, which must not start anew.

A run's record says that a checkpoint was made: each one is an event. That steps follow one after which a checkpoint was
due says nothing: the run goes on while it is written.
"""

from collections.abc import Iterator
from pathlib import Path

from contracts.errors import BadInput
from driver.run_state.checkpoints import BEST, LATEST, whole_checkpoints
from driver.tracking.line_logs import read_events, read_metrics
from driver.tracking.run_folder import RunFolder, refuse_dangling

SAVED = "checkpoint_saved"
"""Kind of the event of a whole checkpoint."""


def checkpoints_there(folder: RunFolder) -> dict[int, Path]:
    """Return the run's checkpoints by step; whether their files are as they were written is not checked.

    Raises:
        BadInput: their folder is a link to nothing, is no folder, or can't be read.
    """
    refuse_dangling(folder.checkpoints, key=folder.checkpoints.name)
    try:
        if folder.checkpoints.exists() and not folder.checkpoints.is_dir():
            raise NotADirectoryError(20, "it is not a folder")
        return whole_checkpoints(folder.checkpoints)
    except OSError as error:
        raise BadInput(
            f"the checkpoints of {folder.path} are looked for in {folder.checkpoints}, which can't be read: "
            f"{error.strerror}; put it right, and start the run again",
            key=folder.checkpoints.name,
        ) from None


def refuse_lost_checkpoints(folder: RunFolder) -> None:
    """Refuse a run without a checkpoint that had one.

    Raises:
        BadInput: it had; the message says what shows it, and where the checkpoint was looked for.
    """
    if sign := next(_signs(folder), ""):
        raise BadInput(
            f"the checkpoints of the run in {folder.path} are missing: {sign}, and {folder.checkpoints} has none "
            "(step-*). Mount their disk or put them back, and start the run again; or choose another run.name",
            key=folder.checkpoints.name,
        )


def _signs(folder: RunFolder) -> Iterator[str]:
    """Yield what shows that the run had a checkpoint."""
    for pointer in (LATEST, BEST):
        if (folder.checkpoints / pointer).exists():
            yield f"{pointer} names one"
    for event in reversed(read_events(folder.events)):
        if event.kind == SAVED:
            yield f"{folder.events.name} says that {event.reason} was saved"
        if event.kind == "resumed" and event.reason != "after step 0":
            yield f"{folder.events.name} says that the run went on {event.reason}"
    if read_metrics(folder.metrics) and not folder.checkpoints.exists():
        yield "their folder is missing, which every run has"
