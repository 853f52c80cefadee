"""The one entry point: `python driver/run.py [COMMAND] [CONFIG.toml] [section.key=value ...]`, from any directory.

Defines nothing else: a class defined here would be pickled as `__main__` by Ray.
"""

import sys
from pathlib import Path

# `python driver/run.py` puts driver/ first on the path; the project's packages live one level up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from driver.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
