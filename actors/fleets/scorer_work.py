"""What the scorers of a fleet have to do and have done: a book per process, totals over all that there ever were.

Owns no decision and asks nobody. A place whose process is exchanged opens a new book; what the old one counted stays in
the totals.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from actors.scoring.metrics import STATES

Answer = TypeVar("Answer")


@dataclass(eq=False)
class Book:
    """Of one process."""

    load: int = 0  # calls that are not answered yet
    said: dict[str, float] = field(default_factory=dict)  # its counters, when it was last asked
    gone: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done as soon as nothing will be answered any more."""

    def loading(self, call: Awaitable[Answer]) -> "asyncio.Future[Answer]":
        """The call, which counts as load until it is answered: of one that is late, others are asked before it."""
        task = asyncio.ensure_future(call)
        self.load += 1
        task.add_done_callback(self._unload)
        return task

    def _unload(self, _: "asyncio.Future[Answer]") -> None:
        self.load -= 1


class ScorerWork:
    """The books by place, and the totals of processes that are gone."""

    def __init__(self) -> None:
        self._books: dict[int, Book] = {}
        self._past: dict[str, float] = {}

    def of(self, index: int) -> Book:
        if (book := self._books.get(index)) is None:
            book = self._books[index] = Book()
        return book

    def forget(self, index: int) -> None:
        """The place's process is gone: whoever waits for it is told, and the next one starts with nothing."""
        book = self._books.pop(index, None)
        if book is None:
            return
        book.gone.set_result(None)
        _add(self._past, book.said | {name: 0.0 for name in STATES if name in book.said})

    def totals(self) -> dict[str, float]:
        """Sums over all processes that there ever were; states over those that live."""
        merged = dict(self._past)
        for book in self._books.values():
            _add(merged, book.said)
        return merged


def _add(totals: dict[str, float], more: dict[str, float]) -> None:
    for name, value in more.items():
        totals[name] = totals.get(name, 0.0) + value
