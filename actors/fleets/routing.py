"""Choose the worker for the next request, and keep track of the requests that each worker holds.

Knows workers by number and requests by name. The choice depends only on the order of the calls, and its time hardly
grows with the number of workers.
"""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True)
class _Share(Generic[Item]):
    """Hold the requests of one worker."""

    items: dict[str, tuple[Item, int]] = field(default_factory=dict)  # by name: the request and its size
    load: int = 0  # the sum of the sizes
    last_turn: int = 0  # orders equally loaded workers


class Routing(Generic[Item]):
    """Hold the requests by worker, and find the worker with the least load.

    Of equally loaded workers the first one is chosen, or with `takes_turns` the one that was chosen longest ago.

    The heap is not searched when a load changes: an outdated entry is dropped when it comes to the top.
    """

    def __init__(self, *, takes_turns: bool = False) -> None:
        self._turns = itertools.count(1) if takes_turns else itertools.repeat(0)
        self._shares: dict[int, _Share[Item]] = {}
        self._open: set[int] = set()
        self._heap: list[tuple[int, int, int]] = []  # (load, last turn, worker)

    def open(self, worker: int) -> None:
        """Let the worker take requests from now on."""
        self._open.add(worker)
        self._push(worker)

    def shut(self, worker: int) -> None:
        """Give the worker no more requests. It keeps those that it holds."""
        self._open.discard(worker)

    def least_loaded(self, *, avoided: int | None = None) -> int | None:
        """Return the worker for the next request; None if no worker is open.

        `avoided` is chosen only if no other worker is open.
        """
        if avoided in self._open and len(self._open) > 1:
            return min(self._open - {avoided}, key=self._key)
        while self._heap:
            if self._heap[0][2] in self._open and self._heap[0] == self._key(self._heap[0][2]):
                return self._heap[0][2]
            heapq.heappop(self._heap)
        return None

    def least_loaded_of(self, workers: Iterable[int]) -> int | None:
        """Return the one of these workers with the least load; None if there are none."""
        return min(workers, key=self._key, default=None)

    def load(self, worker: int) -> int:
        """Return the sum of the sizes of the requests that the worker holds."""
        return self._share(worker).load

    def holds(self, worker: int, name: str) -> bool:
        return name in self._share(worker).items

    def assign(self, worker: int, name: str, item: Item, *, size: int) -> None:
        """Give the worker a request under a name that it does not hold. `size` is what it adds to the load."""
        share = self._share(worker)
        share.items[name] = item, size
        share.load += size
        share.last_turn = next(self._turns)
        self._push(worker)

    def release(self, worker: int, name: str) -> bool:
        """Take a request from the worker; return False if it was taken away before."""
        share = self._share(worker)
        if name not in share.items:
            return False
        _, size = share.items.pop(name)
        share.load -= size
        self._push(worker)
        return True

    def take_away(self, worker: int) -> list[Item]:
        """Take all requests from the worker, in the order in which it got them."""
        share = self._share(worker)
        items = [item for item, _ in share.items.values()]
        share.items, share.load = {}, 0
        self._push(worker)
        return items

    def _share(self, worker: int) -> _Share[Item]:
        return self._shares.setdefault(worker, _Share())

    def _key(self, worker: int) -> tuple[int, int, int]:
        share = self._share(worker)
        return share.load, share.last_turn, worker

    def _push(self, worker: int) -> None:
        if worker not in self._open:
            return
        heapq.heappush(self._heap, self._key(worker))
        if len(self._heap) > 8 * len(self._open) + 64:
            self._heap = [self._key(worker) for worker in self._open]
            heapq.heapify(self._heap)
