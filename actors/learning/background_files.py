"""Write a learner rank's files in a thread of their own, while the rank goes on with work that changes no weight.

The thread reads the rank's own tensors, so a checkpoint needs no copy of them. Whoever changes these tensors waits for
the end first: see `BackgroundFiles.wait`. Must not import torch: the driver's process reads what was written.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from contracts.errors import CheckpointFailed
from contracts.sealed_folder import FileSum

Sums: TypeAlias = Mapping[str, FileSum]
"""Size and checksum of each file that was written, by its path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenFiles:
    """Hold what one rank has written. All of it is on the disk, or `failure` says why it is not."""

    sums: Sums = field(default_factory=dict)
    failure: str = ""


class BackgroundFiles:
    """Write one set of files at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[Sums] | None = None

    def begin(self, write: Callable[[], Sums]) -> None:
        """Start to write; `write` returns the sums or raises CheckpointFailed. The files before must be finished."""
        self.wait()
        self._writing = self._thread.submit(write)

    def wait(self) -> None:
        """Wait until nothing is being written, well or not. Call it before a tensor that is written may change."""
        if self._writing is not None:
            self._writing.exception()

    def written(self) -> WrittenFiles:
        """Wait for the end, and return what was written since `begin`."""
        assert self._writing is not None, "nothing was begun"
        try:
            return WrittenFiles(sums=self._writing.result())
        except CheckpointFailed as failure:
            return WrittenFiles(failure=str(failure))
