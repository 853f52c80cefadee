"""Fill the reference cache before runs: ask for every item of a data set once, but only for those it does not have.

Many items are asked for at the same time, and references are saved often, so that little is lost if the command is
stopped.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from contracts.config.section import decided
from contracts.config.workers import PivotConfig
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.sources import ProblemSource
from driver.references.store import KnownReferences, ReferenceStore

SAVE_EVERY_S = 5.0
"""At most this many seconds of the pivot's work are lost if the process ends."""
MAX_IN_FLIGHT = 512  # items


@dataclass(frozen=True, kw_only=True)
class Items:
    """Hold one problem for each English question, by language and position; the texts stay in the source."""

    source: ProblemSource
    positions: Sequence[tuple[str, int]]  # language, and position among the problems of the language

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[Problem]:
        return (self.source.problem(language, position) for language, position in self.positions)


@dataclass
class CacheContents:
    """Say which items the cache has."""

    missing: Items
    num_found: int
    refused: list[str] = field(default_factory=list)  # one message a question that is too long for the pivot


def distinct_items(source: ProblemSource, languages: Sequence[str]) -> Items:
    """Return the items with distinct English questions.

    Languages share the English question of an item, and so its reference: the first language that has it is taken.
    """
    seen: set[bytes] = set()
    positions: list[tuple[str, int]] = []
    for language in languages:
        for position in range(source.counts[language]):
            question = source.problem(language, position).question_en
            digest = blake2b(question.encode(), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                positions.append((language, position))
    return Items(source=source, positions=positions)


def look_up(items: Items, known: KnownReferences, *, on_progress: Callable[[int], None]) -> CacheContents:
    """Look for every item in the cache. `on_progress` is called with the number of items looked for so far."""
    missing: list[tuple[str, int]] = []
    contents = CacheContents(missing=Items(source=items.source, positions=missing), num_found=0)
    for number, (position, problem) in enumerate(zip(items.positions, items, strict=True), start=1):
        try:
            if known.find(problem) is None:
                missing.append(position)
            else:
                contents.num_found += 1
        except BadInput as refusal:
            contents.refused.append(str(refusal))
        on_progress(number)
    return contents


async def ask_for(
    items: Items,
    store: ReferenceStore,
    *,
    num_in_flight: int,
    on_progress: Callable[[int], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask for every item, and save the cache regularly and at the end, also after an error.

    `on_progress` is called with the number of references so far. `num_in_flight` items are asked for at a time.

    Raises:
        RunFailed: the pivot's workers failed.
    """
    waiting, num_done, next_save = iter(items), 0, clock() + SAVE_EVERY_S

    async def work() -> None:
        nonlocal num_done, next_save
        for problem in waiting:
            await store.get(problem)
            num_done += 1
            on_progress(num_done)
            if clock() >= next_save:
                store.cache.save()
                next_save = clock() + SAVE_EVERY_S

    tasks = [asyncio.ensure_future(work()) for _ in range(min(num_in_flight, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        store.cache.save()


def num_in_flight(pivot: PivotConfig) -> int:
    """Return how many items to ask for at a time: twice as many as the pivot's workers can work on."""
    at_once = pivot.num_workers * decided(pivot.max_num_seqs)
    return max(1, min(MAX_IN_FLIGHT, 2 * at_once // pivot.num_references))
