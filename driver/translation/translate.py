"""Translate a set: each text there and back again, and how similar it comes back.

Several batches are under way at a time, and their rows are written in the set's order.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from driver.translation.items import Task, Work
from driver.translation.translators import Translates
from rewards.reading import PIVOT_LANGUAGE
from rewards.reasoning.similarity import ReasoningPair

BATCH = 16
"""Texts of one call. At most so many of a batch under way are translated again after a kill."""


class Compares(Protocol):
    """Compare texts in one language."""

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """Return the similarity of each pair, in order; NaN for a pair that can't be compared."""
        ...


@dataclass
class Counts:
    """Count texts."""

    found: int = 0  # that an earlier start has translated
    given: int = 0  # whose translation the set has
    translated: int = 0
    failed: int = 0  # without a translation
    first_failed: list[str] = field(default_factory=list)  # where they are


class Translation:
    """Translate all texts of a set that are not translated yet."""

    def __init__(
        self,
        work: Work,
        *,
        translator: Translates,
        compare: Compares,
        write: Callable[[Sequence[Mapping[str, object]]], None],
        on_progress: Callable[[int], None],
    ) -> None:
        """`write` keeps rows; `on_progress` is called with the number of texts that are done."""
        self._work = work
        self._translator = translator
        self._compare = compare
        self._write = write
        self._on_progress = on_progress
        self.counts = Counts()

    async def run(self, tasks: Sequence[Task], *, num_in_flight: int) -> None:
        """Translate `tasks`, with so many batches under way at a time.

        Raises:
            RunFailed: a translator or scorer failed.
        """
        waiting: deque[asyncio.Task[list[dict[str, object]]]] = deque()
        batches, num_done, sizes = iter(list(_batches(tasks))), 0, deque[int]()
        try:
            while True:
                while len(waiting) < num_in_flight and (batch := next(batches, None)) is not None:
                    waiting.append(asyncio.ensure_future(self._translate(batch)))
                    sizes.append(len(batch))
                if not waiting:
                    return
                self._write(await waiting[0])
                waiting.popleft()
                num_done += sizes.popleft()
                self._on_progress(num_done)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _translate(self, batch: Sequence[Task]) -> list[dict[str, object]]:
        """Return the rows that the texts of a batch make, which are all in one language."""
        if batch[0].is_given:
            self.counts.given += len(batch)
            return [_judged(row) for task in batch for row in self._work.rows(task, self._work.given(task))]
        source, target = batch[0].source, batch[0].target
        texts = [self._work.text(task) for task in batch]
        made = await self._translator.translate(texts, source=source, target=target)
        back = await self._translator.translate(made, source=target, target=source)
        similarities = await self._compare.similarities(
            [_pair(text, again, source) for text, again in zip(texts, back, strict=True)]
        )
        rows: list[dict[str, object]] = []
        for task, translation, again, similarity in zip(batch, made, back, similarities, strict=True):
            if not translation.strip():
                self._fail(task)
                continue
            self.counts.translated += 1
            rows += [_judged(row, again, similarity) for row in self._work.rows(task, translation)]
        return rows

    def _fail(self, task: Task) -> None:
        self.counts.failed += 1
        if len(self.counts.first_failed) < 3:
            self.counts.first_failed.append(self._work.where(task))


def _batches(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Yield tasks that follow each other and have the same languages, at most BATCH."""
    for _, alike in groupby(tasks, key=lambda task: (task.source, task.target, task.is_given)):
        together = list(alike)
        for start in range(0, len(together), BATCH):
            yield together[start : start + BATCH]


def _pair(text: str, again: str, language: str) -> ReasoningPair:
    """Return two texts of one language as a pair that is compared as it is: nothing of it needs a translator."""
    return ReasoningPair(language=language, reasoning=text, reference=again, translation=text)


def _judged(row: dict[str, object], back: str | None = None, similarity: float | None = None) -> dict[str, object]:
    """Return a row with its translation back; both are null where the set gives the translation itself."""
    value = None if similarity is None or math.isnan(similarity) else round(similarity, 4)
    return row | {"back_translation": back, "similarity": value}


def languages_spoken(work: Work) -> tuple[str, ...]:
    """Return all languages that the translator has to know."""
    spoken = {code: None for task in work.tasks for code in (task.source, task.target)}
    return tuple(spoken) or (PIVOT_LANGUAGE,)
