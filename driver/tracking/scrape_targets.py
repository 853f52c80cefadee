"""Tell Prometheus where the metrics of a run's cluster are: a file that is there while the run goes on.

The form is Prometheus' own: https://prometheus.io/docs/guides/file-sd/
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from contracts.files import write_whole

EVERY_S = 30.0
"""Between two looks at the nodes of the cluster, in seconds: nodes come and go."""


async def keep_targets(
    path: Path,
    find: Callable[[], Sequence[str]],
    *,
    every_s: float = EVERY_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Keep the file at `path` up to date until cancelled, then remove it.

    Args:
        path: of the file; its folder is made.
        find: returns the addresses, as host:port. It may block.
        every_s: seconds between two looks.
        sleep: waits for some seconds.

    Raises:
        OSError: the file can't be written.
    """
    path.parent.mkdir(exist_ok=True)
    written: Sequence[str] = ()
    try:
        while True:
            found = await asyncio.to_thread(find)
            if list(found) != list(written):
                write_whole(path, f"{json.dumps([{'targets': list(found)}])}\n")
                written = found
            await sleep(every_s)
    finally:
        path.unlink(missing_ok=True)
