"""Build the small models of the first run, once, from files that installed packages carry (`python -m quickstart`).

The system imports nothing of this package: its models are ordinary folders.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Libraries read these when they are imported. No model hub and no GPU is needed here.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1", DS_ACCELERATOR="cpu")

from quickstart import e5, smollm2, tiny
from quickstart.folders import build_once, copy_once

logger = logging.getLogger("quickstart")

KEPT = Path(__file__).resolve().parent / "models"
"""Models of this project's own, which `quickstart.numbers.build` has trained."""
Builder = Callable[[Path], object]
BUILDERS: dict[str, Builder] = {
    smollm2.NAME: lambda folder: build_once(folder, smollm2.write_smollm2),
    e5.NAME: lambda folder: build_once(folder, e5.write_e5),
    "numbers-pivot": lambda folder: copy_once(folder, KEPT / folder.name),
    "numbers-policy": lambda folder: copy_once(folder, KEPT / folder.name),
    "tiny": tiny.build_tiny_model,
    "tiny-encoder": tiny.build_tiny_encoder,
}


def main(arguments: list[str]) -> int:
    """Build the named models. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m quickstart", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BUILDERS)}; all of them by default"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".cache/models"), help="folder that has the models' folders (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - BUILDERS.keys():
        parser.error(f"unknown model {', '.join(sorted(unknown))}; known are {', '.join(BUILDERS)}")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    for name in options.names or BUILDERS:
        _build(name, options.cache / name)
    return 0


def _build(name: str, folder: Path) -> None:
    if folder.exists():
        logger.info("%s: already in %s", name, folder)
        return
    logger.info("%s: building %s ...", name, folder)
    start = time.perf_counter()
    BUILDERS[name](folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    logger.info("%s: built in %.0f s, %.0f MB", name, time.perf_counter() - start, size / 1e6)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
