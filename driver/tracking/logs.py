"""Third-party logs of the driver's process: into a file, so that the run's line stays readable."""

import logging
import warnings
from pathlib import Path


def quiet_logs(path: Path) -> None:
    """Send all logging and warnings of this process to `path`."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.split(".")[0] in ("ray", "transformers", "datasets"):
            logger.handlers[:] = []
            logger.propagate = True
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that can't be written must not fill the console with tracebacks
    warnings.simplefilter("default")
