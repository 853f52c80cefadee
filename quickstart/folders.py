"""Find data files inside installed packages, and build model folders completely or not at all."""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def packaged_file(package: str, name: str) -> Path:
    """Return the path of a data file of an installed package, without running the package's code.

    Raises:
        FileNotFoundError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"package {package!r}, which carries {name}, is not installed; `make install` installs it "
            f"(requirements/cpu.txt, or gpu.txt)"
        )
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the installed {package!r} is another version than the pinned one")
    return path


def build_once(folder: Path, write: Callable[[Path], object]) -> bool:
    """Let `write` fill another folder, then move it to `folder` in one step. Return False if `folder` exists already.

    A build that is interrupted leaves nothing that looks like a model. If two builds run at once, the first to finish
    is kept.
    """
    if folder.exists():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".building-{folder.name}-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        write(made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            return False
    return True


def copy_once(folder: Path, kept: Path) -> bool:
    """Copy a model that the project keeps. Return False if `folder` exists already."""
    return build_once(folder, lambda made: shutil.copytree(kept, made, dirs_exist_ok=True))
