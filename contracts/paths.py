"""Resolve relative paths, wherever the command was started and also inside a submitted Ray job.

A job's working directory is a copy that Ray deletes: nothing may be written there, and git-ignored folders (models,
caches) are not in it.
"""

import os
import sys
from pathlib import Path

from contracts.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
HOME_VARIABLE = "PB_RLSVR_HOME"


def home() -> Path:
    """Return the folder that relative paths start from.

    `$PB_RLSVR_HOME` if set; else the project's root; in a job, where that root is a copy, the checkout that the running
    interpreter's `.venv` belongs to.

    Raises:
        BadInput: this is a job whose interpreter belongs to no checkout.
    """
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().resolve()
    if not _is_job_copy(ROOT):
        return ROOT
    checkout = Path(sys.prefix).parent
    if (checkout / "driver" / "run.py").exists():
        return checkout
    raise BadInput(
        f"this job runs in a copy ({ROOT.name}), and relative paths need a folder outside of it: "
        f'submit with --runtime-env-json \'{{"env_vars": {{"{HOME_VARIABLE}": "/a/shared/folder"}}}}\'',
        key=HOME_VARIABLE,
    )


def absolute(path: str) -> Path:
    """Return a config's path as an absolute path: `~` is resolved, and a relative path starts at `home()`."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else home() / expanded


def _is_job_copy(root: Path) -> bool:
    return "working_dir_files" in root.parts
