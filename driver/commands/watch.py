"""`watch`: serve a page that shows a run while it goes on, on this machine only."""

import argparse
from pathlib import Path

from rich.console import Console

from contracts.config.load import check_run_format
from contracts.errors import BadInput
from driver.tracking.run_folder import RunFolder


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Serve the page until Ctrl-C, and return its address.

    Raises:
        BadInput: the folder holds no run, or the port can't be used.
    """
    from driver.watch.server import PageServer
    from driver.watch.state import WatchedRun

    folder = RunFolder(Path(arguments.folder).expanduser().resolve())
    if not folder.config.exists():
        raise BadInput(f"{folder.path} is not a run folder: it has no config.toml", key="folder")
    check_run_format(folder.config)
    console = Console(stderr=arguments.json, highlight=False, markup=False)
    with PageServer(folder.path, WatchedRun(folder), port=arguments.port) as server:
        port = server.server_address[1]
        console.print(f"watching {folder.path.name}: {server.address} (Ctrl-C ends it)", soft_wrap=True)
        console.print(f"from another machine: ssh -L {port}:127.0.0.1:{port} HOST", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("no longer watching; the run itself goes on", soft_wrap=True)
    return {"run_folder": str(folder.path), "address": server.address}
