"""`dashboards`: write a Grafana dashboard, alert rules and a config of Prometheus."""

import argparse
from pathlib import Path

from rich.console import Console

from contracts.paths import absolute


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Write the files, and return their paths.

    Raises:
        BadInput: a file is there already and holds something else.
    """
    from driver.monitoring.files import monitoring_files, write_files

    folder = Path(arguments.folder).expanduser().absolute()
    files = monitoring_files(folder, runs=absolute(arguments.runs), prometheus=arguments.prometheus)
    write_files(files)
    console = Console(stderr=arguments.json, highlight=False, markup=False)
    for path in files:
        console.print(str(path), soft_wrap=True)
    return {"files": [str(path) for path in files]}
