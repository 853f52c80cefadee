"""Who takes the next request, and who is at which.

Owns that choice and the books behind it, in a time that hardly grows with the number of workers. Pure: knows workers by
number only, requests by name. The choice depends on the order of the calls alone.
"""

import heapq
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True)
class _Share(Generic[Item]):
    """What one worker is at."""

    items: dict[str, Item] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    load: int = 0


class Routing(Generic[Item]):
    """Requests by worker. The one with the least load takes the next, the first of equals: equal loads mean turns.

    A heap that is not searched when a load changes: an entry that is out of date is dropped when it comes to the top.
    """

    def __init__(self) -> None:
        self._shares: dict[int, _Share[Item]] = {}
        self._open: set[int] = set()
        self._heap: list[tuple[int, int]] = []  # (load, worker)

    def open(self, worker: int) -> None:
        """It may be asked from now on."""
        self._open.add(worker)
        self._offer(worker)

    def shut(self, worker: int) -> None:
        """It may not. What it is at stays with it."""
        self._open.discard(worker)

    def least_loaded(self) -> int | None:
        """Who is to be asked next; None where nobody may be."""
        while self._heap:
            load, worker = self._heap[0]
            if worker in self._open and self._share(worker).load == load:
                return worker
            heapq.heappop(self._heap)
        return None

    def holds(self, worker: int, name: str) -> bool:
        return name in self._share(worker).items

    def assign(self, worker: int, name: str, item: Item, *, size: int) -> None:
        """The worker is asked for `size` samples under a name that it does not hold."""
        share = self._share(worker)
        share.items[name], share.sizes[name] = item, size
        share.load += size
        self._offer(worker)

    def release(self, worker: int, name: str) -> bool:
        """It is at this no more; False where it was taken away before."""
        share = self._share(worker)
        if share.items.pop(name, None) is None:
            return False
        share.load -= share.sizes.pop(name)
        self._offer(worker)
        return True

    def take_away(self, worker: int) -> list[Item]:
        """All that it was at, in the order in which it was asked."""
        share = self._shares.pop(worker, _Share())
        self._offer(worker)
        return list(share.items.values())

    def all(self) -> list[Item]:
        return [item for share in self._shares.values() for item in share.items.values()]

    def worker_of(self, item: Item) -> int | None:
        """Who is at it. Looks through everything."""
        return next((worker for worker, share in self._shares.items() if item in share.items.values()), None)

    def _share(self, worker: int) -> _Share[Item]:
        return self._shares.setdefault(worker, _Share())

    def _offer(self, worker: int) -> None:
        if worker not in self._open:
            return
        heapq.heappush(self._heap, (self._share(worker).load, worker))
        if len(self._heap) > 8 * len(self._open) + 64:
            self._heap = [(self._share(worker).load, worker) for worker in self._open]
            heapq.heapify(self._heap)
