"""Where the quickstart's models come from and go to: files inside installed packages, and folders in a cache.

Owns finding a package's data file without importing the package, and building a folder at once or not at all. Must
not know any model.
"""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path


def packaged_file(package: str, name: str) -> Path:
    """The path of a data file that an installed package carries. The package's own code isn't run."""
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


def build_once(folder: Path, write: Callable[[Path], None]) -> bool:
    """Let `write` fill a folder beside `folder`, then move it there in one step; False where `folder` was there.

    A build that is cut off leaves nothing that looks like a model. Where two builds race, the first to finish stays.
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
