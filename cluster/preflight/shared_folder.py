"""Mark a folder for the time of a check, so that other nodes can tell whether theirs is the same one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contracts.errors import BadInput


@contextmanager
def marked(folder: Path) -> Iterator[str]:
    """Put a file of a new name into a folder, and yield its path. Afterwards all is as before.

    A folder that does not exist is made for the time of the check.

    Raises:
        BadInput: it can't be made or written; `key` is "run.folder".
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    marker = folder / f".check-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as failure:
        raise BadInput(
            f"run.folder {folder} can't be written on the driver's node ({failure.strerror}); choose another folder",
            key="run.folder",
        ) from failure
    try:
        yield str(marker)
    finally:
        marker.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else has put something there meanwhile
            for parent in made:
                parent.rmdir()
