"""Resolve relative paths, wherever the command was started and also inside a submitted Ray job.

A job's working directory is a copy that Ray deletes: nothing may be written there, and git-ignored folders (models,
caches) are not in it. Nothing is written into the folder of an installed package either.
"""

import os
import sys
from pathlib import Path

from contracts.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
"""Folder of the code: a checkout, a job's copy of one, or the installed package `pb_rlsvr`."""
IS_INSTALLED = (ROOT / "__init__.py").exists()
"""Whether this is the installed package: only there the folder of the code is a package itself."""
PROGRAM = "pb-rlsvr" if IS_INSTALLED else "python driver/run.py"
"""How the program is started."""
HOME_VARIABLE = "PB_RLSVR_HOME"
JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray in the process of a submitted job."""


def home() -> Path:
    """Return the folder that relative paths start from.

    `$PB_RLSVR_HOME` if set; else the project's root, or the current folder where the project is installed as a package.
    In a job, where that root is a copy, the checkout that the running interpreter's `.venv` belongs to.

    Raises:
        BadInput: this is a job whose interpreter belongs to no checkout.
    """
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().resolve()
    if IS_INSTALLED and JOB_VARIABLE not in os.environ:
        return Path.cwd()
    if not IS_INSTALLED and not _is_job_copy(ROOT):
        return ROOT
    checkout = Path(sys.prefix).parent
    if not IS_INSTALLED and (checkout / "driver" / "run.py").exists():
        return checkout
    where = Path.cwd() if IS_INSTALLED else ROOT
    raise BadInput(
        f"this job runs in a folder that Ray may delete ({where.name}), and relative paths need another one: "
        f'submit with --runtime-env-json \'{{"env_vars": {{"{HOME_VARIABLE}": "/a/shared/folder"}}}}\'',
        key=HOME_VARIABLE,
    )


def absolute(path: str) -> Path:
    """Return a config's path as an absolute path: `~` is resolved, and a relative path starts at `home()`."""
    expanded = Path(path).expanduser()
    return expanded if expanded.is_absolute() else home() / expanded


def _is_job_copy(root: Path) -> bool:
    return "working_dir_files" in root.parts
