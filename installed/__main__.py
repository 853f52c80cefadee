"""Start the installed program: the commands `pb-rlsvr` and `pb-rlsvr-quickstart`, or `python -m pb_rlsvr`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> int:
    """Run a command of the program, and return its exit code."""
    _use_own_rooms()
    from driver.cli import main as run_command

    return run_command(sys.argv[1:])


def build_quickstart_models() -> int:
    """Build the quickstart's models in `.cache/models` of the current folder, and return the exit code."""
    _use_own_rooms()
    from quickstart.__main__ import main as build

    return build(sys.argv[1:])


def _use_own_rooms() -> None:
    """Put the project's folder first on the path, in place of the folder that the program was started from."""
    sys.path[0] = str(ROOT)


if __name__ == "__main__":
    sys.exit(main())
