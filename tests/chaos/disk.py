"""Give a run a small disk of its own, in memory, that can be filled up and emptied again.

The disk is mounted in a mount namespace of this process and its children: no other process sees it, and it is gone when
they are.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_INSIDE = "PB_RLSVR_CHAOS_NAMESPACE"
_CHUNK = 1 << 20


def enter_namespace(module: str, words: Sequence[str]) -> bool:
    """Start this program again where it may mount; return whether it is there. Does not return where it is not yet.

    Return False where the system does not allow it: then there is no small disk.
    """
    if os.environ.get(_INSIDE):
        return True
    unshare = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        return False
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", [*unshare, sys.executable, "-m", module, *words])


class SmallDisk:
    """Mount a small file system at a folder."""

    def __init__(self, path: Path, *, size_mib: int) -> None:
        """Mount it.

        Raises:
            subprocess.CalledProcessError: the system does not allow it.
        """
        self.path = path
        self._filler = path / "filler"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(path)], check=True)

    def fill(self) -> None:
        """Take all the space that is left."""
        with self._filler.open("ab", buffering=0) as file:
            size = _CHUNK
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)
