"""Filling the reference cache ahead of runs: every item of a data set once, and only what is not there yet.

Owns which items are asked for, how many at a time, and that little is lost when it is stopped. Asks through the
reference book; knows no engine and no file.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from contracts.config.workers import PivotConfig
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.sources import ProblemSource
from driver.references.store import KnownReferences, ReferenceStore

SAVE_EVERY_S = 5.0
"""At most so many seconds of the pivot's work are lost with the process."""
MAX_IN_FLIGHT = 512


@dataclass(frozen=True, kw_only=True)
class Items:
    """One problem of each English question, by language and position: the texts stay in the source."""

    source: ProblemSource
    places: Sequence[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Problem]:
        return (self.source.problem(language, position) for language, position in self.places)


@dataclass
class Sorted:
    """What was found of the items, and what is left to do."""

    missing: Items
    num_found: int
    refused: list[str] = field(default_factory=list)  # why: questions that the pivot can't read


def distinct_items(source: ProblemSource, languages: Sequence[str]) -> Items:
    """Languages share an item's English question, and its reference: the first language that has it stands for all."""
    seen: set[bytes] = set()
    places: list[tuple[str, int]] = []
    for language in languages:
        for position in range(source.counts[language]):
            question = source.problem(language, position).question_en
            digest = blake2b(question.encode(), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                places.append((language, position))
    return Items(source=source, places=places)


def sort_out(items: Items, known: KnownReferences, *, on_progress: Callable[[int], None]) -> Sorted:
    """Look for every item in the cache. `on_progress` is told how many were looked for."""
    places: list[tuple[str, int]] = []
    outcome = Sorted(missing=Items(source=items.source, places=places), num_found=0)
    for number, (place, problem) in enumerate(zip(items.places, items, strict=True), start=1):
        try:
            if known.find(problem) is None:
                places.append(place)
            else:
                outcome.num_found += 1
        except BadInput as refusal:
            outcome.refused.append(str(refusal))
        on_progress(number)
    return outcome


async def ask_for(
    items: Items,
    book: ReferenceStore,
    *,
    num_in_flight: int,
    on_progress: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask for every item and save now and then, whatever ends it at the end too. `on_progress` is told how many are
    there.

    Raises:
        RunFailed: the pivot's workers gave up.
    """
    waiting, num_done, next_save = iter(items), 0, clock() + SAVE_EVERY_S

    async def work() -> None:
        nonlocal num_done, next_save
        for problem in waiting:
            await book.get(problem)
            num_done += 1
            on_progress(num_done)
            if clock() >= next_save:
                book.cache.save()
                next_save = clock() + SAVE_EVERY_S

    tasks = [asyncio.ensure_future(work()) for _ in range(min(num_in_flight, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        book.cache.save()


def num_in_flight(pivot: PivotConfig) -> int:
    """As many items as keep the pivot's workers full while as many again wait at their doors."""
    at_once = pivot.num_workers * pivot.max_num_seqs
    return max(1, min(MAX_IN_FLIGHT, 2 * at_once // pivot.num_references))
